//! `darkroom train`: a run from its parameters to its result.

use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::exit::Exit;
use super::output::OutputFile;
use super::run::{self, RunView};
use super::session::Connection;
use crate::client::error::{ApiError, ClientFault};
use crate::client::http::Api;
use crate::client::text;
use crate::client::training::{RunRequest, start};

/// What the request itself means by these names, and what says it on the command line.
const RESERVED: [(&str, &str); 4] = [
    ("dataset", "the first argument"),
    ("submission", "--submission"),
    ("priority", "--priority"),
    ("require_live", "--require-live"),
];

/// Start a training run and follow it until it has ended
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// What to train on; `darkroom training datasets` lists them
    #[arg(value_name = "DATASET")]
    dataset: String,
    /// Parameters, e.g. `epochs=20 learning_rate=[0.1,0.01] model=mlp`: JSON where it is that, else text
    #[arg(value_name = "KEY=VALUE")]
    params: Vec<String>,
    /// From -100 to 100; a step is worth ten minutes of waiting
    #[arg(long, default_value_t = 0, allow_negative_numbers = true,
          value_parser = clap::value_parser!(i32).range(-100..=100))]
    priority: i32,
    /// Refuse where no service trains on the dataset now
    #[arg(long)]
    require_live: bool,
    /// Ask for the same run again: the same parameters with this id start it once only
    #[arg(long, value_name = "UUID")]
    submission: Option<Uuid>,
    /// Print one JSON document on stdout in place of the result and the plot
    #[arg(long)]
    json: bool,
    /// Write a self-contained HTML page with the curves
    #[arg(long, value_name = "FILE", conflicts_with = "no_wait")]
    report: Option<PathBuf>,
    /// Return as soon as the run is with the server; prints its id
    #[arg(long)]
    no_wait: bool,
    /// How long to follow the run, in seconds [default: until it has ended]
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

impl TrainArgs {
    /// Starts the run, follows it, and shows what came of it.
    ///
    /// # Errors
    /// A refused request, a server that cannot be reached, an unwritable report.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let params = read(&self.params)?;
        let page = self.report.as_deref().map(OutputFile::reserve).transpose()?;
        let api = self.connection.api()?;
        let Some(id) = self.start(&api, params).await? else { return Ok(Exit::Interrupted) };
        if self.no_wait {
            return Ok(Exit::Success);
        }
        let Some(seen) = run::watch(&api, id, self.timeout).await? else { return Ok(Exit::Interrupted) };
        let exit = run::exit(seen.run.state);
        run::show(&api, &seen, RunView { json: self.json, page, epochs: false }).await?;
        if seen.run.model.is_some() && !self.json {
            text::say(&format!("Fetch the model: darkroom training download {id}"));
        }
        Ok(exit)
    }

    /// The id of the run; `None` when it was interrupted.
    async fn start(&self, api: &Api, params: Map<String, Value>) -> anyhow::Result<Option<Uuid>> {
        let request = RunRequest {
            dataset: self.dataset.clone(),
            submission: self.submission.unwrap_or_else(Uuid::new_v4),
            priority: self.priority,
            require_live: self.require_live,
            params,
        };
        let again = || {
            let id = request.submission;
            text::say(&format!(
                "Whether the run was started is not known: the same command with --submission {id} finds out."
            ));
        };
        let started = tokio::select! {
            started = start(api, &request) => started,
            _ = tokio::signal::ctrl_c() => {
                text::say("Interrupted.");
                again();
                return Ok(None);
            }
        };
        // A refusal leaves nothing behind.
        if started.as_ref().is_err_and(ApiError::is_transient) {
            again();
        }
        let started = started?;
        let dataset = text::clean(&started.dataset);
        if started.workers == 0 {
            text::say(&format!("No service trains on {dataset} now: the run waits."));
        }
        match (self.no_wait, self.json) {
            (true, true) => text::print(&format!("{}\n", serde_json::to_string_pretty(&started)?))?,
            (true, false) => text::print(&format!("{}\n", started.id))?,
            (false, _) => text::say(&format!("Run {} on {dataset}", started.id)),
        }
        Ok(Some(started.id))
    }
}

/// Parameters by name, each once.
fn read(params: &[String]) -> Result<Map<String, Value>, ClientFault> {
    let mut read = Map::new();
    for param in params {
        let wrong = |why: &str| ClientFault::Usage(format!("`{}` {why}", text::one_line(param, 80)));
        let Some((name, value)) = param.split_once('=').filter(|(name, _)| !name.is_empty()) else {
            return Err(wrong("is no parameter: give KEY=VALUE, e.g. epochs=20"));
        };
        if let Some((_, by)) = RESERVED.iter().find(|(reserved, _)| *reserved == name) {
            return Err(wrong(&format!("is no parameter: {by} says it")));
        }
        let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
        if read.insert(name.to_owned(), value).is_some() {
            return Err(wrong("is the second of its name: give each parameter once"));
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(line: &str) -> Result<Value, String> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        read(&words).map(Value::Object).map_err(|fault| fault.to_string())
    }

    #[test]
    fn parameters_are_json_where_they_can_be() {
        let line = r#"epochs=20 model=mlp learning_rate=[0.1,0.01] save=true optimizer={"name":"adam"} a=b=c text="5" none= x=NaN"#;
        let expected = json!({"epochs": 20, "model": "mlp", "learning_rate": [0.1, 0.01], "save": true, "optimizer": {"name": "adam"},
            "a": "b=c", "text": "5", "none": "", "x": "NaN"});
        assert_eq!(parsed(line).unwrap(), expected);
    }

    #[test]
    fn what_is_no_parameter_is_refused() {
        for (line, told) in [
            ("epochs", "KEY=VALUE"),
            ("=1", "KEY=VALUE"),
            ("a=1 a=2", "once"),
            ("priority=3", "--priority"),
            ("dataset=a", "first argument"),
        ] {
            assert!(parsed(line).is_err_and(|why| why.contains(told)), "{line}");
        }
    }
}
