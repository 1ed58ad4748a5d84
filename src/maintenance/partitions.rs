//! Partitions of the archive and the events, made ahead of time.

use crate::service::{Ctx, Result};
use crate::store::{accounts, partitions, ticks};

/// How many ended tokens that have expired are forgotten at once.
const TOKENS_MAX: i64 = 10_000;

/// Makes what is missing, unless another replica is at it.
pub async fn make_partitions(ctx: &Ctx) -> Result<()> {
    ctx.chores
        .write(async |tx| {
            if ticks::try_tick(tx, "partitions").await? {
                partitions::make_partitions(tx, partitions::MONTHS_AHEAD).await?;
                accounts::forget_tokens(tx, TOKENS_MAX).await?;
            }
            Ok(())
        })
        .await
}
