//! How each fault is done, and how it is known that it was: each answers whether it came to what its name says.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::Rng;
use rand::rngs::StdRng;

use crate::faults::{Hold, Kind, one_of};
use crate::parts::Part;
use crate::servers::{Cache, Database};
use crate::site::{PROXIED, Site};
use crate::{feats, now_s};

/// How long to wait for what another process does in its own time.
pub const PATIENCE: Duration = Duration::from_secs(25);

pub async fn carry_out(site: &Site, kind: Kind, mut hold: Hold, mut dice: StdRng) -> anyhow::Result<bool> {
    let lease = site.settings.lease_s;
    let mut seconds = |from: f64, to: f64| Duration::from_secs_f64(dice.random_range(from..to));
    match kind {
        Kind::KillReplica => {
            let at = replica(&hold)?;
            site.replicas[at].part.kill().await;
            site.until_alive(at).await?;
        }
        Kind::KillWorker => kill_worker(site, worker(&hold)?, kind).await,
        Kind::KillProducer => producer(site, &hold)?.kill().await,
        Kind::KillPostgres => fell(database(&mut hold)?, "KILL", seconds(0.0, 0.5)).await?,
        Kind::Immediate => fell(database(&mut hold)?, "QUIT", seconds(0.0, 0.5)).await?,
        Kind::KillRedis => {
            let cache = cache(&mut hold)?;
            cache.kill().await?;
            tokio::time::sleep(seconds(0.0, 2.0)).await;
            cache.restart().await?;
        }
        Kind::StopReplica => stop(&site.replicas[replica(&hold)?].part, seconds(0.3 * lease, 1.2 * lease)).await,
        // Short enough to go unnoticed: its session must live.
        Kind::StopWorker => stop(&site.workers[worker(&hold)?].part, seconds(0.1 * lease, 0.35 * lease)).await,
        Kind::StopProducer => stop(producer(site, &hold)?, seconds(0.5, 3.0)).await,
        Kind::StopPostgres => {
            let frozen = database(&mut hold)?.freeze()?;
            tokio::time::sleep(seconds(0.3, 2.0)).await;
            drop(frozen);
        }
        Kind::StopRedis => {
            let (from, frozen) = (now_s(), cache(&mut hold)?.freeze()?);
            tokio::time::sleep(seconds(1.0, 3.0)).await;
            drop(frozen);
            site.hit(kind.name(), "redis", from, now_s());
        }
        Kind::Flush => cache(&mut hold)?.command(&["FLUSHALL"]).await?,
        Kind::PastLease => return past_lease(site, worker(&hold)?, kind).await,
        Kind::KilledConnections => return kill_connections(site, cache(&mut hold)?).await,
        Kind::HalfOpen => {
            let doors = [&site.doors.postgres, &site.doors.redis, &site.doors.http];
            let door = one_of(&doors, &mut dice).context("no door")?;
            door.hold();
            tokio::time::sleep(Duration::from_secs_f64(dice.random_range(1.5..4.0))).await;
            if dice.random_bool(0.5) {
                // It takes what it could not say to the grave.
                site.replicas[PROXIED].part.kill().await;
            }
            door.release();
            site.until_alive(PROXIED).await?;
        }
        Kind::Death => return death(site, worker(&hold)?, kind).await,
        Kind::Outage => return outage(site, &mut hold, dice.random_bool(0.5)).await,
        Kind::Replay => return replay(site, worker(&hold)?).await,
        Kind::BeforeMirror => return feats::before_mirror(site, &mut dice).await,
        Kind::Collector => return feats::collector(site, &mut dice).await,
        Kind::Clock => return feats::clock(site, replica(&hold)?, seconds(3.0, 6.0)).await,
        Kind::Rolling => return rolling(site).await,
        Kind::DiskFull => return feats::disk_full(site, replica(&hold)?, dice).await,
    }
    Ok(true)
}

fn database(hold: &mut Hold) -> anyhow::Result<&mut Database> {
    hold.database.as_deref_mut().context("PostgreSQL is not held")
}

fn cache(hold: &mut Hold) -> anyhow::Result<&mut Cache> {
    hold.cache.as_deref_mut().context("Redis is not held")
}

fn replica(hold: &Hold) -> anyhow::Result<usize> {
    hold.replicas.first().map(|(at, _)| *at).context("no replica is held")
}

fn worker(hold: &Hold) -> anyhow::Result<usize> {
    hold.worker.as_ref().map(|(at, _)| *at).context("no worker is held")
}

fn producer<'s>(site: &'s Site, hold: &Hold) -> anyhow::Result<&'s Part> {
    let (at, _) = hold.producer.as_ref().context("no producer is held")?;
    Ok(&site.producers[*at].part)
}

