//! How many jobs live their whole life in a second.

use std::time::{Duration, Instant};

use anyhow::Context;
use darkroom::index::keys;
use uuid::Uuid;

use crate::lifecycle::{self, Load};
use crate::peers::{PEERS, Peers};
use crate::profile;
use crate::raw;
use crate::report::{Row, Target, median};
use crate::site::{Installation, MODELS, Server, Site};
use crate::usage::Usage;

/// Samples of each side, taken in turns.
const ROUNDS: usize = 3;

const BATCHES: Load = Load { clients: 8, images: 250, claim: 100, rounds: 4 };
const SINGLES: Load = Load { clients: 64, images: 25, claim: 1, rounds: 2 };

/// Whole lifecycles in batches, against raw SQL and the peers.
pub async fn batches(site: &Site) -> anyhow::Result<Vec<Row>> {
    let on = site.install("a").await?;
    let plain = site.install("a_raw").await?;
    let server = site.serve(&on).await?;
    let peers = Peers::fetch().await?;
    lifecycle::run(&on, &[&server], Load { rounds: 1, ..BATCHES }).await?;
    raw::run(&plain, 8_000, 1_000).await?;
    let (mut ours, mut limit, mut theirs) = (Vec::new(), Vec::new(), [const { Vec::new() }; PEERS.len()]);
    for round in 0..ROUNDS {
        ours.push(sample(site, &on, &[&server], BATCHES).await?);
        limit.push(raw_sample(site, &plain, BATCHES.jobs(), 1_000).await?);
        for ((peer, _), rates) in PEERS.iter().zip(&mut theirs) {
            rates.push(peers.run(site, peer, &format!("{peer}_{round}"), BATCHES.jobs()).await?);
        }
    }
    let what = "whole lifecycles over HTTP, claimed and completed by 100, 8 connections";
    let row = |against, target| Row::ratio("a", what, "jobs/s", median(&ours), against, target);
    let limit = ("raw SQL, batches of 1,000 on four connections", median(&limit));
    let mut rows = vec![row(limit, Target::AtLeast(0.6))];
    rows.extend(PEERS.iter().zip(&theirs).map(|((_, name), rates)| row((name, median(rates)), Target::AtLeast(1.0))));
    Ok(rows)
}

/// Whole lifecycles one by one, by many workers.
pub async fn singles(site: &Site) -> anyhow::Result<Vec<Row>> {
    let on = site.install("b").await?;
    let plain = site.install("b_raw").await?;
    let server = site.serve(&on).await?;
    lifecycle::run(&on, &[&server], Load { rounds: 1, ..SINGLES }).await?;
    raw::run(&plain, 400, 1).await?;
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(sample(site, &on, &[&server], SINGLES).await?);
        limit.push(raw_sample(site, &plain, 2_000, 1).await?);
    }
    let what = "whole lifecycles over HTTP, claimed and completed one by one by 64 workers";
    let limit = ("raw SQL one by one on four connections", median(&limit));
    Ok(vec![Row::ratio("b", what, "jobs/s", median(&ours), limit, Target::AtLeast(8.0))])
}

/// How long the queue is, and how much lies in the archive, where it is said to be short.
const SHORT: (i64, i64) = (1_000, 0);
/// The same where it is long.
const LONG: (i64, i64) = (1_000_000, 5_000_000);
/// How long a transaction is held open before the rate is taken beside it, and while it is.
const HELD: Duration = Duration::from_secs(45);

/// A long queue and a long history against short ones.
pub async fn depth(site: &Site) -> anyhow::Result<Vec<Row>> {
    let (short, long) = (site.install("f_short").await?, site.install("f_long").await?);
    for (on, (queued, archived)) in [(&short, SHORT), (&long, LONG)] {
        let started = Instant::now();
        seed(site, on, queued, archived).await?;
        println!(
            "    {queued} queued and {archived} archived jobs written in {:.0} s",
            started.elapsed().as_secs_f64()
        );
    }
    let (at_short, at_long) = (site.serve(&short).await?, site.serve(&long).await?);
    for (on, server) in [(&short, &at_short), (&long, &at_long)] {
        vouch(site, on).await?;
        lifecycle::run(on, &[server], Load { rounds: 1, ..BATCHES }).await?;
    }
    let (mut deep, mut shallow) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        deep.push(sample(site, &long, &[&at_long], BATCHES).await?);
        shallow.push(sample(site, &short, &[&at_short], BATCHES).await?);
    }
    let what = "whole lifecycles with 1,000,000 jobs queued and 5,000,000 archived";
    let short = ("with 1,000 queued", median(&shallow));
    Ok(vec![Row::ratio("f", what, "jobs/s", median(&deep), short, Target::AtLeast(0.9))])
}

