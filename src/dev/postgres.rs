//! A private PostgreSQL on a Unix socket.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use anyhow::Context;
use sqlx::ConnectOptions;
use sqlx::postgres::PgConnectOptions;

use super::find;
use super::folder::{postgres_user, private_folder};
use super::process::{Server, await_start, output};

/// How long the server may take to accept connections; a crashed one first replays its log.
const START_WAIT: Duration = Duration::from_secs(60);
/// The socket is in a folder of its own, so the port is only part of its name.
const PORT: u16 = 5432;
const USER: &str = "darkroom";
/// The role as which a server for development logs in, and that of its auditor.
pub const APPLICATION: &str = "darkroom_app";
pub const AUDITOR: &str = "darkroom_auditor";

/// A running server; it stops when dropped.
pub struct Postgres {
    folder: PathBuf,
    cluster: PathBuf,
    _server: Server,
}

impl Postgres {
    /// Starts a server whose data lie in this folder, making a new one if there is none. With `scrap` the folder
    /// is removed when the server has stopped.
    pub async fn start(folder: &Path, settings: &[&str], scrap: bool) -> anyhow::Result<Self> {
        Self::start_under(folder, &[], settings, scrap).await
    }

    /// The same, run by another program, as `env` with variables that put faults under it in tests.
    pub async fn start_under(folder: &Path, runs: &[String], settings: &[&str], scrap: bool) -> anyhow::Result<Self> {
        let bin = find::postgres_bin()?;
        let data = folder.join("pg");
        let cluster = data.join(format!("cluster-{}", major_version(&bin)?));
        let runner = postgres_user()?;
        std::fs::create_dir_all(folder)?;
        private_folder(&data)?;
        if let Some(user) = &runner {
            output("chown", &[user, &data.to_string_lossy()])?;
        }
        let run_as = |program: &str| -> Vec<String> {
            let program = bin.join(program).to_string_lossy().into_owned();
            match &runner {
                None => vec![program],
                Some(user) => {
                    ["setpriv", &format!("--reuid={user}"), &format!("--regid={user}"), "--init-groups", &program]
                        .map(str::to_owned)
                        .to_vec()
                }
            }
        };
        if !cluster.join("PG_VERSION").exists() {
            let cluster = cluster.to_string_lossy().into_owned();
            let mut initdb = run_as("initdb");
            initdb.extend(
                ["-D", &cluster, "-U", USER, "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync"]
                    .map(str::to_owned),
            );
            let args: Vec<&str> = initdb[1..].iter().map(String::as_str).collect();
            output(&initdb[0], &args).context("cannot make a database cluster")?;
        }
        let mut command = run_as("postgres");
        let program = command.len() - 1;
        command.splice(program..program, runs.iter().cloned());
        let fixed = ["listen_addresses=", "max_connections=200", "logging_collector=off"].map(str::to_owned);
        let socket = format!("unix_socket_directories={}", data.display());
        command.extend(["-D".to_owned(), cluster.to_string_lossy().into_owned(), "-p".to_owned(), PORT.to_string()]);
        for setting in fixed.into_iter().chain([socket]).chain(settings.iter().map(|s| (*s).to_owned())) {
            command.extend(["-c".to_owned(), setting]);
        }
        let server = Server::start(&command, "INT", &folder.join("postgres.log"), scrap.then_some(folder))?;
        let postgres = Self { folder: folder.to_path_buf(), cluster, _server: server };
        let options = PgConnectOptions::from_str(&postgres.url("postgres"))?;
        await_start("PostgreSQL", START_WAIT, &folder.join("postgres.log"), || options.connect()).await?;
        Ok(postgres)
    }

    /// The URL of a database of this server, as who owns everything.
    pub fn url(&self, database: &str) -> String {
        self.url_as(USER, database)
    }

    /// The same as another role; nobody is asked for a password on this socket.
    pub fn url_as(&self, role: &str, database: &str) -> String {
        let socket = self.folder.join("pg").to_string_lossy().replace('/', "%2F");
        format!("postgres://{role}@{socket}:{PORT}/{database}")
    }

    /// The socket itself, for a proxy in tests.
    pub fn socket(&self) -> PathBuf {
        self.folder.join("pg").join(format!(".s.PGSQL.{PORT}"))
    }

    /// The process id of the server, to stop and continue it in tests.
    pub fn pid(&self) -> anyhow::Result<String> {
        let file = std::fs::read_to_string(self.cluster.join("postmaster.pid"))?;
        file.lines().next().map(str::to_owned).context("postmaster.pid is empty")
    }
}

/// The version that a cluster belongs to: another one cannot read it.
fn major_version(bin: &Path) -> anyhow::Result<String> {
    let text = output(&bin.join("postgres").to_string_lossy(), &["--version"])?;
    let number = text.split(' ').find(|word| word.starts_with(|c: char| c.is_ascii_digit()));
    let major = number.map(|n| n.chars().take_while(char::is_ascii_digit).collect());
    major.with_context(|| format!("{text:?} names no version"))
}
