//! Workers and trainers die or stop with jobs in hand, and misbehave when told to.

use std::time::{Duration, Instant};

use super::PATIENCE;
use crate::cast::part::Part;
use crate::now_s;
use crate::site::Site;

pub async fn kill(site: &Site, part: &Part, kind: &'static str) {
    // Its session may be given up much later, when an outage lengthens every lease.
    site.hit(kind, &part.name, now_s(), f64::INFINITY);
    part.kill().await;
}

/// Kills it once it has taken at least a hundred leases.
pub async fn kill_with_many(site: &Site, part: &Part, kind: &'static str) -> anyhow::Result<bool> {
    let hoards = told(part, "hoard", "hoards ").await;
    let held = held_by(site, &part.name).await?.unwrap_or(0);
    kill(site, part, kind).await;
    hoards.map(|_| held >= 100)
}

/// Orders one that holds jobs to do nothing for a moment, and stops it until its session is given up; then it goes on, and writes and
/// completes what it held.
pub async fn past_lease(
    site: &Site,
    part: &Part,
    (order, says): (&'static str, &str),
    kind: &'static str,
) -> anyhow::Result<bool> {
    told(part, order, says).await?;
    let (from, start) = (now_s(), Instant::now());
    part.signal("STOP").await;
    let held = held_by(site, &part.name).await;
    let mut lost = false;
    while !lost && start.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(100)).await;
        lost = held_by(site, &part.name).await.is_ok_and(|held| held.is_none());
    }
    part.signal("CONT").await;
    site.hit(kind, &part.name, from, now_s() + 2.0 * site.settings.lease_s);
    Ok(lost && held?.unwrap_or(0) > 0)
}

/// Has it send a claim again while it releases what the first answer gave.
pub async fn replay(part: &Part) -> anyhow::Result<bool> {
    Ok(told(part, "replay", "replayed ").await? != "0")
}

/// Has it hang up in the middle of a file of its run.
pub async fn cut_off(part: &Part, order: &'static str) -> anyhow::Result<bool> {
    told(part, order, "hung up at ").await.map(|_| true)
}

/// Orders something, and answers what it says of it.
async fn told(part: &Part, order: &'static str, says: &str) -> anyhow::Result<String> {
    let mut said = part.listen();
    part.say(order);
    let line = tokio::time::timeout(PATIENCE, said.recv()).await??;
    line.strip_prefix(says).map(str::to_owned).ok_or_else(|| anyhow::anyhow!("{line}"))
}

/// How many jobs the sessions of a worker hold, or nothing when none is alive.
async fn held_by(site: &Site, name: &str) -> anyhow::Result<Option<i64>> {
    let sql = "SELECT count(j.id) FROM worker_session AS s
               LEFT JOIN audit_jobs AS j ON j.worker = s.id AND j.state = 'running'
               WHERE s.host = $1 AND s.ended_at IS NULL GROUP BY s.id ORDER BY count(j.id) DESC LIMIT 1";
    Ok(sqlx::query_scalar(sql).bind(name).fetch_optional(&mut site.sql().await?).await?)
}
