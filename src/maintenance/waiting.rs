//! For claims that wait here: their sessions are kept alive together, and one probe per model finds jobs
//! whose wake-up was lost.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::pace::{chain, jittered};
use crate::metrics;
use crate::service::waiters::{Waited, Wake};
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
            tracing::warn!(error = %chain(&error), "probe failed; the next one tries again");
        }
    }
}

/// Wakes as many of each model's waiters as PostgreSQL has jobs for them: one query for all, and each who is woken claims by
/// rank.
pub async fn probe(ctx: &Ctx) -> Result<()> {
    let waited = ctx.waiters.waited_for();
    if waited.is_empty() {
        return Ok(());
    }
    let gates = queues::gates(ctx).await?;
    let waited: HashMap<i32, (String, Waited)> = waited
        .into_iter()
        .filter_map(|(model, waited)| Some((gates.get(&model)?.id, (model, waited))))
        .collect();
    let ids: Vec<i32> = waited.keys().copied().collect();
    let most = waited.values().map(|(_, waited)| waited.count).max().unwrap_or(0);
    let ready = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            ready_counts(&mut db, &ids, most as i64).await
        })
        .await?;
    let ready: HashMap<i32, (i64, f64)> = ready.into_iter().map(|(queue, count, oldest_s)| (queue, (count, oldest_s))).collect();
    for (queue, (model, waited)) in waited {
        let (count, oldest_s) = ready.get(&queue).copied().unwrap_or_default();
        metrics::claimable_wait(&model, oldest_s.min(waited.since.elapsed().as_secs_f64()));
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
        let prolonged = ctx
            .db
            .within(async {
                let mut db = ctx.db.pool().acquire().await?;
                workers::prolong(&mut db, &sessions, ctx.limits.lease_s).await
            })
            .await;
        if let Err(error) = prolonged {
            tracing::warn!(error = %chain(&error), "waiting sessions could not be prolonged");
        }
    }
}

/// Puts back into their queues what was popped for waiters who had gone, and wakes others for it.
pub(super) async fn return_loop(ctx: Arc<Ctx>) {
    loop {
        let given_back = ctx.waiters.given_back().await;
        match queues::still_ready(&ctx, &given_back).await {
            Ok(ready) => announce::ready(&ctx, ready).await,
            Err(error) => tracing::debug!(error = %chain(&error), "jobs that were given back wait for the sweep"),
        }
    }
}
