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
        .write(async |tx| {
            if !ticks::try_tick(tx, "due").await? {
                return Ok((Vec::new(), Vec::new()));
            }
            let due = queues::flag_due(tx, ROWS_MAX).await?;
            let mut expired = work::expire(tx, ROWS_MAX).await?;
            for model in models::retired(tx).await? {
                expired.extend(work::cancel_queued_of(tx, &model, None, ROWS_MAX).await?);
            }
            Ok::<_, crate::service::Error>((due, expired))
        })
        .await?;
    announce::ready(ctx, due).await;
    announce::cancelled(ctx, &expired).await;
    Ok(())
}
