//! The due pass: jobs whose time has come are flagged and pushed; jobs past `finish_by` and those of retired models
//! end.

use crate::service::{Ctx, Result, announce, jobs as job_service};
use crate::store::{jobs, models, moves, upkeep};

/// The most jobs that one pass moves.
const ROWS_MAX: i64 = 2_000;

/// Runs one pass, unless another replica is at it.
pub async fn due_pass(ctx: &Ctx) -> Result<()> {
    let (due, expired) = ctx
        .db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            if !upkeep::try_tick(&mut tx, "due").await? {
                return Ok((Vec::new(), Vec::new()));
            }
            let due = jobs::flag_due(&mut tx, ROWS_MAX).await?;
            let mut expired = moves::expire(&mut tx, ROWS_MAX).await?;
            for model in models::retired(&mut tx).await? {
                expired.extend(moves::cancel_queued_of(&mut tx, &model, None, ROWS_MAX).await?);
            }
            tx.commit().await?;
            Ok::<_, crate::service::Error>((due, expired))
        })
        .await?;
    announce::ready(ctx, due).await;
    job_service::announce_cancelled(ctx, &expired).await;
    Ok(())
}
