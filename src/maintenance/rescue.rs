//! Rescue: sessions past their time are given up, and the jobs they held live again.

use std::time::Duration;

use crate::metrics;
use crate::service::{Ctx, Result, announce};
use crate::store::{moves, upkeep, workers};

/// How often; a dead worker's job is claimable within lease + this + its back-off.
pub const RESCUE_EVERY: Duration = Duration::from_secs(5);
/// The most sessions and jobs that one tick takes.
const ROWS_MAX: i64 = 1_000;

/// Runs one tick, unless another replica is at it.
pub async fn rescue(ctx: &Ctx) -> Result<()> {
    let moved = ctx
        .db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            if !upkeep::try_tick(&mut tx, "rescue").await? {
                return Ok(Vec::new());
            }
            let away_s = upkeep::stamp_tick(&mut tx, "rescue").await?;
            if away_s.is_none_or(|s| s > 2.0 * RESCUE_EVERY.as_secs_f64()) {
                // The service was away, not the workers: nobody is called dead for our absence.
                workers::extend_all(&mut tx, ctx.limits.lease_s).await?;
            }
            workers::give_up(&mut tx, ROWS_MAX).await?;
            let locked = moves::lock_orphans(&mut tx, ROWS_MAX).await?;
            let moved = moves::rescue(&mut tx, rand::random(), &locked).await?;
            tx.commit().await?;
            Ok::<_, crate::service::Error>(moved)
        })
        .await?;
    metrics::rescued(&moved);
    announce::moved(ctx, &moved).await;
    Ok(())
}
