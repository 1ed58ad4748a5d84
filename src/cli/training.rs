//! `darkroom training`: runs that are there, and what becomes of them.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::HumanBytes;
use tokio::fs::File;
use uuid::Uuid;

use super::exit::Exit;
use super::listing::{Listing, Question, minute};
use super::output::OutputFile;
use super::run::{self, RunView};
use super::session::Connection;
use crate::api::training::{DatasetOut, RunOut};
use crate::client::error::ClientFault;
use crate::client::progress::Progress;
use crate::client::text;
use crate::client::training as runs;
use crate::domain::job::JobState;

/// List, show, promote, cancel and retry training runs, and fetch their models
#[derive(Debug, Args)]
pub struct TrainingArgs {
    #[command(subcommand)]
    act: TrainingAct,
}

#[derive(Debug, Subcommand)]
enum TrainingAct {
    /// List what live services train on
    Datasets(Listing),
    /// Hand out no runs of a dataset for now; the one that runs goes on
    Pause(DatasetArg),
    /// Hand them out again
    Resume(DatasetArg),
    /// List one's runs, newest first; an administrator's list has everybody's
    List(RunListArgs),
    /// Show a run: its state, epochs, curves and result
    Show(RunShowArgs),
    /// Fetch the model of a run, and compare its checksum
    Download(DownloadArgs),
    /// Make the model of a run a version of a model, for its microservices to serve
    Promote(PromoteArgs),
    /// End a run that has not ended
    Cancel(RunArg),
    /// Make a new run of one that has ended, from its last checkpoint
    Retry(RunRetryArgs),
}

