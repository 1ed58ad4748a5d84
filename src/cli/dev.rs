//! `darkroom dev`: private servers, and a server that restarts when the code changes.

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use walkdir::WalkDir;

use super::exit::Exit;
use crate::app::stop_signal;
use crate::dev::postgres::{APPLICATION, AUDITOR};
use crate::dev::{FOLDER, Postgres, Redis, data_folder, process};

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What the server is made of.
const WATCHED: [&str; 4] = ["src", "migrations", "Cargo.toml", "Cargo.lock"];

/// Runs until SIGINT or SIGTERM. With `DATABASE_URL` or `REDIS_URL` set, those are used.
pub async fn run() -> anyhow::Result<Exit> {
    let folder = || anyhow::Ok(data_folder()?.join("dev"));
    let given = |name: &str| std::env::var(name).ok().filter(|url| !url.is_empty());
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
    ];
    for (name, url) in &roles {
        eprintln!("{name}='{url}'");
    }
    settings.extend(roles);
    eprintln!("PostgreSQL: psql '{database_url}'");
    eprintln!(
        "make an administrator with:\n  DATABASE_URL='{database_url}' cargo run -- user create admin --roles admin,investigator,researcher"
    );
    let mut stop = Box::pin(stop_signal());
    let mut server = None;
    let mut seen = None;
    loop {
        let now = newest_change();
        if seen != Some(now) {
            seen = Some(now);
            restart(&mut server, &program, &settings)?;
        }
        tokio::select! {
            () = &mut stop => break,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
    end(&mut server);
    Ok(Exit::Success)
}

/// Builds, migrates and starts the new server; one that does not build leaves the old one running.
fn restart(server: &mut Option<Child>, program: &Path, settings: &[(&str, String)]) -> anyhow::Result<()> {
    let built = Command::new("cargo").args(["build", "--quiet"]).status().context("cannot run cargo")?;
    if !built.success() {
        eprintln!("does not build; the server before goes on");
        return Ok(());
    }
    end(server);
    let environment = || settings.iter().map(|(name, value)| (*name, value.as_str()));
    let migrated = Command::new(program).arg("migrate").envs(environment()).status()?;
    if migrated.success() {
        *server = Some(Command::new(program).arg("serve").envs(environment()).spawn()?);
    }
    Ok(())
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
