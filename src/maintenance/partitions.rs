//! Partitions of the archive and the events, made ahead of time.

use crate::service::{Ctx, Result};
use crate::store::{accounts, partitions, ticks};

/// How many failed log-ins of yesterday are forgotten at once.
const LOGINS_MAX: i64 = 10_000;

/// Makes what is missing, unless another replica is at it.
pub async fn make_partitions(ctx: &Ctx) -> Result<()> {
    ctx.db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            if ticks::try_tick(&mut tx, "partitions").await? {
                partitions::make_partitions(&mut tx, partitions::DAYS_AHEAD).await?;
                accounts::forget_logins(&mut tx, LOGINS_MAX).await?;
                tx.commit().await?;
            }
            Ok(())
        })
        .await
}
