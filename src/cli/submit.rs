//! `darkroom submit`: photographs to models, and back with what they saw.

use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Map, Value};
use uuid::Uuid;

use super::exit::Exit;
use super::output::OutputFile;
use super::session::Connection;
use super::table;
use crate::client::cases;
use crate::client::error::{ApiError, ClientFault};
use crate::client::options::Options;
use crate::client::progress::Progress;
use crate::client::submit::{SubmitReport, submit};
use crate::client::text;
use crate::report::{self, Pictures};

/// Upload photographs, run models on them and show the results
#[derive(Debug, clap::Args)]
pub struct SubmitArgs {
    /// Files and folders; in folders every file whose content is an image, whatever its name
    #[arg(required = true, value_name = "PATH")]
    paths: Vec<PathBuf>,
    /// Models to run, e.g. `face_detect,ocr`
    #[arg(long, short, required = true, value_delimiter = ',', value_name = "MODEL")]
    models: Vec<String>,
    /// From -100 to 100; a step is worth ten minutes of waiting
    #[arg(long, default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-100..=100))]
    priority: i32,
    /// Compute again even what is already known
    #[arg(long)]
    rerun: bool,
    /// Parameters by model, e.g. '{"ocr":{"lang":"de"}}'
    #[arg(long, value_name = "JSON", value_parser = params)]
    params: Option<Value>,
    /// The case that is to hold them, by name or id [default: one's own]
    #[arg(long, value_name = "CASE")]
    case: Option<String>,
    /// Continue the submission of this id: what it already holds is not done twice
    #[arg(long, value_name = "UUID")]
    submission: Option<Uuid>,
    /// Print one JSON document on stdout in place of the table
    #[arg(long)]
    json: bool,
    /// Write a self-contained HTML page with photographs and results
    #[arg(long, value_name = "FILE", conflicts_with = "no_wait")]
    report: Option<PathBuf>,
    /// Put the photographs into the page as they are, in place of small pictures of them
    #[arg(long, requires = "report")]
    full_pictures: bool,
    /// Write a CSV file with a row for every file and model
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Return as soon as everything is uploaded
    #[arg(long)]
    no_wait: bool,
    /// How long to wait for the jobs after the upload, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS")]
    timeout: u64,
    /// Requests in flight at a time
    #[arg(long, default_value_t = 4, value_name = "N",
          value_parser = clap::value_parser!(u8).range(1..=32))]
    parallel: u8,
    #[command(flatten)]
    connection: Connection,
}

impl SubmitArgs {
    /// Submits, waits, and shows what came of it.
    ///
    /// # Errors
    /// Nothing to send, a refused request, a server that cannot be reached or went away, an
    /// unwritable report.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let report = self.report.as_deref().map(OutputFile::reserve).transpose()?;
        let csv = self.csv.as_deref().map(OutputFile::reserve).transpose()?;
        let api = self.connection.api()?;
        let mut options = self.options()?;
        if let Some(named) = &self.case {
            options.case = Some(cases::find(&api, named).await?.id);
        }
        let work = submit(&options, &api, Progress::stderr());
        let done = tokio::select! {
            done = work => done,
            _ = tokio::signal::ctrl_c() => {
                text::say("Interrupted.");
                text::say(&so_far(&options));
                return Ok(Exit::Interrupted);
            }
        };
        match done {
            Ok(done) => self.show(done, report, csv).await,
            // What was refused at once left nothing behind to go on with.
            Err(error) if Exit::of_error(&error) == Exit::Usage || is_forbidden(&error) => Err(error),
            Err(error) => {
                text::say(&so_far(&options));
                Err(error)
            }
        }
    }

    fn options(&self) -> anyhow::Result<Options> {
        let mut models: Vec<String> = Vec::new();
        for model in self.models.iter().map(|model| model.trim()).filter(|model| !model.is_empty()) {
            if !models.iter().any(|known| known == model) {
                models.push(model.to_owned());
            }
        }
        if models.is_empty() {
            let text = "no model named: give --models, e.g. --models face_detect";
            return Err(ClientFault::Usage(text.to_owned()).into());
        }
        Ok(Options {
            priority: self.priority,
            rerun: self.rerun,
            params: self.params.clone(),
            submission: self.submission.unwrap_or_else(Uuid::new_v4),
            wait: (!self.no_wait).then(|| Duration::from_secs(self.timeout)),
            parallel: usize::from(self.parallel),
            ..Options::new(self.paths.clone(), models)
        })
    }

    async fn show(self, done: SubmitReport, page: Option<OutputFile>, csv: Option<OutputFile>) -> anyhow::Result<Exit> {
        let exit = Exit::of_report(&done);
        if self.json {
            text::print(&format!("{}\n", serde_json::to_string_pretty(&done)?))?;
        } else {
            text::print(&table::of_report(&done))?;
        }
        let submission = done.submission;
        if let Some(csv) = csv {
            text::say(&format!("CSV: {}", csv.write(&report::csv(&done))?));
        }
        if let Some(page) = page {
            let pictures = if self.full_pictures { Pictures::Full } else { Pictures::Small };
            // Rendering reads every photograph: seconds for a large folder.
            let write = move || page.write(&report::render(&done, pictures)?);
            text::say(&format!("Report: {}", tokio::task::spawn_blocking(write).await??));
        }
        if exit == Exit::TimedOut {
            text::say(&format!(
                "Not all jobs ended within {} s; they go on. Look again: darkroom status {submission}",
                self.timeout
            ));
        }
        Ok(exit)
    }
}

/// What there is with the server so far, and how to go on.
fn so_far(options: &Options) -> String {
    let id = options.submission;
    match options.taken.load(Ordering::Relaxed) {
        0 => "The server has confirmed no file yet; nothing is lost by sending all again.".to_owned(),
        taken => format!(
            "{} with the server, and their jobs go on: darkroom status {id}\n\
             To send the rest: the same command with --submission {id}",
            text::count(taken, "file")
        ),
    }
}

fn is_forbidden(error: &anyhow::Error) -> bool {
    error.downcast_ref::<ApiError>().and_then(ApiError::status) == Some(403)
}

fn params(text: &str) -> Result<Value, String> {
    serde_json::from_str::<Map<String, Value>>(text)
        .map(Value::Object)
        .map_err(|error| format!("{error}; give an object keyed by model, e.g. '{{\"ocr\":{{\"lang\":\"de\"}}}}'"))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        args: SubmitArgs,
    }

    fn parsed(line: &str) -> Result<Options, String> {
        let words = line.split_whitespace();
        let line = Typed::try_parse_from(words).map_err(|error| error.to_string())?;
        line.args.options().map_err(|error| error.to_string())
    }

    #[test]
    fn options_follow_from_the_command_line() {
        let options = parsed("x --models a,b,a --models c p q --priority -5 --no-wait").unwrap();
        assert_eq!(options.models, ["a", "b", "c"]);
        assert_eq!((options.paths.len(), options.priority), (2, -5));
        assert_eq!((options.wait, options.parallel), (None, 4));
        assert_eq!(parsed("x -m a p").unwrap().wait, Some(Duration::from_secs(600)));
    }

    #[test]
    fn wrong_command_lines_are_refused() {
        assert!(parsed("x p").is_err());
        assert!(parsed("x -m a").is_err());
        assert!(parsed("x -m , p").unwrap_err().contains("--models"));
        assert!(parsed("x -m a p --priority 101").is_err());
        assert!(parsed("x -m a p --params [1]").unwrap_err().contains("keyed by model"));
        assert!(parsed("x -m a p --no-wait --report r.html").is_err());
    }
}
