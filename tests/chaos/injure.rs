//! How each fault is done, and how it is known that it was: each answers whether it came to what its name says.

use std::time::{Duration, Instant};

use anyhow::Context;
use chrono::DateTime;
use darkroom::maintenance;
use rand::Rng;
use rand::rngs::StdRng;
use reqwest::Method;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::api::{Body, Form};
use crate::faults::{Hold, Kind, one_of};
use crate::images::photo;
use crate::now_s;
use crate::parts::Part;
use crate::producer::own_images;
use crate::servers::{Cache, Database};
use crate::site::{MODELS, PROXIED, REPLICAS, Site};

/// How long to wait for what another process does in its own time.
const PATIENCE: Duration = Duration::from_secs(25);
/// How often a kill between COMMIT and the mirror is tried.
const GAP_TRIES: usize = 12;
/// What the collector is told: its own age in the server.
const BLOB_AGE: Duration = Duration::from_secs(24 * 3600);

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
        Kind::BeforeMirror => return before_mirror(site, &mut dice).await,
        Kind::Collector => return collector(site, &mut dice).await,
        Kind::Clock => return clock(site, replica(&hold)?, seconds(3.0, 6.0)).await,
        Kind::DiskFull => return disk_full(site, replica(&hold)?, dice).await,
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

/// Stops a worker until its session is given up; then it goes on as if nothing had been.
async fn past_lease(site: &Site, at: usize, kind: Kind) -> anyhow::Result<bool> {
    let part = &site.workers[at].part;
    let (from, start) = (now_s(), Instant::now());
    part.signal("STOP").await;
    let mut lost = false;
    while !lost && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(200)).await;
        lost = held_by(site, &part.name).await.is_ok_and(|held| held.is_none());
    }
    part.signal("CONT").await;
    site.hit(kind.name(), &part.name, from, now_s() + 2.0 * site.settings.lease_s);
    Ok(lost)
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

