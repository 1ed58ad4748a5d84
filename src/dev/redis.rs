//! A private Redis or Valkey on a Unix socket, without persistence: it holds nothing that cannot be rebuilt.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use super::find;
use super::folder::private_folder;
use super::process::{Server, await_start};

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
        let places = ["--unixsocket", &socket, "--pidfile", &pid, "--dir", &home];
        let fixed = "--port 0 --appendonly no --daemonize no --databases 1 --save";
        let mut command = vec![program];
        command.extend(places.map(str::to_owned));
        // An empty word at the end: never save.
        command.extend(fixed.split(' ').chain([""]).map(str::to_owned));
        let server = Server::start(&command, "TERM", &folder.join("redis.log"), scrap.then_some(folder))?;
        let redis = Self { folder: folder.to_path_buf(), _server: server };
        let client = ::redis::Client::open(redis.url())?;
        await_start("Redis", START_WAIT, &folder.join("redis.log"), || client.get_multiplexed_async_connection())
            .await?;
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
}
