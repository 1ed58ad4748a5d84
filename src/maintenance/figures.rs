//! How the queues stand, written down for who asks about the last days.

use std::time::Duration;

use crate::service::{Ctx, Result};
use crate::store::{figures, queues, ticks};

/// How often they are written down.
pub(super) const KEEP_EVERY: Duration = Duration::from_secs(60);
/// Somebody did just now: the replicas' ticks are not in step.
const PAUSE: Duration = Duration::from_secs(50);
/// How long they are kept: a week, and a day to compare with.
const KEPT: Duration = Duration::from_secs(8 * 24 * 3600);

/// Writes them down, unless another replica did.
pub async fn keep_figures(ctx: &Ctx) -> Result<()> {
    ctx.chores
        .write(async |tx| {
            if ticks::try_tick(tx, "figures").await? {
                let depths = queues::depths(tx).await?;
                figures::keep(tx, &depths, KEPT.as_secs_f64(), PAUSE.as_secs_f64()).await?;
            }
            Ok(())
        })
        .await
}
