//! The command line: one file per subcommand that is more than a call.

mod audit;
mod doctor;
mod retention;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use crate::client::{self, Exit};
use crate::config::{Database, Serve};
use crate::{app, dev};

/// A durable queue between photographs and machine-learning models.
#[derive(Parser)]
#[command(name = "darkroom", version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Try everything: private servers, real models, the photographs of examples/photos
    Demo,
    /// Develop: private servers, and a server that restarts when the code changes
    Dev,
    /// Sign in, and remember it for the commands below
    Login(client::login::LoginArgs),
    /// Send photographs to models, wait, and show what they said
    Submit(client::submit::SubmitArgs),
    /// Ask what happened to images, by MD5 or file
    Status(client::status::StatusArgs),
    /// Make, list and disable API keys of microservices
    Key(client::key::KeyArgs),
    /// Run the server
    Serve(Serve),
    /// Bring the database's schema up to date
    Migrate(Database),
    /// Make accounts beside the server, on its database: the first administrator
    User(user::UserArgs),
    /// Look for what is wrong with an installation, and say how to mend it
    Doctor(Serve),
    /// Count what is older than the DARKROOM_KEEP_* settings keep it, or remove it
    Retention(retention::RetentionArgs),
    /// Open psql on the database
    Psql(audit::PsqlArgs),
    /// Write the secrets of a new installation (what is there already stays)
    Setup(SetupArgs),
    /// Ask a server whether it is ready; for health checks
    Healthcheck(HealthcheckArgs),
    /// Print the OpenAPI document
    Openapi,
}

#[derive(Args)]
struct SetupArgs {
    /// Folder to write to; each secret gets a folder of its own below it
    #[arg(long, default_value = "secrets")]
    folder: PathBuf,
    /// Models of the bundled microservices, each of which gets a key
    #[arg(long, value_delimiter = ',')]
    models: Vec<String>,
}

#[derive(Args)]
struct HealthcheckArgs {
    /// The server
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    server: String,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return client::conclude(Err(error.into())).into(),
    };
    let exit = client::conclude(runtime.block_on(run(cli.command)));
    // A blocked thread, as one that waits for a terminal, must not hold the process.
    runtime.shutdown_timeout(Duration::from_secs(1));
    exit.into()
}

async fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Demo => dev::demo::run().await,
        Command::Dev => dev::watch::run().await.map(|()| Exit::Success),
        Command::Login(args) => args.run().await,
        Command::Submit(args) => args.run().await,
        Command::Status(args) => args.run().await,
        Command::Key(args) => args.run().await,
        Command::Serve(config) => app::serve(&config).await.map(|()| Exit::Success),
        Command::Migrate(database) => migrate(&database).await,
        Command::User(args) => args.run().await,
        Command::Doctor(config) => doctor::run(&config).await,
        Command::Retention(args) => args.run().await,
        Command::Psql(args) => args.run(),
        Command::Setup(args) => setup(&args),
        Command::Healthcheck(args) => healthcheck(&args).await,
        Command::Openapi => {
            print!("{}", String::from_utf8_lossy(&app::openapi_bytes()?));
            Ok(Exit::Success)
        }
    }
}

async fn migrate(database: &Database) -> anyhow::Result<Exit> {
    let applied = crate::store::migrate::migrate(&database.options()?).await?;
    match applied.as_slice() {
        [] => eprintln!("the schema is up to date"),
        applied => eprintln!("applied {}", applied.join(", ")),
    }
    Ok(Exit::Success)
}

fn setup(args: &SetupArgs) -> anyhow::Result<Exit> {
    for name in &args.models {
        crate::domain::name::Name::parse(name).map_err(anyhow::Error::msg)?;
    }
    match app::setup(&args.folder, &args.models)?.as_slice() {
        [] => eprintln!("everything is there already; nothing was changed"),
        made => eprintln!("wrote {}", made.join(", ")),
    }
    Ok(Exit::Success)
}

async fn healthcheck(args: &HealthcheckArgs) -> anyhow::Result<Exit> {
    let api = client::http::Api::new(&args.server, None)?;
    let ready: Result<serde_json::Value, _> = api.get(&["health", "ready"], &[], Duration::from_secs(5)).await;
    ready?;
    Ok(Exit::Success)
}