#[derive(Debug, Args)]
struct DatasetArg {
    /// Its name, as `darkroom training datasets` shows it
    #[arg(value_name = "DATASET")]
    name: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct RunArg {
    /// Id of the run, as `darkroom training list` shows it
    #[arg(value_name = "RUN")]
    id: Uuid,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct RunListArgs {
    /// Only those of this dataset
    #[arg(long, value_name = "NAME")]
    dataset: Option<String>,
    /// Only those in this state: queued, running, succeeded, failed or cancelled
    #[arg(long, value_parser = ["queued", "running", "succeeded", "failed", "cancelled"], hide_possible_values = true)]
    state: Option<String>,
    /// How many to list
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    listing: Listing,
}

#[derive(Debug, Args)]
struct RunShowArgs {
    #[command(flatten)]
    run: RunArg,
    /// Follow it until it has ended
    #[arg(long)]
    wait: bool,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    /// Write a self-contained HTML page with the curves
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct DownloadArgs {
    #[command(flatten)]
    run: RunArg,
    /// Where to, in place of what is there [default: its own name, here, where nothing has it]
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct PromoteArgs {
    #[command(flatten)]
    run: RunArg,
    /// The model to make a version of; one that is not known becomes yours
    #[arg(long, value_name = "NAME")]
    model: String,
    /// Name of the version [default: `run-` and the begin of the file's SHA-256]
    #[arg(long, value_name = "NAME")]
    version: Option<String>,
}

#[derive(Debug, Args)]
struct RunRetryArgs {
    #[command(flatten)]
    run: RunArg,
    /// Begin from the start, not from the last checkpoint
    #[arg(long)]
    fresh: bool,
}

impl TrainingArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`]; a file that cannot be written, or came damaged.
    pub async fn run(self) -> anyhow::Result<Exit> {
        match self.act {
            TrainingAct::Datasets(listing) => datasets(listing).await,
            TrainingAct::Pause(args) => pause(args, true).await,
            TrainingAct::Resume(args) => pause(args, false).await,
            TrainingAct::List(args) => list(args).await,
            TrainingAct::Show(args) => show(args).await,
            TrainingAct::Download(args) => download(args).await,
            TrainingAct::Promote(args) => promote(args).await,
            TrainingAct::Cancel(args) => cancel(args).await,
            TrainingAct::Retry(args) => retry(args).await,
        }
    }
}

async fn datasets(listing: Listing) -> anyhow::Result<Exit> {
    let question = Question {
        path: &["training", "datasets"],
        query: Vec::new(),
        most: None,
        nothing: "No service trains now: one is listed while it is registered.",
    };
    let row = |set: &DatasetOut| {
        let parameters = set.params_schema.as_ref().and_then(|schema| schema.get("properties")?.as_object());
        let names = parameters.map(|all| all.keys().map(String::as_str).collect::<Vec<_>>().join(","));
        [
            text::clean(&set.dataset),
            if set.paused { "paused" } else { "live" }.to_owned(),
            set.workers.to_string(),
            set.queued.to_string(),
            set.running.to_string(),
            text::one_line(names.as_deref().unwrap_or("any"), 60),
            text::one_line(&set.description, 60),
        ]
    };
    let titles = ["DATASET", "STATE", "WORKERS", "QUEUED", "RUNNING", "PARAMETERS", "DESCRIPTION"];
    listing.show(question, titles, row).await
}

async fn pause(args: DatasetArg, paused: bool) -> anyhow::Result<Exit> {
    let set = runs::pause(&args.connection.api()?, &args.name, paused).await?;
    let state = if set.paused { "paused" } else { "resumed" };
    text::print(&format!("{}: {state}, {} queued\n", text::clean(&set.dataset), set.queued))?;
    Ok(Exit::Success)
}

async fn list(args: RunListArgs) -> anyhow::Result<Exit> {
    let filters = [("dataset", args.dataset), ("state", args.state)];
    let question = Question {
        path: &["training", "results"],
        query: filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect(),
        most: Some(args.limit as usize),
        nothing: "No such run: darkroom train DATASET starts one.",
    };
    let titles = ["RUN", "DATASET", "ACCOUNT", "STATE", "PROGRESS", "CREATED (UTC)", "MODEL", "PROMOTED TO"];
    args.listing.show(question, titles, row).await
}

fn row(run: &RunOut) -> [String; 8] {
    let progress = match run.progress {
        _ if run.state == JobState::Succeeded => "100 %".to_owned(),
        Some(part) => format!("{:.0} %", part * 100.0),
        None => "-".to_owned(),
    };
    let promoted: Vec<String> = run.promoted.iter().map(|one| format!("{} {}", one.model, one.version)).collect();
    [
        run.id.to_string(),
        text::clean(&run.dataset),
        text::one_line(&run.account, 24),
        run.state.as_str().to_owned(),
        progress,
        minute(run.created_at),
        text::one_line(run.model.as_ref().map_or("-", |model| &model.name), 30),
        text::one_line(&promoted.join(","), 48),
    ]
}

async fn show(args: RunShowArgs) -> anyhow::Result<Exit> {
    let page = args.report.as_deref().map(OutputFile::reserve).transpose()?;
    let (api, id) = (args.run.connection.api()?, args.run.id);
    let seen = if args.wait { run::watch(&api, id, None).await? } else { Some(runs::look(&api, id, 0, None).await?) };
    let Some(seen) = seen else { return Ok(Exit::Interrupted) };
    run::show(&api, &seen, RunView { json: args.json, page, epochs: !args.wait }).await?;
    Ok(if args.wait { run::exit(seen.run.state) } else { Exit::Success })
}

async fn download(args: DownloadArgs) -> anyhow::Result<Exit> {
    let (api, id) = (args.run.connection.api()?, args.run.id);
    let run = runs::look(&api, id, 0, None).await?.run;
    let Some(model) = run.model else {
        let state = run.state.as_str();
        let told =
            format!("run {id} has no model: it is {state}; one is there when a run that saves one has succeeded");
        return Err(ClientFault::Usage(told).into());
    };
    let path = args.output.clone().unwrap_or_else(|| plain(&model.name, id));
    if args.output.is_none() && path.exists() {
        let told = format!("{} is there already: say where to with -o FILE", path.display());
        return Err(ClientFault::Usage(told).into());
    }
    let output = OutputFile::reserve(&path)?;
    let mut file = File::from_std(output.draft()?);
    runs::download(&api, id, &model, &mut file, Progress::stderr()).await?;
    let place = output.keep(args.output.is_some())?;
    let size = HumanBytes(model.bytes.unsigned_abs());
    text::print(&format!("{}: {size}, SHA-256 {} as the server says\n", text::clean(&place), model.sha256))?;
    Ok(Exit::Success)
}

/// A name for the file in this folder: that of the server only where it is a plain one.
fn plain(name: &str, id: Uuid) -> PathBuf {
    let is_plain = Path::new(name).file_name().is_some_and(|last| last == name)
        && !name.starts_with(['.', '-', '~'])
        && !name.contains(|c| matches!(c, '/' | '\\' | ':') || text::is_unsafe(c));
    if is_plain { PathBuf::from(name) } else { PathBuf::from(format!("{id}.model")) }
}

async fn promote(args: PromoteArgs) -> anyhow::Result<Exit> {
    let api = args.run.connection.api()?;
    let done = runs::promote(&api, args.run.id, &args.model, args.version.as_deref()).await?;
    let (model, version) = (text::clean(&done.model), text::clean(&done.version));
    let size = HumanBytes(done.bytes.unsigned_abs());
    text::print(&format!("{model} {version}: {size}, SHA-256 {}\n", done.sha256))?;
    Ok(Exit::Success)
}

async fn cancel(args: RunArg) -> anyhow::Result<Exit> {
    let done = runs::cancel(&args.connection.api()?, args.id).await?;
    text::print(&format!("{}: {}\n", done.id, done.state.as_str()))?;
    Ok(Exit::Success)
}

async fn retry(args: RunRetryArgs) -> anyhow::Result<Exit> {
    let made = runs::retry(&args.run.connection.api()?, args.run.id, args.fresh).await?;
    text::print(&format!("{}\n", made.id))?;
    text::say(&format!("Follow it: darkroom training show {} --wait", made.id));
    Ok(Exit::Success)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_name_is_no_path() {
        for name in [
            "../a",
            "/etc/passwd",
            "a/b",
            "..",
            ".",
            "",
            ".bashrc",
            "-rf",
            "~root",
            "a\\b",
            "c:x",
            "a\u{202e}b",
            "a\nb",
        ] {
            assert_eq!(plain(name, Uuid::nil()), Path::new("00000000-0000-0000-0000-000000000000.model"), "{name}");
        }
        assert_eq!(plain("Gewichte ü.onnx", Uuid::nil()), Path::new("Gewichte ü.onnx"));
    }
}
