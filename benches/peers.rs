//! Other queues, each in its best documented batch configuration, fetched from npm when first asked for.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::process::Command;

use crate::site::Site;

/// A peer that takes longer is broken.
const WAIT: Duration = Duration::from_secs(120);

/// What is in each adapter's name, and what people call it.
pub const PEERS: [(&str, &str); 3] = [
    ("graphile_worker", "Graphile Worker in batch mode, in process"),
    ("pg_boss", "pg-boss in batches, in process"),
    ("bullmq", "BullMQ on a Redis that keeps nothing, in process"),
];

/// A folder with the adapters and what they need.
pub struct Peers {
    folder: PathBuf,
}

impl Peers {
    pub async fn fetch() -> anyhow::Result<Self> {
        let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let (source, folder) = (here.join("benches/peers"), here.join("target/bench/peers"));
        std::fs::create_dir_all(&folder)?;
        for entry in std::fs::read_dir(&source)? {
            let entry = entry?;
            std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
        }
        println!("    fetching the peers from npm into {}", folder.display());
        let npm = ["install", "--no-audit", "--no-fund", "--loglevel=error"];
        let done = Command::new("npm").args(npm).current_dir(&folder).status().await;
        ensure!(done.context("npm is needed to measure the peers")?.success(), "npm could not fetch the peers");
        Ok(Self { folder })
    }

    /// Runs so many jobs through a peer, in a database of its own; answers jobs per second.
    pub async fn run(&self, site: &Site, peer: &str, database: &str, jobs: usize) -> anyhow::Result<f64> {
        let url = site.empty_database(database).await?;
        let run = Command::new("node")
            .arg(format!("{peer}.mjs"))
            .current_dir(&self.folder)
            .env("JOBS", jobs.to_string())
            .env("PEER_POSTGRES", url)
            .env("PEER_REDIS", site.redis.url().trim_start_matches("redis+unix://"))
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .output();
        let done = tokio::time::timeout(WAIT, run).await.with_context(|| format!("{peer} does not end"))??;
        let text = String::from_utf8_lossy(&done.stdout);
        ensure!(done.status.success(), "{peer} failed: {text}");
        let last = text.lines().last().context("a peer said nothing")?;
        serde_json::from_str::<serde_json::Value>(last)?["rate"].as_f64().context("a peer told no rate")
    }
}
