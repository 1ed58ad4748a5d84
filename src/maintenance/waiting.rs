//! For claims that wait here: their sessions are kept alive together, and one probe per model finds jobs
//! whose wake-up was lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::pace::{chain, jittered};
use crate::service::waiters::Wake;
use crate::service::{Ctx, Result, announce, queues};
use crate::store::queues::ready_counts;
use crate::store::workers;

/// How often a model with waiters is probed.
const PROBE_EVERY: Duration = Duration::from_secs(5);
/// The same while Redis is away and carries no wake-ups between replicas.
const PROBE_EVERY_ALONE: Duration = Duration::from_millis(500);

pub(super) async fn probe_loop(ctx: Arc<Ctx>) {
    let mut next: HashMap<String, Instant> = HashMap::new();
    loop {
        tokio::time::sleep(PROBE_EVERY_ALONE / 2).await;
        let waited = ctx.waiters.waited_for();
        next.retain(|model, _| waited.iter().any(|(name, _)| name == model));
        let period = if ctx.index.is_live() { PROBE_EVERY } else { PROBE_EVERY_ALONE };
        let now = Instant::now();
        let mut due = Vec::new();
        for (model, count) in waited {
            let at = next.entry(model.clone()).or_insert_with(|| now + jittered(period));
            if *at <= now || *at > now + 2 * period {
                *at = now + jittered(period);
                due.push((model, count));
            }
        }
        if let Err(error) = probe(&ctx, &due).await {
            tracing::warn!(error = %chain(&error), "probe failed; the next one tries again");
        }
    }
}

/// Wakes as many of each model's waiters as PostgreSQL has due jobs for them.
pub async fn probe(ctx: &Ctx, waited: &[(String, usize)]) -> Result<()> {
    if waited.is_empty() {
        return Ok(());
    }
    let models: Vec<String> = waited.iter().map(|(model, _)| model.clone()).collect();
    let most = waited.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let counts = ctx.db.read(async |db| ready_counts(db, &models, most as i64).await).await?;
    for (model, count) in counts {
        ctx.waiters.wake_model(&model, usize::try_from(count).unwrap_or(0), Wake::Probed);
    }
    Ok(())
}

pub(super) async fn prolong_loop(ctx: Arc<Ctx>) {
    let period = Duration::from_secs_f64(ctx.limits.heartbeat_s);
    loop {
        tokio::time::sleep(jittered(period)).await;
        let sessions = ctx.waiters.sessions();
        if sessions.is_empty() {
            continue;
        }
        let prolonged = ctx.db.run(async |db| workers::prolong(db, &sessions, ctx.limits.lease_s).await).await;
        if let Err(error) = prolonged {
            tracing::warn!(error = %chain(&error), "waiting sessions could not be prolonged");
        }
    }
}

/// Puts back into their queues what was popped for waiters who had gone, and wakes others for it.
pub(super) async fn put_back_loop(ctx: Arc<Ctx>) {
    loop {
        let unused = ctx.waiters.unused().await;
        match queues::still_ready(&ctx, &unused).await {
            Ok(ready) => announce::ready(&ctx, ready).await,
            Err(error) => tracing::debug!(error = %chain(&error), "jobs that nobody used wait for the sweep"),
        }
    }
}
