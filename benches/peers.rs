//! Other queues, each in its best documented configuration, by its own client over the network. An adapter in
//! `peers/` warms up, says `ready`, waits for a line, works, and says how many jobs it did in how many seconds.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use darkroom::dev::Redis;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::costs::Parties;
use crate::sample::{Done, Side};
use crate::site::{Site, open_to_network};

/// A peer that takes longer, to get ready or to work, is broken.
const WAIT: Duration = Duration::from_secs(60);

/// An adapter, and what is told of it.
pub struct Peer {
    /// The file in `peers/`.
    pub adapter: &'static str,
    pub name: &'static str,
    pub leaves_out: &'static str,
}

/// A folder with the adapters and what they need, and a Redis of their own, without persistence as ours.
pub struct Peers {
    folder: PathBuf,
    redis: Redis,
    redis_at: String,
}

#[derive(Deserialize)]
struct Told {
    jobs: usize,
    seconds: f64,
}

impl Peers {
    /// Fetches the adapters' packages with npm or pip when first asked for.
    pub async fn fetch(site: &Site, python: bool) -> anyhow::Result<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = here.join("target/bench/peers");
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(here.join("benches/peers"))? {
            let entry = entry?;
            std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        if python {
            run("python3", &["-m", "venv", "venv"], &folder).await?;
            let pip =
                ["install", "--quiet", "--require-hashes", "--disable-pip-version-check", "-r", "requirements.txt"];
            run("venv/bin/pip", &pip, &folder).await?;
        } else {
            run("npm", &["ci", "--no-audit", "--no-fund", "--silent"], &folder).await?;
        }
        let redis = Redis::start(&site.folder().join("redis-of-peers"), true).await?;
        let redis_at = open_to_network(&redis).await?;
        Ok(Self { folder, redis, redis_at })
    }

    pub fn redis_url(&self) -> String {
        format!("redis://{}/0", self.redis_at)
    }

    pub fn redis_pid(&self) -> anyhow::Result<u32> {
        Ok(self.redis.pid()?.parse()?)
    }

    /// Empties their Redis.
    pub async fn forget(&self) -> anyhow::Result<()> {
        let mut connection = redis::Client::open(self.redis.url())?.get_multiplexed_async_connection().await?;
        Ok(redis::cmd("FLUSHALL").exec_async(&mut connection).await?)
    }

    /// Lets a peer take a turn of so many jobs, in a database and a Redis that are empty but for its warm-up.
    pub async fn turn(&self, site: &Site, peer: &Peer, side: &mut Side, jobs: usize) -> anyhow::Result<()> {
        let database = format!("peer_{}_{}", peer.adapter.replace('.', "_"), side.rates.len());
        let url = site.empty_database(&database).await?;
        self.forget().await?;
        let mut adapter = Adapter::start(self, peer, &url, jobs)?;
        let parties = Parties { servers: Vec::new(), client: adapter.child.id(), redis: self.redis_pid()? };
        let ended = async {
            adapter.get_ready().await?;
            side.turn(site, parties, &database, adapter.work()).await
        };
        let ended = ended.await.with_context(|| peer.name.to_owned());
        adapter.end().await;
        ended
    }

    /// Removes the databases of a side's turns. Not between turns: PostgreSQL makes a checkpoint for it, and every
    /// page that is touched after one is logged whole.
    pub async fn clear(&self, site: &Site, peer: &Peer, side: &Side) -> anyhow::Result<()> {
        for turn in 0..side.rates.len() {
            site.drop_database(&format!("peer_{}_{turn}", peer.adapter.replace('.', "_"))).await?;
        }
        Ok(())
    }
}

/// A running adapter.
struct Adapter {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Adapter {
    fn start(peers: &Peers, peer: &Peer, url: &str, jobs: usize) -> anyhow::Result<Self> {
        let program = if peer.adapter.ends_with(".py") { "venv/bin/python" } else { "node" };
        let mut child =
            Command::new(if program == "node" { PathBuf::from(program) } else { peers.folder.join(program) })
                .arg(peer.adapter)
                .current_dir(&peers.folder)
                .env("JOBS", jobs.to_string())
                .env("PEER_POSTGRES", url)
                .env("PEER_REDIS", peers.redis_url())
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
        let said = BufReader::new(child.stdout.take().context("no output")?).lines();
        Ok(Self { child, said })
    }

    async fn get_ready(&mut self) -> anyhow::Result<()> {
        let said = self.line().await?;
        ensure!(said == "ready", "it said {said:?} in place of ready");
        Ok(())
    }

    async fn work(&mut self) -> anyhow::Result<Done> {
        self.child.stdin.as_mut().context("no input")?.write_all(b"go\n").await?;
        let told: Told = serde_json::from_str(&self.line().await?)?;
        Ok(Done { jobs: told.jobs, took: Duration::from_secs_f64(told.seconds) })
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let line = tokio::time::timeout(WAIT, self.said.next_line()).await.context("it takes too long")??;
        line.context("it ended")
    }

    /// Its input closes, by which it ends with all that it has started.
    async fn end(mut self) {
        drop(self.child.stdin.take());
        // One that does not end is killed when it is dropped.
        let _ = tokio::time::timeout(WAIT, self.child.wait()).await;
    }
}

async fn run(program: &str, args: &[&str], folder: &Path) -> anyhow::Result<()> {
    let found = folder.join(program);
    let program = if found.exists() { found } else { PathBuf::from(program) };
    let done = Command::new(&program).args(args).current_dir(folder).stdin(Stdio::null()).status().await;
    let done = done.with_context(|| format!("{} is needed to measure the peers", program.display()))?;
    ensure!(done.success(), "{} {} failed", program.display(), args.join(" "));
    Ok(())
}
