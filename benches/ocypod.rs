//! Ocypod, a job queue over HTTP on Redis, asked by the same thin client as ours. It is built once by hand, because
//! that takes minutes: see [`INSTALL`].

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use axum::http::{HeaderValue, Method, StatusCode};
use futures_util::future::{try_join, try_join_all};
use serde::Deserialize;
use tokio::process::{Child, Command};

use crate::costs::Parties;
use crate::installation::DOCUMENT;
use crate::peers::Peers;
use crate::sample::{Done, Side};
use crate::site::Site;
use crate::wire::{JSON, Wire};

pub const INSTALL: &str = "cargo install ocypod --version 0.8.0 --root target/bench/ocypod";
pub const NAME: &str = "Ocypod over HTTP, one by one, 4 submitters and 64 workers";
pub const LEAVES_OUT: &str = "durability (all is in Redis), users and keys, results by image, an audit, batches, waiting \
                              (its workers ask again), fencing";
const SUBMITTERS: usize = 4;
const WORKERS: usize = 64;
const START_WAIT: Duration = Duration::from_secs(10);
/// A worker that finds nothing asks again after this.
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Deserialize)]
struct Job {
    id: u64,
}

/// Its server, if it was built.
pub fn installed() -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    Some(here.join("target/bench/ocypod/bin/ocypod-server")).filter(|program| program.exists())
}

/// Lets it take a turn, on an empty Redis.
pub async fn turn(site: &Site, peers: &Peers, program: &Path, side: &mut Side, jobs: usize) -> anyhow::Result<()> {
    peers.forget().await?;
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let settings = site.folder().join("ocypod.toml");
    let (port, redis) = (address.port(), peers.redis_url());
    std::fs::write(
        &settings,
        format!("[server]\nport = {port}\nlog_level = \"error\"\n[redis]\nurl = \"{redis}\"\n[queue.predict]\n"),
    )?;
    let server = Command::new(program).arg(&settings).stdin(Stdio::null()).kill_on_drop(true).spawn()?;
    let address = address.to_string();
    wait_until_up(&address).await?;
    run(&address, jobs.min(SUBMITTERS * 50)).await?;
    let parties = Parties { servers: server.id().into_iter().collect(), client: None, redis: peers.redis_pid()? };
    side.turn(site, parties, "postgres", run(&address, jobs)).await?;
    stop(server).await
}

async fn wait_until_up(address: &str) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        if let Ok(mut wire) = Wire::open(address).await
            && wire.get("/health", None).await.is_ok()
        {
            return Ok(());
        }
        ensure!(started.elapsed() < START_WAIT, "Ocypod does not start");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn stop(mut server: Child) -> anyhow::Result<()> {
    server.kill().await.context("Ocypod does not stop")
}

async fn run(address: &str, jobs: usize) -> anyhow::Result<Done> {
    let mut wires = Vec::new();
    for _ in 0..SUBMITTERS + WORKERS {
        wires.push(Wire::open(address).await?);
    }
    let workers = wires.split_off(SUBMITTERS);
    let (jobs, done, started) = (jobs - jobs % SUBMITTERS, &AtomicUsize::new(0), Instant::now());
    let submitting = wires.into_iter().map(|wire| submit(wire, jobs / SUBMITTERS));
    let working = workers.into_iter().map(|wire| work(wire, done, jobs));
    try_join(try_join_all(submitting), try_join_all(working)).await?;
    Ok(Done { jobs, took: started.elapsed() })
}

async fn submit(mut wire: Wire, jobs: usize) -> anyhow::Result<()> {
    let nobody = HeaderValue::from_static("nobody");
    for image in 0..jobs {
        wire.post("/queue/predict/job", &nobody, format!(r#"{{"input":{{"image":{image},"params":{{}}}}}}"#)).await?;
    }
    Ok(())
}

async fn work(mut wire: Wire, done: &AtomicUsize, jobs: usize) -> anyhow::Result<()> {
    let output = format!(r#"{{"status":"completed","output":{DOCUMENT}}}"#);
    while done.load(Ordering::Relaxed) < jobs {
        let next = wire.call(Method::GET, "/queue/predict/job", None, None, Default::default()).await?;
        if next.status == StatusCode::NO_CONTENT {
            tokio::time::sleep(PAUSE).await;
            continue;
        }
        let job: Job = serde_json::from_slice(&next.body)?;
        let path = format!("/job/{}", job.id);
        let ended = wire.call(Method::PATCH, &path, None, Some(JSON), output.clone().into()).await?;
        ensure!(ended.status.is_success(), "{path} answered {}", ended.status);
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
