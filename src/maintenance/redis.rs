//! Keeps the connection to Redis: connects, finds out whether it is still the Redis it was, and listens to
//! the other replicas.

use std::sync::Arc;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::pace::{chain, jittered};
use crate::metrics;
use crate::service::{Ctx, Error, Result, announce};
use crate::store::settings;

/// How often a lost connection is tried again, and a good one asked for a sign of life.
const TRY_EVERY: Duration = Duration::from_millis(500);
/// How often what Redis says under a wrong seal is logged at most.
const TELL_FORGED_EVERY: Duration = Duration::from_secs(60);
const EPOCH: &str = "redis_epoch";

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
                Err(error) if !told => {
                    tracing::warn!(error = %chain(&error), "redis is away; going on without it");
                    told = true;
                }
                Err(_) => {}
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

/// Connects and takes up the epoch: the expected one when this is the Redis of before, else a new one, which
/// sets aside whatever queues and statuses it holds.
pub async fn reconnect(ctx: &Ctx) -> Result<()> {
    let (connection, run_id) = ctx.index.connect().await.map_err(|e| Error::Unavailable(e.into()))?;
    let fresh = format!("{run_id} {}", Uuid::new_v4().simple());
    let standing = ctx
        .db
        .run(async |db| {
            let read = settings::setting(db, EPOCH, &fresh).await?;
            if read.split(' ').next() == Some(run_id.as_str()) {
                return Ok(read);
            }
            settings::replace_setting(db, EPOCH, &read, &fresh).await
        })
        .await?;
    let (known_run, epoch) = standing.split_once(' ').unwrap_or_default();
    if known_run != run_id {
        let why = "another replica met another redis at the same time";
        return Err(Error::Unavailable(why.into()));
    }
    if ctx.index.owes_too_much() {
        let fresh = format!("{run_id} {}", Uuid::new_v4().simple());
        ctx.db.run(async |db| settings::replace_setting(db, EPOCH, &standing, &fresh).await).await?;
        ctx.index.forget_owed();
        return Err(Error::Unavailable("too many statuses should have been taken away; taking up a new epoch".into()));
    }
    ctx.index.trust(connection, epoch).await.map_err(|e| Error::Unavailable(e.into()))
}

/// Gives up the connection when another replica began another epoch: it may have met another Redis.
pub async fn compare_epochs(ctx: &Ctx) {
    let Some(epoch) = ctx.index.epoch() else { return };
    // While PostgreSQL is away nobody begins one.
    if let Ok(standing) = ctx.db.run(async |db| settings::setting(db, EPOCH, "").await).await
        && standing.split_once(' ').is_none_or(|(_, standing)| standing != &*epoch)
    {
        ctx.index.disconnect();
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
