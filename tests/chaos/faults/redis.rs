//! Redis falls, stands still, or forgets.

use std::time::Duration;

use crate::cast::servers::Cache;
use crate::now_s;
use crate::site::Site;

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