async fn stop(part: &Part, how_long: Duration) {
    part.signal("STOP").await;
    tokio::time::sleep(how_long).await;
    part.signal("CONT").await;
}

async fn fell(database: &mut Database, signal: &str, pause: Duration) -> anyhow::Result<()> {
    database.down(signal).await?;
    tokio::time::sleep(pause).await;
    database.restart().await
}

async fn kill_worker(site: &Site, at: usize, kind: Kind) {
    let part = &site.workers[at].part;
    // Its session may be given up much later, when an outage lengthens every lease.
    site.hit(kind.name(), &part.name, now_s(), f64::INFINITY);
    part.kill().await;
}

/// How many jobs the sessions of a worker hold, or nothing when none is alive.
async fn held_by(site: &Site, name: &str) -> anyhow::Result<Option<i64>> {
    let mut db = site.sql().await?;
    Ok(sqlx::query_scalar(
        "SELECT count(j.id) FROM worker_session AS s LEFT JOIN job AS j ON j.session_id = s.id AND j.state = 'running'
         WHERE s.host = $1 AND s.ended_at IS NULL GROUP BY s.id ORDER BY count(j.id) DESC LIMIT 1",
    )
    .bind(name)
    .fetch_optional(&mut db)
    .await?)
}

/// Stops a worker that holds jobs until its session is given up; then it goes on and completes them.
async fn past_lease(site: &Site, at: usize, kind: Kind) -> anyhow::Result<bool> {
    let part = &site.workers[at].part;
    let mut said = part.listen();
    part.say("dawdle");
    let line = tokio::time::timeout(PATIENCE, said.recv()).await??;
    let (from, start) = (now_s(), Instant::now());
    part.signal("STOP").await;
    let held = held_by(site, &part.name).await;
    let mut lost = false;
    while !lost && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        lost = held_by(site, &part.name).await.is_ok_and(|held| held.is_none());
    }
    part.signal("CONT").await;
    site.hit(kind.name(), &part.name, from, now_s() + 2.0 * site.settings.lease_s);
    anyhow::ensure!(line.starts_with("dawdles "), "{line}");
    Ok(lost && held?.unwrap_or(0) > 0)
}

/// Asks one replica after another to stop, and waits until it has done so by itself and its successor answers.
async fn rolling(site: &Site) -> anyhow::Result<bool> {
    for at in 0..site.replicas.len() {
        let part = &site.replicas[at].part;
        let (lives, start) = (part.lives.load(Ordering::Relaxed), Instant::now());
        part.signal("TERM").await;
        while part.lives.load(Ordering::Relaxed) == lives {
            anyhow::ensure!(start.elapsed() < PATIENCE, "{} does not stop", part.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        site.until_alive(at).await?;
    }
    Ok(true)
}

async fn kill_connections(site: &Site, cache: &Cache) -> anyhow::Result<bool> {
    let mut db = site.sql().await?;
    let killed: i64 = sqlx::query_scalar(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'darkroom'",
    )
    .fetch_one(&mut db)
    .await?;
    cache.command(&["CLIENT", "KILL", "TYPE", "normal"]).await?;
    for door in [&site.doors.postgres, &site.doors.redis, &site.doors.http] {
        door.cut();
    }
    Ok(killed > 0)
}

/// Kills a worker that has taken at least a hundred leases.
async fn death(site: &Site, at: usize, kind: Kind) -> anyhow::Result<bool> {
    let part = &site.workers[at].part;
    let mut said = part.listen();
    part.say("hoard");
    let line = tokio::time::timeout(PATIENCE, said.recv()).await??;
    let held = held_by(site, &part.name).await?.unwrap_or(0);
    kill_worker(site, at, kind).await;
    anyhow::ensure!(line.starts_with("hoards "), "{line}");
    Ok(held >= 100)
}

/// Takes the service away for longer than a lease, by PostgreSQL or by every replica.
async fn outage(site: &Site, hold: &mut Hold, by_database: bool) -> anyhow::Result<bool> {
    let longer = site.settings.lease_s + 2.0 * site.settings.rescue_s() + 1.0;
    let longer = Duration::from_secs_f64(longer);
    if by_database {
        let database = database(hold)?;
        database.down("INT").await?;
        tokio::time::sleep(longer).await;
        database.restart().await?;
        return Ok(true);
    }
    for replica in &site.replicas {
        replica.part.signal("STOP").await;
    }
    tokio::time::sleep(longer).await;
    for replica in &site.replicas {
        replica.part.signal("CONT").await;
    }
    Ok(true)
}

async fn replay(site: &Site, at: usize) -> anyhow::Result<bool> {
    let part = &site.workers[at].part;
    let mut said = part.listen();
    part.say("replay");
    let line = tokio::time::timeout(PATIENCE, said.recv()).await??;
    Ok(line.strip_prefix("replayed ").is_some_and(|count| count != "0"))
}