/// Writes queued and archived jobs, and the index that a sweep would build in time.
async fn seed(site: &Site, on: &Installation, queued: i64, archived: i64) -> anyhow::Result<()> {
    let images = on.add_images(queued / MODELS.len() as i64).await?;
    sqlx::query("INSERT INTO params (hash, body) VALUES (sha256('{}'), '{}')").execute(&on.pool).await?;
    let mut db = on.pool.acquire().await?;
    // The rows are right by themselves; checking a million of them takes a minute.
    sqlx::query("SET session_replication_role = replica").execute(&mut *db).await?;
    sqlx::query(
        "INSERT INTO job (image_id, model, params_hash, run_at, due, finish_by, event_id)
         SELECT i, m, sha256('{}'), clock_timestamp(), true, clock_timestamp() + interval '30 days', nextval('job_event_id')
         FROM generate_series($1, $2) AS i, unnest($3::text[]) AS m",
    )
    .bind(images.start)
    .bind(images.end - 1)
    .bind(MODELS.as_slice())
    .execute(&mut *db)
    .await?;
    sqlx::query(
        "INSERT INTO job_archive (id, image_id, model, params_hash, state, priority, run_at, finish_by, attempt, deaths, lease_no,
                version, started_at, event_id, created_at, finished_at)
         SELECT uuid_v7(), n % 100000, 'faces', sha256('{}'), 'succeeded', 0, now(), now(), 1, 0, 1, 'v1', now(), n, now(), now()
         FROM generate_series(1, $1) AS n",
    )
    .bind(archived)
    .execute(&mut *db)
    .await?;
    sqlx::query("SET session_replication_role = DEFAULT").execute(&mut *db).await?;
    sqlx::query("VACUUM ANALYZE").execute(&mut *db).await?;
    let mut redis = redis::Client::open(site.redis.url())?.get_multiplexed_async_connection().await?;
    for model in MODELS {
        let sql = "SELECT rank, id FROM job WHERE model = $1 AND state = 'queued'";
        let jobs: Vec<(i64, Uuid)> = sqlx::query_as(sql).bind(model).fetch_all(&mut *db).await?;
        for jobs in jobs.chunks(5_000) {
            let members: Vec<(i64, &[u8])> = jobs.iter().map(|(rank, id)| (*rank, id.as_bytes().as_slice())).collect();
            redis::pipe().zadd_multiple(keys::queue(&on.name, model), &members).exec_async(&mut redis).await?;
        }
    }
    Ok(())
}

/// Vouches for the index, as a sweep does when it has walked over all live jobs: with a million that takes minutes.
async fn vouch(site: &Site, on: &Installation) -> anyhow::Result<()> {
    let told: String =
        sqlx::query_scalar("SELECT value FROM setting WHERE name = 'redis_epoch'").fetch_one(&on.pool).await?;
    let (_, epoch) = told.split_once(' ').context("the epoch names no run")?;
    let mut redis = redis::Client::open(site.redis.url())?.get_multiplexed_async_connection().await?;
    for model in MODELS {
        redis::cmd("SET").arg(keys::queue_epoch(&on.name, model)).arg(epoch).exec_async(&mut redis).await?;
    }
    Ok(())
}

/// The rate beside a transaction that stays open, against the rate without.
pub async fn held_open(site: &Site) -> anyhow::Result<Vec<Row>> {
    let on = site.install("g").await?;
    let server = site.serve(&on).await?;
    let (mut without, mut beside) = (Vec::new(), Vec::new());
    lifecycle::run(&on, &[&server], Load { rounds: 1, ..BATCHES }).await?;
    for _ in 0..2 {
        for _ in 0..ROUNDS {
            without.push(sample(site, &on, &[&server], BATCHES).await?);
        }
        let mut db = on.pool.acquire().await?;
        sqlx::query("BEGIN ISOLATION LEVEL REPEATABLE READ").execute(&mut *db).await?;
        sqlx::query("SELECT count(*), pg_current_xact_id() FROM job").execute(&mut *db).await?;
        let started = Instant::now();
        while started.elapsed() < HELD {
            lifecycle::run(&on, &[&server], BATCHES).await?;
        }
        for _ in 0..ROUNDS {
            beside.push(sample(site, &on, &[&server], BATCHES).await?);
        }
        sqlx::query("ROLLBACK").execute(&mut *db).await?;
        drop(db);
        sqlx::query("VACUUM job").execute(&on.pool).await?;
    }
    let what = "whole lifecycles after another session has held a transaction open for a minute";
    let without = ("without one", median(&without));
    Ok(vec![Row::ratio("g", what, "jobs/s", median(&beside), without, Target::AtLeast(0.7))])
}

/// Two replicas against one.
pub async fn replicas(site: &Site) -> anyhow::Result<Vec<Row>> {
    let on = site.install("j").await?;
    let (first, second) = (site.serve(&on).await?, site.serve(&on).await?);
    lifecycle::run(&on, &[&first, &second], Load { rounds: 1, ..BATCHES }).await?;
    let (mut one, mut two) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        two.push(sample(site, &on, &[&first, &second], BATCHES).await?);
        one.push(sample(site, &on, &[&first], BATCHES).await?);
    }
    let what = "whole lifecycles over two replicas";
    let one = ("over one", median(&one));
    Ok(vec![Row::ratio("j", what, "jobs/s", median(&two), one, Target::AtLeast(1.0))])
}

/// One sample of the limit.
async fn raw_sample(site: &Site, on: &Installation, jobs: usize, batch: usize) -> anyhow::Result<f64> {
    if profile::is_wanted() {
        profile::begin(site).await?;
    }
    let rate = raw::run(on, jobs, batch).await?;
    if profile::is_wanted() {
        profile::print(site, on, jobs).await?;
    }
    Ok(rate)
}

/// One sample, and who used the processors for it.
async fn sample(site: &Site, on: &Installation, servers: &[&Server], load: Load) -> anyhow::Result<f64> {
    if profile::is_wanted() {
        profile::begin(site).await?;
    }
    let before = Usage::now(site, servers)?;
    let rate = lifecycle::run(on, servers, load).await?;
    Usage::now(site, servers)?.print_since(before, load.jobs(), "job");
    if profile::is_wanted() {
        profile::print(site, on, load.jobs()).await?;
    }
    Ok(rate)
}
