//! Rescue: sessions past their time are given up, and the jobs they held live again.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::service::transition;
use crate::service::{Ctx, Result, announce};
use crate::store::work::{self, Moved, lock_orphans};
use crate::store::workers::{Absence, LostWorker};
use crate::store::{migrate, ticks, workers};

/// The longest between two ticks: a dead worker's job is claimable within lease + this + its back-off.
const EVERY_MAX: Duration = Duration::from_secs(5);
/// So many ticks fall into one lease at least, or an outage that eats half a lease could pass unnoticed.
const TICKS_PER_LEASE: f64 = 6.0;

/// How often the tick runs.
pub fn rescue_every(lease_s: f64) -> Duration {
    Duration::from_secs_f64(lease_s / TICKS_PER_LEASE).min(EVERY_MAX)
}

/// The most sessions, and the most jobs, that one transaction takes.
const ROWS_MAX: i64 = 1_000;
/// The most transactions of one tick: a lost rack is rescued at once, and no tick goes on for ever.
const BITES_MAX: usize = 100;
/// The most claims that hold nothing any more and are forgotten at once.
const CLAIMS_MAX: i64 = 10_000;

/// The most lost workers that one transaction names in the log.
const NAMED_MAX: usize = 20;

/// Runs one tick, unless another replica is at it.
pub async fn rescue(ctx: &Ctx) -> Result<()> {
    // Of the connections that workers need: who fills the others keeps nobody from being rescued.
    if ctx.hot.run(async |db| migrate::version(db).await).await.is_err() {
        // Whoever cannot serve workers calls none of them dead. The next tick sees how long that was, and spares them, unless
        // another replica made it.
        return Ok(());
    }
    for _ in 0..BITES_MAX {
        let bitten = ctx.upkeep.write(async |tx| take_bite(tx, ctx.limits.lease_s).await).await?;
        let Some((whole, moved)) = bitten else { break };
        announce::rescued(ctx, &moved).await;
        announce::moved(ctx, &moved).await;
        if !whole {
            break;
        }
    }
    forget_claims(ctx).await
}

/// One transaction: gives up sessions and takes what they held; answers whether there may be more. Nothing when another
/// replica is at it.
async fn take_bite(tx: &mut PgConnection, lease_s: f64) -> Result<Option<(bool, Vec<Moved>)>> {
    if !ticks::try_tick(tx, "rescue").await? {
        return Ok(None);
    }
    let stamp = ticks::stamp_tick(tx, "rescue").await?;
    let every_s = rescue_every(lease_s).as_secs_f64();
    if stamp.away_s.is_none_or(|s| s > 2.0 * every_s) {
        // The service was away, not the workers: nobody is called dead for our absence.
        let spared = ticks::stamp_tick(tx, "rescue spared").await?;
        let absence = Absence { since_last_s: spared.away_s, uncounted_s: stamp.away_s.unwrap_or_default() - every_s };
        workers::extend_all(tx, lease_s, absence).await?;
    }
    // Whoever lived when this tick began: it may itself have stood still since, and beats with it.
    let lost = workers::give_up(tx, stamp.at, ROWS_MAX).await?;
    let locked = lock_orphans(tx, ROWS_MAX).await?;
    let moved = transition::rescue(tx, &locked, rand::random()).await?;
    let whole = lost.len() as i64 == ROWS_MAX || locked.len() as i64 == ROWS_MAX;
    tell(&lost);
    Ok(Some((whole, moved)))
}

fn tell(lost: &[LostWorker]) {
    for LostWorker { id, model, host } in lost.iter().take(NAMED_MAX) {
        tracing::warn!(worker = %id, model, host, "a worker is lost: no sign of life for a lease; its jobs go to others");
    }
    if lost.len() > NAMED_MAX {
        tracing::warn!(more = lost.len() - NAMED_MAX, "and more workers with them; the events `worker_lost` name each");
    }
}

/// Takes these running jobs, whose claims the sweep has not found, as those of dead sessions.
pub(super) async fn rescue_unclaimed(ctx: &Ctx, jobs: &[Uuid]) -> Result<()> {
    let taken = ctx.upkeep.write(async |tx| {
        // Locked by a statement before the one that decides, as a tick does.
        work::hold_jobs(tx, jobs).await?;
        transition::rescue(tx, jobs, rand::random()).await
    });
    let moved = taken.await?;
    announce::rescued(ctx, &moved).await;
    announce::moved(ctx, &moved).await;
    Ok(())
}

async fn forget_claims(ctx: &Ctx) -> Result<()> {
    for _ in 0..BITES_MAX {
        if ctx.upkeep.run(async |db| workers::forget_claims(db, CLAIMS_MAX).await).await? < CLAIMS_MAX as u64 {
            break;
        }
    }
    Ok(())
}
