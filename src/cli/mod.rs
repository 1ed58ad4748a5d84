//! The command line: a file for each subcommand that is more than a call.
//!
//! Every subcommand is a clap `Args` struct with `run(self) -> anyhow::Result<Exit>`; [`exit::conclude`] turns that
//! into an exit code. Results go to stdout, everything else to stderr.

mod backfill;
mod cancel;
mod cases;
mod demo;
mod derive;
mod dev;
mod doctor;
mod exit;
mod export;
mod exports;
mod healthcheck;
mod key;
mod listing;
mod login;
mod logout;
mod migrate;
mod models;
mod output;
mod plot;
mod psql;
mod queues;
mod retention;
mod run;
mod search;
mod session;
mod setup;
mod status;
mod submissions;
mod submit;
mod table;
mod train;
mod training;
mod user;
mod verify;
mod watch;
mod workers;

use std::process::ExitCode;
use std::time::Duration;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use self::exit::{Exit, conclude};
use crate::app;
use crate::client::text;
use crate::config::{Databases, Serve};

/// A durable queue between photographs and machine-learning models.
#[derive(Parser)]
#[command(name = "darkroom", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try everything: private servers, real models, the photographs of examples/photos; with DEMO_EXIT=1 it ends by itself
    Demo(demo::DemoArgs),
    /// Develop: private servers, a server that restarts when its code changes, and models that load again when theirs does
    Dev(dev::DevArgs),
    /// Sign in, and remember it for the commands below
    Login(login::LoginArgs),
    /// Sign out: the token stops working and is forgotten
    Logout(logout::LogoutArgs),
    /// Send photographs to models, wait, and show what they said
    Submit(submit::SubmitArgs),
    /// Ask what happened to images, by MD5 or file
    Status(status::StatusArgs),
    /// Search images by what is known of them
    Search(search::SearchArgs),
    /// List one's submissions and how far they are
    Submissions(submissions::SubmissionsArgs),
    /// Watch work as it goes
    Watch(watch::WatchArgs),
    /// List one's cases: where photographs go, and who sees them
    Cases(cases::CasesArgs),
    /// Make, show, edit, close, reopen or delete a case, read its tags and notes, and say who is a member
    Case(cases::CaseArgs),
    /// Take a case away, or what of it fits a filter, as a file
    Export(export::ExportArgs),
    /// List exports that are kept, or remove some
    Exports(exports::ExportsArgs),
    /// Compare a folder that was exported with its manifest; asks no server
    Verify(verify::VerifyArgs),
    /// Cancel submissions
    Cancel(cancel::CancelArgs),
    /// List the models, their workers and what waits for them
    Models(models::ModelsArgs),
    /// List the running microservices
    Workers(workers::WorkersArgs),
    /// List how much of each model's work waits and runs
    Queues(queues::QueuesArgs),
    /// Start a training run and follow it until it has ended
    Train(train::TrainArgs),
    /// List, show, promote, cancel and retry training runs, and fetch their models
    Training(training::TrainingArgs),
    /// Make, list and disable API keys of microservices
    Key(key::KeyArgs),
    /// Run the server
    Serve(Serve),
    /// Bring the database's schema up to date, and give its roles their rights
    Migrate(Databases),
    /// List, enable and disable accounts; make them beside the server, on its database: the first administrator
    User(user::UserArgs),
    /// Look for what is wrong with an installation, and say how to mend it
    Doctor(Serve),
    /// Count what is older than the DARKROOM_KEEP_* settings keep it, or remove it
    Retention(retention::RetentionArgs),
    /// Run a model over stored photographs, or work out anew what can be known of them
    Backfill(backfill::BackfillArgs),
    /// Open psql on the database
    Psql(psql::PsqlArgs),
    /// Write the secrets of a new installation (what is there already stays)
    Setup(setup::SetupArgs),
    /// Ask a server whether it is ready; for health checks
    Healthcheck(healthcheck::HealthcheckArgs),
    /// Print the OpenAPI document
    Openapi,
    /// Decode the photographs that a server brings
    #[command(hide = true)]
    Derive(derive::DeriveArgs),
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = match Cli::from_arg_matches(&command().get_matches()) {
        Ok(cli) => cli,
        Err(error) => error.exit(),
    };
    if let Command::Derive(args) = &cli.command {
        // Without a runtime, whose threads it would not be let have.
        return conclude(args.run()).into();
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return conclude(Err(error.into())).into(),
    };
    let exit = conclude(runtime.block_on(run(cli.command)));
    // A blocked thread, as one that waits for a terminal, must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit.into()
}

/// The command line; where the settings of the server are only looked at, `serve --help` is enough to list them.
fn command() -> clap::Command {
    let quiet = |command: clap::Command| {
        command
            .mut_args(|arg| if arg.get_env().is_some() { arg.hide(true) } else { arg })
            .after_help("It reads the settings of the server: `darkroom serve --help` lists them.")
    };
    let all_quiet = |command: clap::Command| command.mut_subcommand("derived", quiet);
    Cli::command()
        .mut_subcommand("doctor", quiet)
        .mut_subcommand("retention", quiet)
        .mut_subcommand("backfill", all_quiet)
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Demo(args) => demo::run(&args).await,
        Command::Dev(args) => dev::run(args).await,
        Command::Login(args) => args.run().await,
        Command::Logout(args) => args.run().await,
        Command::Submit(args) => args.run().await,
        Command::Status(args) => args.run().await,
        Command::Search(args) => args.run().await,
        Command::Submissions(args) => args.run().await,
        Command::Watch(args) => args.run().await,
        Command::Cases(args) => args.run().await,
        Command::Case(args) => args.run().await,
        Command::Export(args) => args.run().await,
        Command::Exports(args) => args.run().await,
        Command::Verify(args) => args.run(),
        Command::Cancel(args) => args.run().await,
        Command::Models(args) => args.run().await,
        Command::Workers(args) => args.run().await,
        Command::Queues(args) => args.run().await,
        Command::Train(args) => args.run().await,
        Command::Training(args) => args.run().await,
        Command::Key(args) => args.run().await,
        Command::Serve(config) => app::serve(&config).await.map(|()| Exit::Success),
        Command::Migrate(databases) => migrate::run(&databases).await,
        Command::User(args) => args.run().await,
        Command::Doctor(config) => doctor::run(&config).await,
        Command::Retention(args) => args.run().await,
        Command::Backfill(args) => args.run().await,
        Command::Psql(args) => args.run(),
        Command::Derive(args) => args.run(),
        Command::Setup(args) => args.run(),
        Command::Healthcheck(args) => args.run().await,
        Command::Openapi => {
            text::print(&String::from_utf8_lossy(&app::openapi_bytes()?))?;
            Ok(Exit::Success)
        }
    }
}