/// Makes Redis unreachable for one replica and kills it while it waits for it; reached when what it had to say to
/// Redis tells of an event that is committed and newer than that.
async fn before_mirror(site: &Site, dice: &mut StdRng) -> anyhow::Result<bool> {
    for _ in 0..GAP_TRIES {
        site.until_alive(PROXIED).await?;
        // It must have found Redis again, and work.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let since = now_s();
        site.doors.redis.hold();
        tokio::time::sleep(Duration::from_millis(dice.random_range(80..250))).await;
        site.replicas[PROXIED].part.kill().await;
        let unsaid = site.doors.redis.release();
        let mut db = site.sql().await?;
        let committed: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM job_event WHERE id = ANY($1) AND at > to_timestamp($2) AND session_id IS NOT NULL",
        )
        .bind(events_in(&unsaid))
        .bind(since)
        .fetch_one(&mut db)
        .await?;
        if committed > 0 {
            site.until_alive(PROXIED).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The events in changes to the mirror, which begin with the job's id and the event's.
fn events_in(bytes: &[u8]) -> Vec<i64> {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.split([' ', '\r', '\n']).collect();
    let is_event = |pair: &[&str]| Uuid::parse_str(pair[0]).ok().and(pair[1].parse().ok());
    words.windows(2).filter_map(is_event).collect()
}

/// Uploads the same bytes again and again, beside orphans of the same bytes, while the collector removes those.
async fn collector(site: &Site, dice: &mut StdRng) -> anyhow::Result<bool> {
    let images = own_images(site.settings.seed, 6);
    let data = site.scratch.join("data/images");
    let (start, mut collected, mut uploaded) = (Instant::now(), 0, 0);
    while start.elapsed() < Duration::from_secs(3) {
        for (_, bytes) in &images {
            let folder = data.join(hex::encode(Sha256::digest(bytes)));
            std::fs::create_dir_all(&folder)?;
            let orphan = std::fs::File::create(folder.join(Uuid::new_v4().to_string()))?;
            orphan.set_modified(std::time::SystemTime::now() - 2 * BLOB_AGE)?;
        }
        let form = images.iter().fold(Form::new().text("models", MODELS[0]), |f, (md5, bytes)| f.image(md5, bytes));
        let body = Body::Form(form);
        let at = dice.random_range(0..site.replicas.len());
        let ctx = &site.collector.ctx;
        let (removed, answer) = tokio::join!(
            maintenance::collect_blobs(ctx, BLOB_AGE),
            site.api.ask(at, Method::POST, "/predict", &body, PATIENCE)
        );
        collected += removed.unwrap_or(0);
        if let Ok((202, answer)) = answer {
            uploaded += 1;
            site.ledger.lock().await.accepted(&answer)?;
            for (md5, bytes) in &images {
                let path = format!("/images/{md5}/content");
                let read = site.api.bytes(at, Method::GET, &path, &Body::Nothing, PATIENCE).await;
                if let Ok((status @ (200 | 404 | 500), read)) = read
                    && (status != 200 || read != *bytes)
                {
                    site.contradiction(format!("{path} answered {status} with {} bytes", read.len()));
                }
            }
        }
    }
    Ok(collected > 0 && uploaded > 0)
}

/// Starts a replica with a clock that is a day fast, lets it serve while others take uploads, and starts it again
/// with the right one.
async fn clock(site: &Site, at: usize, how_long: Duration) -> anyhow::Result<bool> {
    let replica = &site.replicas[at];
    replica.part.set("FAULTS_CLOCK_S", Some("86400"));
    replica.part.kill().await;
    let fast = async {
        site.until_alive(at).await?;
        let answer = reqwest::get(format!("{}/health/live", replica.base)).await?;
        let date = answer.headers().get("date").and_then(|d| d.to_str().ok()).context("no date")?;
        let ahead = DateTime::parse_from_rfc2822(date)?.timestamp() as f64 - now_s();
        tokio::time::sleep(how_long).await;
        anyhow::Ok(ahead > 86_000.0)
    };
    // Fresh bytes elsewhere must not look old to it.
    let (one, other) = ((at + 1) % REPLICAS, (at + 2) % REPLICAS);
    let uploads =
        async { tokio::try_join!(upload(site, one), upload(site, one), upload(site, other), upload(site, other)) };
    let reached = tokio::select! {
        reached = fast => reached,
        failed = uploads => failed.map(|_| false),
    };
    replica.part.set("FAULTS_CLOCK_S", None);
    replica.part.kill().await;
    site.until_alive(at).await?;
    reached
}

/// Uploads new images, without end.
async fn upload(site: &Site, at: usize) -> anyhow::Result<()> {
    loop {
        let form = Form::new().text("models", MODELS[0]);
        let form = (0..8).fold(form, |form, n| form.image(&format!("{n}.png"), &photo(rand::random())));
        match site.api.ask(at, Method::POST, "/predict", &Body::Form(form), PATIENCE).await {
            Ok((202, answer)) => drop(site.ledger.lock().await.accepted(&answer)?),
            _ => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}

/// Leaves a replica no room for bytes; reached when it says so.
async fn disk_full(site: &Site, at: usize, mut dice: StdRng) -> anyhow::Result<bool> {
    // In place: the replica keeps the file open.
    let tell = |word: &[u8]| -> anyhow::Result<()> {
        use std::os::unix::fs::FileExt;
        std::fs::File::options().write(true).open(&site.replicas[at].control)?.write_all_at(word, 0)?;
        Ok(())
    };
    tell(b"full")?;
    let start = Instant::now();
    let mut refused = false;
    while start.elapsed() < Duration::from_secs(3) {
        let form = Form::new().text("models", MODELS[0]).image("a.png", &photo(dice.random()));
        let answer = site.api.ask(at, Method::POST, "/predict", &Body::Form(form), PATIENCE).await;
        refused |= answer.is_ok_and(|(status, _)| status == 507);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    tell(b"    ")?;
    Ok(refused)
}
