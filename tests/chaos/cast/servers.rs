//! PostgreSQL and Redis: stopped, killed, and started again on the same folder.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use darkroom::dev::{Postgres, Redis, process};

use crate::kit::family::{family, state_and_parent};
use crate::kit::faults;

/// How long the processes of a killed PostgreSQL may outlive their parent before they are killed too.
const ORPHANS_WAIT: Duration = Duration::from_secs(5);

/// The private PostgreSQL.
pub struct Database {
    folder: PathBuf,
    /// What puts faults under it.
    under: Vec<String>,
    control: PathBuf,
    running: Option<Postgres>,
}

impl Database {
    pub async fn start(folder: PathBuf, shim: &str) -> anyhow::Result<Self> {
        std::fs::create_dir_all(&folder)?;
        let control = folder.join("disk");
        faults::tell(&control, "")?;
        let variables = [
            ("LD_PRELOAD", shim.to_owned()),
            ("FAULTS_DIR", folder.join("pg").to_string_lossy().into_owned()),
            ("FAULTS_CONTROL", control.to_string_lossy().into_owned()),
        ];
        let under = variables.into_iter().map(|(name, value)| format!("{name}={value}"));
        let under = std::iter::once("env".to_owned()).chain(under).collect();
        let mut database = Self { folder, under, control, running: None };
        database.restart().await?;
        Ok(database)
    }

    /// The socket's folder and its URL, which stay the same.
    pub fn url(&self) -> anyhow::Result<String> {
        Ok(self.running.as_ref().context("PostgreSQL is down")?.url("postgres"))
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("pg").join(".s.PGSQL.5432")
    }

    /// Ends it by a signal, `KILL` or `QUIT` (immediate shutdown), and waits until every process of it is gone.
    pub async fn down(&mut self, signal: &str) -> anyhow::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let family = family(&running.pid()?);
        process::signal(&family[0], signal)?;
        let start = Instant::now();
        for pid in &family {
            while is_alive(pid) {
                if start.elapsed() > ORPHANS_WAIT {
                    // It may have gone meanwhile.
                    let _ = process::signal(pid, "KILL");
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        tokio::task::spawn_blocking(move || drop(running)).await?;
        Ok(())
    }

    pub async fn restart(&mut self) -> anyhow::Result<()> {
        let settings = ["shared_buffers=128MB", "max_wal_size=1GB"];
        self.running = Some(Postgres::start_under(&self.folder, &self.under, &settings, false).await?);
        Ok(())
    }

    /// Tells its disk what to do, as `faults.c` has it.
    pub fn disk(&self, word: &str) -> anyhow::Result<()> {
        faults::tell(&self.control, word)
    }

    /// Stops every process of it until the guard is dropped.
    pub fn freeze(&self) -> anyhow::Result<Frozen> {
        freeze(&family(&self.running.as_ref().context("PostgreSQL is down")?.pid()?))
    }
}

/// The private Redis.
pub struct Cache {
    folder: PathBuf,
    running: Option<Redis>,
}

impl Cache {
    pub async fn start(folder: PathBuf) -> anyhow::Result<Self> {
        let running = Some(Redis::start(&folder, false).await?);
        Ok(Self { folder, running })
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.join("redis.sock")
    }

    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.socket().display())
    }

    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        process::signal(&running.pid()?, "KILL")?;
        tokio::task::spawn_blocking(move || drop(running)).await?;
        Ok(())
    }

    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.running = Some(Redis::start(&self.folder, false).await?);
        Ok(())
    }

    pub fn freeze(&self) -> anyhow::Result<Frozen> {
        freeze(&[self.running.as_ref().context("Redis is down")?.pid()?])
    }

    /// Runs a command.
    pub async fn command(&self, words: &[&str]) -> anyhow::Result<()> {
        let mut connection = redis::Client::open(self.url())?.get_multiplexed_async_connection().await?;
        let mut command = redis::cmd(words.first().context("no command")?);
        for word in &words[1..] {
            command.arg(*word);
        }
        command.query_async::<redis::Value>(&mut connection).await?;
        Ok(())
    }
}

/// Stopped processes; they go on when this is dropped, or when this process ends, by whatever cause.
pub struct Frozen(Child);

impl Drop for Frozen {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

fn freeze(pids: &[String]) -> anyhow::Result<Frozen> {
    let script = "kill -STOP \"$@\"; read -r _; kill -CONT \"$@\"";
    let mut command = Command::new("sh");
    command.args(["-c", script, "chaos-freeze"]).args(pids).stdin(Stdio::piped()).stderr(Stdio::null());
    // Away from the terminal's Ctrl-C, which would leave them stopped.
    Ok(Frozen(command.process_group(0).spawn()?))
}

fn is_alive(pid: &str) -> bool {
    state_and_parent(pid).is_some_and(|(state, _)| state != "Z")
}
