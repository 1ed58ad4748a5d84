//! The whole run: start, injure, let everything end, judge.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::PgConnection;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::cast::{prober, researcher};
use crate::faults::{self, Tally};
use crate::judge::{recovery, report, verdict, watch};
use crate::site::{STOPPED, Settings, Site};
use crate::{now_s, start};

/// How often there is a line of progress.
const PROGRESS_EVERY: Duration = Duration::from_secs(5);
/// How long everything accepted may take to end once nothing is injured any more.
const DRAIN_WAIT: Duration = Duration::from_secs(120);

/// How often it is looked whether this process is given the processor, and how late that may be.
const TICK: Duration = Duration::from_millis(50);
const STALL: Duration = Duration::from_millis(400);

/// Answers whether all was well.
pub async fn main() -> anyhow::Result<bool> {
    let settings = Settings::read()?;
    println!("chaos: DURATION={} LEASE_S={} SEED={}", settings.duration.as_secs(), settings.lease_s, settings.seed);
    let mut term = signal(SignalKind::terminate())?;
    let site = Arc::new(start::start(settings).await?);
    let judged = tokio::select! {
        judged = run(&site) => judged,
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
        _ = term.recv() => Err(anyhow::anyhow!("told to stop")),
    };
    // Tasks that were cut off by an early end give their share up when they next wait.
    let mut shared = site;
    let site = loop {
        match Arc::try_unwrap(shared) {
            Ok(site) => break site,
            Err(still) => shared = still,
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    site.end().await?;
    judged
}

async fn run(site: &Arc<Site>) -> anyhow::Result<bool> {
    let start = Instant::now();
    let tally = Arc::new(Mutex::new(Tally::default()));
    let mut watcher = JoinSet::new();
    watcher.spawn(watch::run(Arc::clone(site)));
    let mut probers = JoinSet::new();
    for at in 0..site.replicas.len() {
        probers.spawn(prober::run(Arc::clone(site), at));
    }
    let mut researching = JoinSet::new();
    researching.spawn(researcher::run(Arc::clone(site)));
    let injured = faults::run(Arc::clone(site), start + site.settings.duration, Arc::clone(&tally));
    tokio::select! {
        () = async { injured.await; recover(site).await } => {}
        never = progress(site, start, &tally) => never?,
        () = note_stalls(site) => {}
    }
    let produced = start.elapsed();
    for producer in &site.producers {
        producer.part.end().await;
    }
    for (mut one, who) in [(watcher, "watcher"), (researching, "researcher")] {
        if let Some(ended) = one.try_join_next() {
            ended?.with_context(|| format!("the {who} ended by itself"))?;
        }
        one.shutdown().await;
    }
    let quiet = now_s();
    // None is cut off: nobody else would run the job that it had just submitted.
    site.probing.store(false, Ordering::Relaxed);
    probers.join_all().await;
    clear_away(site).await;
    drain(site).await?;
    // What a killed replica left in the mirror must be gone by then.
    tokio::time::sleep(watch::MIRROR_LAG).await;
    let verdict = verdict::judge(site, quiet).await?;
    let tally = std::mem::take(&mut *faults::lock(&tally));
    Ok(report::report(site, &tally, &verdict, produced))
}

/// How many jobs there are, ended and open; nothing while PostgreSQL is away.
async fn counts(site: &Site, db: &mut Option<PgConnection>) -> Option<(i64, i64)> {
    if db.is_none() {
        *db = site.sql().await.ok();
    }
    let asked = sqlx::query_as("SELECT (SELECT count(*) FROM job_archive), (SELECT count(*) FROM job)");
    let answer = tokio::time::timeout(Duration::from_secs(2), asked.fetch_one(db.as_mut()?)).await;
    let counted = answer.ok().and_then(Result::ok);
    if counted.is_none() {
        *db = None;
    }
    counted
}

/// Says how it goes, without end.
async fn progress(site: &Site, start: Instant, tally: &Mutex<Tally>) -> anyhow::Result<()> {
    let mut db = None;
    loop {
        tokio::time::sleep(PROGRESS_EVERY).await;
        let (last, reached) = {
            let tally = faults::lock(tally);
            (tally.last, tally.reached.values().sum::<u32>())
        };
        let elapsed = start.elapsed().as_secs_f64();
        match counts(site, &mut db).await {
            Some((ended, open)) => println!(
                "{elapsed:6.1} s  accepted {:7}  finished {ended:7}  open {open:5}  {:5.0}/s  faults {reached:4}  last: {last}",
                ended + open,
                (ended + open) as f64 / elapsed
            ),
            None => println!("{elapsed:6.1} s  PostgreSQL is away  faults {reached:4}  last: {last}"),
        }
    }
}

/// Notes, without end, when the machine had no processor for this very process: no wait is judged then.
async fn note_stalls(site: &Site) {
    loop {
        let (asleep, from) = (Instant::now(), now_s());
        tokio::time::sleep(TICK).await;
        if asleep.elapsed() > TICK + STALL {
            site.hit("a stall of the machine", STOPPED, from, now_s());
            site.wound("a stall of the machine", (0..site.replicas.len()).collect(), from, now_s());
        }
    }
}

/// Gives every replica the time that it may take for a whole lifecycle after the last fault.
async fn recover(site: &Site) {
    let (from, start) = (now_s(), Instant::now());
    while start.elapsed().as_secs_f64() < recovery::BOUND_S + 1.0 {
        if (0..site.replicas.len()).all(|at| site.last_life(at) > from) {
            return;
        }
        tokio::time::sleep(TICK).await;
    }
}

/// Cancels what the probers left behind: nobody else runs their models.
async fn clear_away(site: &Site) {
    let left = std::mem::take(&mut *site.left_behind.lock().unwrap_or_else(PoisonError::into_inner));
    for submission in left {
        let path = format!("/submissions/{submission}/cancel");
        site.api.post(&path, serde_json::Value::Null, Duration::from_secs(5)).await;
    }
}

/// Waits until nothing is open.
async fn drain(site: &Site) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut db = None;
    while start.elapsed() < DRAIN_WAIT {
        match counts(site, &mut db).await {
            Some((_, 0)) => {
                println!("everything ended {:.1} s after the last fault", start.elapsed().as_secs_f64());
                return Ok(());
            }
            Some((ended, open)) => println!("        draining   finished {ended:7}  open {open:5}"),
            None => println!("        draining   PostgreSQL is away"),
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    println!("giving up: what is open counts as lost");
    Ok(())
}
