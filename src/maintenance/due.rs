//! The due pass: jobs whose time has come are flagged and pushed; jobs past `finish_by` and those of retired models
//! end.

use crate::service::{Ctx, Result, announce};
use crate::service::work::transition;
use crate::store::{queues, ticks};

/// The most jobs that one pass moves.
const ROWS_MAX: i64 = 2_000;

/// Runs one pass, unless another replica is at it.
pub async fn due_pass(ctx: &Ctx) -> Result<()> {
    let (due, expired) = ctx
        .db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            if !ticks::try_tick(&mut tx, "due").await? {
                return Ok((Vec::new(), Vec::new()));
            }
            let due = queues::flag_due(&mut tx, ROWS_MAX).await?;
            let mut expired = transition::expire(&mut tx, &[], ROWS_MAX).await?;
            expired.extend(transition::cancel_retired(&mut tx, ROWS_MAX, None).await?);
            tx.commit().await?;
            Ok::<_, crate::service::Error>((due, expired))
        })
        .await?;
    announce::ready(ctx, due).await;
    announce::cancelled(ctx, &expired).await;
    Ok(())
}
