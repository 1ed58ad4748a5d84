//! Rescue: sessions past their time are given up, and the jobs they held live again.

use std::time::Duration;

use crate::metrics;
use crate::service::{Ctx, Result, announce};
use crate::store::{ticks, work, workers};

/// The longest between two ticks: a dead worker's job is claimable within lease + this + its back-off.
const EVERY_MAX: Duration = Duration::from_secs(5);
/// So many ticks fall into one lease at least, or an outage that eats half a lease could pass unnoticed.
const TICKS_PER_LEASE: f64 = 6.0;

/// How often the tick runs.
pub fn rescue_every(lease_s: f64) -> Duration {
    Duration::from_secs_f64(lease_s / TICKS_PER_LEASE).min(EVERY_MAX)
}

/// The most sessions and jobs that one tick takes.
const ROWS_MAX: i64 = 1_000;

/// Runs one tick, unless another replica is at it.
pub async fn rescue(ctx: &Ctx) -> Result<()> {
    let every_s = rescue_every(ctx.limits.lease_s).as_secs_f64();
    let moved = ctx
        .db
        .write(async |tx| {
            if !ticks::try_tick(tx, "rescue").await? {
                return Ok(Vec::new());
            }
            let stamp = ticks::stamp_tick(tx, "rescue").await?;
            if stamp.away_s.is_none_or(|s| s > 2.0 * every_s) {
                // The service was away, not the workers: nobody is called dead for our absence.
                workers::extend_all(tx, ctx.limits.lease_s).await?;
            }
            // Whoever lived when this tick began: it may itself have stood still since, and beats with it.
            workers::give_up(tx, stamp.at, ROWS_MAX).await?;
            let locked = work::lock_orphans(tx, ROWS_MAX).await?;
            work::rescue(tx, rand::random(), &locked).await
        })
        .await?;
    metrics::rescued(&moved);
    announce::moved(ctx, &moved).await;
    Ok(())
}
