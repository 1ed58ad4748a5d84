//! Redis falls, stands still, forgets, refuses writes, or is another one.

use std::time::Duration;

use anyhow::Context;
use darkroom::dev::Redis;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use reqwest::Method;

use super::PATIENCE;
use crate::cast::api::Body;
use crate::cast::servers::Cache;
use crate::now_s;
use crate::site::{REPLICAS, Site};

pub async fn fall(cache: &mut Cache, pause: Duration) -> anyhow::Result<()> {
    cache.kill().await?;
    tokio::time::sleep(pause).await;
    cache.restart().await
}

/// The verdict tells apart the claims that were made meanwhile.
pub async fn stand_still(site: &Site, kind: &'static str, cache: &Cache, how_long: Duration) -> anyhow::Result<()> {
    let (from, frozen) = (now_s(), cache.freeze()?);
    tokio::time::sleep(how_long).await;
    drop(frozen);
    site.hit(kind, "redis", from, now_s());
    Ok(())
}

pub async fn flush(cache: &Cache) -> anyhow::Result<()> {
    cache.command(&["FLUSHALL"]).await
}

/// Each way in which it reads but refuses writes: what is set, and what undoes it.
const REFUSING: [([&str; 4], [&str; 4]); 3] = [
    (["CONFIG", "SET", "min-replicas-to-write", "1"], ["CONFIG", "SET", "min-replicas-to-write", "0"]),
    (["CONFIG", "SET", "maxmemory", "1"], ["CONFIG", "SET", "maxmemory", "0"]),
    (["ACL", "SETUSER", "default", "-@write"], ["ACL", "SETUSER", "default", "+@write"]),
];

/// Lets it refuse writes for a while; reached when every replica goes on without it.
pub async fn refuse_writes(site: &Site, cache: &Cache, how_long: Duration, dice: &mut StdRng) -> anyhow::Result<bool> {
    let (refusing, taking) = REFUSING.choose(dice).context("no way")?;
    cache.command(refusing).await?;
    tokio::time::sleep(how_long).await;
    let mut without = true;
    for at in 0..REPLICAS {
        without &= shows(site, at).await? == "away";
    }
    cache.command(taking).await?;
    Ok(without)
}

/// Starts a replica with another Redis for a while; reached when it goes on without, and the others keep theirs.
pub async fn use_another(site: &Site, at: usize, how_long: Duration) -> anyhow::Result<bool> {
    let replica = &site.replicas[at];
    let other = Redis::start(&site.scratch.join("other-redis"), true).await?;
    let own = format!("redis://127.0.0.1:{}", replica.doors.redis.port);
    replica.part.set("REDIS_URL", Some(&other.url()));
    replica.part.kill().await;
    let seen = async {
        site.until_alive(at).await?;
        tokio::time::sleep(how_long).await;
        anyhow::Ok((shows(site, at).await?, shows(site, (at + 1) % REPLICAS).await?))
    };
    let seen = seen.await;
    replica.part.set("REDIS_URL", Some(&own));
    replica.part.kill().await;
    site.until_alive(at).await?;
    tokio::task::spawn_blocking(move || drop(other)).await?;
    let (here, there) = seen?;
    Ok(here == "away" && there == "ok")
}

/// What a replica says of its Redis.
async fn shows(site: &Site, at: usize) -> anyhow::Result<String> {
    let (_, ready) = site.api.ask(at, Method::GET, "/health/ready", &Body::Nothing, PATIENCE).await?;
    Ok(ready["redis"].as_str().unwrap_or_default().to_owned())
}
