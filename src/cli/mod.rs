//! The command line.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::app;
use crate::client::{self, Exit};
use crate::config::{Database, Serve};

/// A durable queue between photographs and machine-learning models.
#[derive(Parser)]
#[command(name = "darkroom", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server
    Serve(Serve),
    /// Bring the database's schema up to date
    Migrate(Database),
    /// Print the OpenAPI document
    Openapi,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return client::conclude(Err(error.into())).into(),
    };
    client::conclude(runtime.block_on(run(cli.command))).into()
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Serve(config) => app::serve(&config).await?,
        Command::Migrate(database) => drop(crate::store::migrate::migrate(&database.options()?).await?),
        Command::Openapi => print!("{}", String::from_utf8_lossy(&app::openapi_bytes()?)),
    }
    Ok(Exit::Success)
}
