//! For claims that wait here: their sessions are kept alive together, and one probe per model finds jobs
//! whose wake-up was lost.

use std::sync::Arc;
use std::time::Duration;

use super::pace::{chain, jittered, tell};
use crate::metrics;
use crate::service::waiters::Wake;
use crate::service::{Ctx, Result, announce, queues};
use crate::store::queues::ready_counts;
use crate::store::workers;

/// How often the models with waiters are probed: no job that may be claimed waits over two seconds while somebody waits for it,
/// whatever became of its hint.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// The same while Redis is away and carries no wake-ups between replicas.
const PROBE_EVERY_ALONE: Duration = Duration::from_millis(500);

pub(super) async fn probe_loop(ctx: Arc<Ctx>) {
    loop {
        let period = if ctx.index.is_live() { PROBE_EVERY } else { PROBE_EVERY_ALONE };
        tokio::time::sleep(jittered(period)).await;
        if let Err(error) = probe(&ctx).await {
            tell("probe", &error);
        }
    }
}

/// Wakes as many of each model's waiters as PostgreSQL has jobs for them: one query for all, and each who is woken claims by
/// rank. Of several live versions, those are woken that are given work.
pub async fn probe(ctx: &Ctx) -> Result<()> {
    let waited = ctx.waiters.waited_for();
    let models: Vec<&str> = waited.iter().map(|(model, _)| model.as_str()).collect();
    let most = waited.iter().map(|(_, count)| *count).max().unwrap_or(0);
    let ready = ctx.upkeep.run(async |db| {
        ctx.versions.refresh(db).await?;
        if models.is_empty() { Ok(Vec::new()) } else { ready_counts(db, &models, most as i64).await }
    });
    for (model, count, oldest_s) in ready.await? {
        let first = ctx.versions.first_for(&model, oldest_s);
        let waited_s = ctx.waiters.longest_wait(&model, first).map_or(0.0, |waited| waited.as_secs_f64());
        metrics::claimable_wait(&model, oldest_s.min(waited_s));
        ctx.waiters.wake_model(&model, first, usize::try_from(count).unwrap_or(0), Wake::Probed);
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
        let prolonged = ctx.upkeep.run(async |db| workers::prolong(db, &sessions, ctx.limits.lease_s).await).await;
        if let Err(error) = prolonged {
            tell("prolonging waiting sessions", &error.into());
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
