//! `darkroom dev`: private servers, a server that restarts when its code changes, and models that load again when theirs does.

mod models;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use clap::Args;
use walkdir::WalkDir;

use super::exit::Exit;
use crate::app::{listen, stop_signal};
use crate::dev::postgres::{APPLICATION, AUDITOR};
use crate::dev::{FOLDER, Postgres, Redis, data_folder, own_folder, private_file, process};
use crate::service::accounts::made_up_password;

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Where the server listens when nothing is said, as `serve` does.
pub(super) const LISTEN: &str = "127.0.0.1:8080";
/// The account that a private database begins with.
const ADMIN: &str = "admin";
/// What the server is made of.
const WATCHED: [&str; 6] = ["src", "migrations", "sdk/python/darkroom_worker", "build.rs", "Cargo.toml", "Cargo.lock"];

/// What runs beside the server.
#[derive(Debug, Args)]
pub struct DevArgs {
    /// A model to serve: a .py file that is watched, as examples/image_stats/image_stats.py; may be repeated
    #[arg(long = "model", value_name = "FILE")]
    models: Vec<PathBuf>,
    #[command(flatten)]
    place: ListenArgs,
}

/// Where the server of `dev` or `demo` listens.
#[derive(Debug, Args)]
pub(super) struct ListenArgs {
    /// Address to listen on, in place of 127.0.0.1:8080
    #[arg(long, env = "DARKROOM_LISTEN", value_name = "ADDRESS")]
    listen: Option<String>,
}

impl ListenArgs {
    /// What was said, if anything was.
    pub(super) fn said(&self) -> Option<&str> {
        self.listen.as_deref().filter(|address| !address.is_empty())
    }
}

/// Runs until SIGINT or SIGTERM. With `DATABASE_URL` or `REDIS_URL` set, those are used.
pub async fn run(args: DevArgs) -> anyhow::Result<Exit> {
    let place = args.place.said().unwrap_or(LISTEN);
    drop(listen(place).await?);
    let folder = || anyhow::Ok(data_folder()?.join("dev"));
    let (mut postgres, mut redis) = (None, None);
    // One that is given is taken as it is, with the roles that are given.
    let mut roles = Vec::new();
    let database_url = match given("DATABASE_URL") {
        Some(url) => url,
        None => {
            let own = postgres.insert(Postgres::start(&folder()?.join("postgres"), &[], false).await?);
            roles.push(("DARKROOM_OWNER_URL", own.url("postgres")));
            roles.push(("DARKROOM_AUDIT_URL", own.url_as(AUDITOR, "postgres")));
            own.url_as(APPLICATION, "postgres")
        }
    };
    let redis_url = match given("REDIS_URL") {
        Some(url) => url,
        None => redis.insert(Redis::start(&folder()?.join("redis"), false).await?).url(),
    };
    let data = Path::new(FOLDER).join("dev-data");
    // Kept from before the first build, which replaces the file that this process runs from.
    let program = std::env::current_exe().context("cannot find this program")?;
    let mut settings = vec![
        ("DATABASE_URL", database_url.clone()),
        ("REDIS_URL", redis_url),
        ("DARKROOM_DATA", data.display().to_string()),
        ("DARKROOM_LISTEN", place.to_owned()),
    ];
    for (name, url) in &roles {
        eprintln!("{name}='{url}'");
    }
    settings.extend(roles);
    eprintln!("PostgreSQL: psql '{database_url}'");
    let admin = postgres.as_ref().map(|_| Administrator::ready()).transpose()?;
    let mut stop = Box::pin(stop_signal());
    let mut server = None;
    let mut workers = Vec::new();
    let mut seen = None;
    loop {
        let now = newest_change();
        if seen != Some(now) {
            seen = Some(now);
            restart(&mut server, &program, &settings, admin.as_ref())?;
            if server.is_some() && workers.is_empty() && !args.models.is_empty() {
                // They outlive the servers that come after this one.
                workers = models::start(&args.models, place, &database_url).await?;
            }
        }
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    for worker in workers {
        end(&mut Some(worker));
    }
    end(&mut server);
    Ok(Exit::Success)
}

/// Builds, migrates and starts the new server; one that does not build leaves the old one running.
fn restart(
    server: &mut Option<Child>,
    program: &Path,
    settings: &[(&str, String)],
    admin: Option<&Administrator>,
) -> anyhow::Result<()> {
    eprintln!("building…");
    let built = Command::new("cargo").args(["build", "--quiet"]).status().context("cannot run cargo")?;
    if !built.success() {
        eprintln!("does not build; the server before goes on");
        return Ok(());
    }
    end(server);
    let environment = || settings.iter().map(|(name, value)| (*name, value.as_str()));
    let migrated = Command::new(program).arg("migrate").envs(environment()).status()?;
    if migrated.success() {
        if let Some(admin) = admin {
            let made =
                Command::new(program).args(admin.command()).envs(environment()).stderr(Stdio::null()).status()?;
            // It is there from an earlier start.
            let done = if made.success() { "made" } else { "there" };
            eprintln!("administrator: {ADMIN} ({done}), password in {}", admin.password.display());
        }
        *server = Some(Command::new(program).arg("serve").envs(environment()).spawn()?);
    }
    Ok(())
}

/// The account of a private database's own administrator, whose password lies beside.
struct Administrator {
    password: PathBuf,
}

impl Administrator {
    /// Makes up the password, once.
    fn ready() -> anyhow::Result<Self> {
        let password = Path::new(FOLDER).join("dev-admin.password");
        if !password.exists() {
            own_folder(Path::new(FOLDER), None)?;
            private_file(&password, &made_up_password(), None)?;
        }
        Ok(Self { password })
    }

    fn command(&self) -> [String; 7] {
        let file = self.password.display().to_string();
        ["user", "create", ADMIN, "--roles", "admin,investigator,researcher", "--password-file", &file]
            .map(str::to_owned)
    }
}

/// A variable of the environment, if it is set to something.
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn end(server: &mut Option<Child>) {
    if let Some(mut child) = server.take() {
        // Asked to stop first, so that it lets go of its requests.
        let _ = process::signal(&child.id().to_string(), "TERM");
        let _ = child.wait();
    }
}

fn newest_change() -> SystemTime {
    let files = WATCHED.iter().flat_map(WalkDir::new).flatten();
    let changed = files.filter_map(|file| file.metadata().ok()?.modified().ok());
    changed.max().unwrap_or(SystemTime::UNIX_EPOCH)
}
