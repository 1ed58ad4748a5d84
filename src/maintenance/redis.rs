//! Keeps the connection to Redis: connects, finds out whether it is still the Redis it was, and listens to
//! the other replicas.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::{chain, jittered};
use crate::metrics;
use crate::service::{Ctx, Error, Result, announce};
use crate::store::epoch::{self, StandingEpoch};

/// How often a lost connection is tried again, and a good one asked for a sign of life.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// How often what Redis says under a wrong seal is logged at most.
const TELL_FORGED_EVERY: Duration = Duration::from_secs(60);

pub(super) async fn run(ctx: Arc<Ctx>) {
    let (mut told, mut forged) = (false, Forged::default());
    loop {
        forged.look(&ctx);
        if !ctx.index.is_live() {
            match reconnect(&ctx).await {
                Ok(()) => {
                    tracing::info!("redis is connected");
                    told = false;
                    warn_of_eviction(&ctx).await;
                }
                Err(error) => {
                    if !told {
                        tracing::warn!(error = %chain(&error), "redis is away; going on without it");
                        told = true;
                    }
                    say_missing(&ctx).await;
                }
            }
        } else if ctx.index.look_around().await {
            compare_epochs(&ctx).await;
        }
        tokio::time::sleep(jittered(TRY_EVERY)).await;
    }
}

/// What Redis said under a wrong seal.
#[derive(Default)]
struct Forged {
    untold: u64,
    told_at: Option<Instant>,
}

impl Forged {
    /// Counts what came since the last look, and logs it if nothing was logged lately.
    fn look(&mut self, ctx: &Ctx) {
        self.untold += count_forged(ctx);
        if self.untold > 0 && self.told_at.is_none_or(|at| at.elapsed() >= TELL_FORGED_EVERY) {
            tracing::error!(
                values = self.untold,
                "redis holds values that were not sealed here: somebody else writes it, or replicas have different token keys; \
                 none was believed"
            );
            *self = Self { untold: 0, told_at: Some(Instant::now()) };
        }
    }
}

/// Counts the values that Redis gave under a wrong seal since the last call; each was taken for a miss.
pub fn count_forged(ctx: &Ctx) -> u64 {
    let forged = ctx.index.take_forged();
    metrics::mirror_forged(forged);
    forged
}

/// What this replica could not take away must not be shown by others for long.
async fn say_missing(ctx: &Ctx) {
    if ctx.index.owes()
        && let Err(error) = ctx.mirror.miss().await
    {
        tracing::debug!(error = %chain(&error), "the others cannot be told now; nothing is committed meanwhile either");
    }
}

/// Connects and takes up the epoch: the standing one when this is the Redis that stands, else a new one, which sets aside
/// whatever queues and statuses it holds. A replica that reaches another Redis than those who use theirs goes on without.
pub async fn reconnect(ctx: &Ctx) -> Result<()> {
    let (connection, run) = ctx.index.connect().await.map_err(|e| Error::Unavailable(e.into()))?;
    let last = ctx.index.last_run();
    let standing = ctx
        .upkeep
        .run(async |db| {
            let read = epoch::standing(db, None).await?;
            // The Redis that this replica used is another now, or nobody uses the one that stands.
            let free = |s: &StandingEpoch| last.as_deref() == Some(s.run()) || !s.is_used();
            if read.as_ref().is_none_or(|s| s.run() != run && free(s)) {
                epoch::begin(db, &run, read.as_ref()).await?;
            }
            epoch::standing(db, None).await
        })
        .await?;
    let Some(standing) = standing.filter(|s| s.run() == run) else {
        let why = "other replicas use another Redis than the one that REDIS_URL names here; let all name the same";
        return Err(Error::Unavailable(why.into()));
    };
    if ctx.index.owes_too_much() {
        ctx.upkeep.run(async |db| epoch::begin(db, &run, Some(&standing)).await).await?;
        ctx.index.forget_owed();
        return Err(Error::Unavailable("too many statuses should have been taken away; taking up a new epoch".into()));
    }
    ctx.index.be_cautious(standing.is_missed());
    ctx.index.trust(connection, &run, standing.epoch()).await.map_err(|e| Error::Unavailable(e.into()))?;
    compare_epochs(ctx).await;
    Ok(())
}

/// Says that this replica uses Redis, and gives up the connection when another began another epoch: it may have met another
/// Redis, or could not take away what it changed.
pub async fn compare_epochs(ctx: &Ctx) {
    let (Some(epoch), Some(run)) = (ctx.index.epoch(), ctx.index.last_run()) else { return };
    // While PostgreSQL is away nobody begins one.
    if let Ok(Some(standing)) = ctx.upkeep.run(async |db| epoch::standing(db, Some((&run, &epoch))).await).await {
        ctx.index.be_cautious(standing.is_missed());
        if standing.epoch() != &*epoch {
            ctx.index.disconnect();
        }
    }
}

async fn warn_of_eviction(ctx: &Ctx) {
    match ctx.index.eviction_policy().await.as_deref() {
        None | Some("noeviction") => {}
        Some(policy) => tracing::warn!(
            policy,
            "redis may evict keys: nothing is lost by it, but claims get slower; set maxmemory-policy to noeviction"
        ),
    }
}

pub(super) async fn listen(ctx: Arc<Ctx>) {
    loop {
        // The back-stops cover what is missed between two subscriptions.
        if ctx.index.is_live() && announce::listen(&ctx).await.is_ok() {
            continue;
        }
        tokio::time::sleep(jittered(TRY_EVERY)).await;
    }
}
