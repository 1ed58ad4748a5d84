//! Connections that say nothing any more, or are closed.

use std::time::Duration;

use anyhow::Context;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use uuid::Uuid;

use crate::cast::servers::Cache;
use crate::judge::watch;
use crate::now_s;
use crate::site::{PROXIED, REPLICAS, Site};

/// How often a kill between COMMIT and the mirror is tried.
const GAP_TRIES: usize = 12;

/// Makes one of the proxied replica's ways half-open; half of the time it takes what it could not say to the grave.
pub async fn half_open(site: &Site, dice: &mut StdRng) -> anyhow::Result<()> {
    let doors = [&site.doors.postgres, &site.doors.redis, &site.doors.http];
    let door = doors.choose(dice).context("no door")?;
    door.hold();
    tokio::time::sleep(Duration::from_secs_f64(dice.random_range(1.5..4.0))).await;
    if dice.random_bool(0.5) {
        site.replicas[PROXIED].part.kill().await;
    }
    door.release();
    site.until_alive(PROXIED).await
}

/// Closes the service's connections to PostgreSQL and Redis, and everything that goes through a proxy.
pub async fn cut_all(site: &Site, cache: &Cache) -> anyhow::Result<bool> {
    let killed = super::postgres::cut_connections(site).await?;
    cache.command(&["CLIENT", "KILL", "TYPE", "normal"]).await?;
    for door in [&site.doors.postgres, &site.doors.redis, &site.doors.http] {
        door.cut();
    }
    Ok(killed > 0)
}

/// Makes Redis unreachable for one replica and kills it while it waits for it; reached when what it had to say to
/// Redis tells of an event that is committed and newer than that.
pub async fn kill_before_mirror(site: &Site, dice: &mut StdRng) -> anyhow::Result<bool> {
    for _ in 0..GAP_TRIES {
        site.until_alive(PROXIED).await?;
        // It must have found Redis again, and work.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        // The watcher's images, too, are to be under way when it dies.
        watch::stir(site, (PROXIED + 1) % REPLICAS).await?;
        let since = now_s();
        site.doors.redis.hold();
        tokio::time::sleep(Duration::from_millis(dice.random_range(80..250))).await;
        site.replicas[PROXIED].part.kill().await;
        let unsaid = site.doors.redis.release();
        let (jobs, versions) = transitions_in(&unsaid);
        let committed: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM unnest($1::uuid[], $2::integer[]) AS said (job, version)
             JOIN audit_events AS e ON e.job_id = said.job AND right(e.id, 10)::bigint = said.version
             WHERE e.at > to_timestamp($3) AND e.worker IS NOT NULL",
        )
        .bind(&jobs)
        .bind(&versions)
        .bind(since)
        .fetch_one(&mut site.sql().await?)
        .await?;
        if committed > 0 {
            site.until_alive(PROXIED).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The transitions in changes to the mirror, which begin with the job's id and its version.
fn transitions_in(bytes: &[u8]) -> (Vec<Uuid>, Vec<i32>) {
    let text = String::from_utf8_lossy(bytes);
    let words: Vec<&str> = text.split([' ', '\r', '\n']).collect();
    let said = |pair: &[&str]| Some((Uuid::parse_str(pair[0]).ok()?, pair[1].parse::<i32>().ok()?));
    words.windows(2).filter_map(said).unzip()
}
