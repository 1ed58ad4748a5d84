//! The due pass: jobs whose time has come are flagged and pushed; jobs past `finish_by` and those of retired models
//! end.

use crate::service::transition;
use crate::service::{Ctx, Result, announce};
use crate::store::{queues, ticks};

/// The most jobs that one transaction moves of each kind.
const ROWS_MAX: i64 = 2_000;
/// The most transactions of one pass: what comes due together is in line at once, and no pass goes on for ever.
const BITES_MAX: usize = 100;

/// Runs one pass, unless another replica is at it.
pub async fn due_pass(ctx: &Ctx) -> Result<()> {
    for _ in 0..BITES_MAX {
        if take_bite(ctx).await? < ROWS_MAX as usize {
            break;
        }
    }
    Ok(())
}

/// One transaction; answers how many jobs came due.
async fn take_bite(ctx: &Ctx) -> Result<usize> {
    let (due, expired) = ctx
        .upkeep
        .write(async |tx| {
            if !ticks::try_tick(tx, "due").await? {
                return Ok((Vec::new(), Vec::new()));
            }
            let due = queues::flag_due(tx, ROWS_MAX).await?;
            let mut expired = transition::expire(tx, &[], ROWS_MAX).await?;
            expired.extend(transition::cancel_retired(tx, ROWS_MAX, false, None).await?);
            Ok::<_, crate::service::Error>((due, expired))
        })
        .await?;
    let come = due.len();
    announce::ready(ctx, due).await;
    announce::cancelled(ctx, &expired).await;
    Ok(come)
}
