//! Connections that say nothing any more, or are closed.

use std::time::Duration;

use anyhow::Context;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::cast::servers::Cache;
use crate::judge::watch;
use crate::kit::proxy::ALL;
use crate::site::{REPLICAS, Site};
use crate::{clock, now_s};

/// How often a kill between COMMIT and the mirror is tried.
const GAP_TRIES: usize = 12;

/// The pools of a replica, as its connections to PostgreSQL name them; the first is its one connection to Redis.
const POOLS: [&str; 6] =
    ["redis", "\0darkroom\0", "\0darkroom-hot\0", "\0darkroom-work\0", "\0darkroom-upkeep\0", "\0darkroom-chores\0"];

/// Makes the connections of one pool half-open and leaves them so; new ones work. The replica must serve all the while.
pub async fn lose_pool(site: &Site, at: usize, how_long: Duration, dice: &mut StdRng) -> anyhow::Result<bool> {
    let doors = &site.replicas[at].doors;
    let pool = *POOLS.choose(dice).context("no pool")?;
    let (door, word) = if pool == "redis" { (&doors.redis, ALL) } else { (&doors.postgres, pool) };
    let lost = door.lose(word);
    site.log(&format!(
        "{} replica-{at}: {lost} connections of {} are half-open",
        clock(now_s()),
        pool.trim_matches('\0')
    ));
    tokio::time::sleep(how_long).await;
    door.release();
    Ok(lost > 0)
}

/// Makes one of a replica's ways half-open; half of the time it takes what it could not say to the grave.
pub async fn half_open(site: &Site, at: usize, dice: &mut StdRng) -> anyhow::Result<()> {
    let replica = &site.replicas[at];
    let doors = [&replica.doors.postgres, &replica.doors.redis, &replica.doors.http];
    let door = doors.choose(dice).context("no door")?;
    door.hold(ALL);
    tokio::time::sleep(Duration::from_secs_f64(dice.random_range(1.5..4.0))).await;
    if dice.random_bool(0.5) {
        replica.part.kill().await;
    }
    door.release();
    site.until_alive(at).await
}

/// Closes the service's connections to PostgreSQL and Redis, and everything that goes through a proxy.
pub async fn cut_all(site: &Site, cache: &Cache) -> anyhow::Result<bool> {
    let killed = super::postgres::cut_connections(site).await?;
    cache.command(&["CLIENT", "KILL", "TYPE", "normal"]).await?;
    for doors in site.replicas.iter().map(|replica| &replica.doors) {
        [&doors.postgres, &doors.redis, &doors.http].into_iter().for_each(|door| door.cut());
    }
    Ok(killed > 0)
}

/// Makes Redis unreachable for one replica and kills it while it waits for it; reached when what it had to say to
/// Redis takes away the status of an image on which a job was claimed or ended since.
pub async fn kill_before_mirror(site: &Site, at: usize, dice: &mut StdRng) -> anyhow::Result<bool> {
    let replica = &site.replicas[at];
    for _ in 0..GAP_TRIES {
        site.until_alive(at).await?;
        // It must have found Redis again, and work.
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        // The watcher's images, too, are to be under way when it dies.
        watch::stir(site, (at + 1) % REPLICAS).await?;
        let since = now_s();
        replica.doors.redis.hold(ALL);
        tokio::time::sleep(Duration::from_millis(dice.random_range(80..250))).await;
        replica.part.kill().await;
        let unsaid = replica.doors.redis.release();
        let committed: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM audit_jobs WHERE md5 = ANY($1) AND greatest(started_at, finished_at) > to_timestamp($2)",
        )
        .bind(taken_away(&unsaid))
        .bind(since)
        .fetch_one(&mut site.sql().await?)
        .await?;
        if committed > 0 {
            site.until_alive(at).await?;
            return Ok(true);
        }
    }
    Ok(false)
}

/// The images whose statuses are taken away: `{namespace:md5}:status:epoch` are arguments of `UNLINK`.
fn taken_away(bytes: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(bytes);
    let commands = text.split("\r\n*").filter(|command| command.contains("UNLINK"));
    let words = commands.flat_map(|command| command.split("\r\n"));
    words.filter_map(|word| Some(word.split_once("}:status:")?.0.rsplit_once(':')?.1.to_owned())).collect()
}
