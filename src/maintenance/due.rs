//! The due pass: jobs whose time has come are flagged and pushed; jobs past `finish_by` and those of retired models
//! end.

use crate::service::{Ctx, Result, announce};
use crate::store::{models, queues, ticks, work};

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
            let mut expired = work::expire(&mut tx, ROWS_MAX).await?;
            for model in models::retired(&mut tx).await? {
                expired.extend(work::cancel_queued_of(&mut tx, &model, None, ROWS_MAX).await?);
            }
            tx.commit().await?;
            Ok::<_, crate::service::Error>((due, expired))
        })
        .await?;
    announce::ready(ctx, due).await;
    announce::cancelled(ctx, &expired).await;
    Ok(())
}
