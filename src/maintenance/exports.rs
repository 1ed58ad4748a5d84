//! Exports are made in the background, one at a time per replica: each is held in PostgreSQL by whoever makes it, so that replicas share
//! the work, and what a killed one had in hand is begun again by another. Those whose time is up go.

use std::sync::Arc;
use std::time::Duration;

use super::pace::{chain, jittered, tell};
use crate::metrics;
use crate::service::exports::{HOLD_S, NotBuilt, build, forget, told_failure};
use crate::service::{Ctx, Error, Result};
use crate::store::exports::{self, ExportAt, ExportInHand, GoneExport};

/// How often an export is begun before it is given up.
pub const EXPORT_TRIES_MAX: i16 = 3;
/// How long one is left alone that could not be made, in seconds.
const FAILED_PAUSE_S: f64 = 30.0;
/// How often somebody with nothing to do looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many go in one tick; the next goes on.
const GO_AT_ONCE: i64 = 100;

/// Makes exports as long as there are any, for ever.
pub(super) async fn run(ctx: Arc<Ctx>) {
    loop {
        match export_next(&ctx).await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(jittered(LOOK_EVERY)).await,
            Err(error) => {
                tell("an export", &error);
                tokio::time::sleep(jittered(LOOK_EVERY)).await;
            }
        }
    }
}

/// Makes the next export, if any waits; answers whether one did.
pub async fn export_next(ctx: &Ctx) -> Result<bool> {
    let Some(mut held) = ctx.chores.run(async |db| exports::claim(db, HOLD_S).await).await? else { return Ok(false) };
    if held.tries > EXPORT_TRIES_MAX {
        let why = format!("Making it was begun {EXPORT_TRIES_MAX} times, and never ended.");
        fail(ctx, &held, &why).await?;
        return Ok(true);
    }
    match build(ctx, &mut held).await {
        Ok(at) => keep(ctx, &held, at).await?,
        Err(NotBuilt::Lost) => {
            tracing::info!(export = %held.id, "an export is not wanted any more, or made by another server");
        }
        Err(NotBuilt::Never(why)) => fail(ctx, &held, &why).await?,
        Err(NotBuilt::Failed(error)) if held.tries >= EXPORT_TRIES_MAX => {
            tracing::error!(export = %held.id, error = %chain(&error), "an export could not be made");
            fail(ctx, &held, told_failure(&error)).await?;
        }
        Err(NotBuilt::Failed(error)) => return give_back(ctx, &held, error).await,
    }
    Ok(true)
}

/// Writes down where it lies. What is left when we die in between is the collector's.
async fn keep(ctx: &Ctx, held: &ExportInHand, at: ExportAt) -> Result<()> {
    let kept_s = ctx.limits.export_kept_s;
    if ctx.chores.run(async |db| exports::finish(db, held, &at, kept_s).await).await? {
        metrics::exported("succeeded");
    } else {
        forget(ctx, &[GoneExport { sha256: Some(at.sha256), blob: Some(at.blob) }]).await;
    }
    Ok(())
}

async fn fail(ctx: &Ctx, held: &ExportInHand, why: &str) -> Result<()> {
    let kept_s = ctx.limits.export_kept_s;
    ctx.chores.run(async |db| exports::fail(db, held, why, kept_s).await).await?;
    metrics::exported("failed");
    Ok(())
}

async fn give_back(ctx: &Ctx, held: &ExportInHand, error: Error) -> Result<bool> {
    ctx.chores.run(async |db| exports::give_back(db, held, FAILED_PAUSE_S).await).await?;
    Err(error)
}

/// Removes exports whose time is up: rows first, then bytes.
pub async fn remove_over(ctx: &Ctx) -> Result<()> {
    loop {
        let gone = ctx.chores.run(async |db| exports::remove_over(db, GO_AT_ONCE).await).await?;
        forget(ctx, &gone).await;
        if (gone.len() as i64) < GO_AT_ONCE {
            return Ok(());
        }
    }
}
