//! A private Redis or Valkey on a Unix socket, without persistence: it holds nothing that cannot be rebuilt.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::process::Server;
use super::{find, private_folder};

/// How long the server may take to accept connections.
const START_WAIT: Duration = Duration::from_secs(20);

/// A running server; it stops when dropped.
pub struct Redis {
    folder: PathBuf,
    _server: Server,
}

impl Redis {
    /// Starts a server whose socket lies in this folder. With `scrap` the folder is removed when it has stopped.
    pub async fn start(folder: &Path, scrap: bool) -> anyhow::Result<Self> {
        let program = find::redis_server()?.to_string_lossy().into_owned();
        private_folder(folder)?;
        let text = |name: &str| folder.join(name).to_string_lossy().into_owned();
        let (socket, pid, home) = (text("redis.sock"), text("redis.pid"), folder.to_string_lossy().into_owned());
        let _ = std::fs::remove_file(&socket);
        let settings = [
            "--port",
            "0",
            "--unixsocket",
            &socket,
            "--pidfile",
            &pid,
            "--dir",
            &home,
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        let mut command = vec![program];
        command.extend(settings.map(str::to_owned));
        command.extend(["--daemonize", "no", "--databases", "1"].map(str::to_owned));
        let server = Server::start(&command, "TERM", &folder.join("redis.log"), scrap.then_some(folder))?;
        let redis = Self { folder: folder.to_path_buf(), _server: server };
        redis.wait().await?;
        Ok(redis)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("redis+unix://{}", self.folder.join("redis.sock").display())
    }

    /// The process id of the server, to stop and continue it in tests.
    pub fn pid(&self) -> anyhow::Result<String> {
        Ok(std::fs::read_to_string(self.folder.join("redis.pid")).context("no redis.pid")?.trim().to_owned())
    }

    async fn wait(&self) -> anyhow::Result<()> {
        let client = ::redis::Client::open(self.url())?;
        let start = Instant::now();
        loop {
            match client.get_multiplexed_async_connection().await {
                Ok(_) => return Ok(()),
                Err(error) if start.elapsed() > START_WAIT => {
                    let log = std::fs::read_to_string(self.folder.join("redis.log")).unwrap_or_default();
                    bail!("Redis did not start: {error}; its log says:\n{log}");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(30)).await,
            }
        }
    }
}
