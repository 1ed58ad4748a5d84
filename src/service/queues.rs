//! The queues of the models: what bars them, how deep they are, what stands in them.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::{Ctx, Error, Result};
use crate::domain::job::{JobState, JobStatus, Waiting};
use crate::store::queues::{self, Depth, Gate, QueueEntry};

/// The gates of all models, at most a second old while PostgreSQL answers.
pub async fn gates(ctx: &Ctx) -> Result<Arc<HashMap<String, Gate>>> {
    let read = || async {
        let mut db = ctx.db.pool().acquire().await?;
        let gates = queues::gates(&mut db).await?;
        Ok(Arc::new(gates.into_iter().map(|gate| (gate.name.clone(), gate)).collect()))
    };
    ctx.board.get(&(), || ctx.db.within(read())).await
}

/// The gates as they are now: before somebody is refused because of them.
pub async fn fresh_gates(ctx: &Ctx) -> Result<Arc<HashMap<String, Gate>>> {
    forget(ctx);
    gates(ctx).await
}

/// Forgets the gates, one of which this process has just moved.
pub fn forget(ctx: &Ctx) {
    ctx.board.forget(&());
}

/// Why a queued job waits, as far as is known: nothing is while the gates are not.
pub fn waiting(ctx: &Ctx, gates: Option<&Arc<HashMap<String, Gate>>>, model: &str, job: &JobStatus) -> Option<Waiting> {
    if job.state != JobState::Queued {
        return None;
    }
    let later = job.run_at.zip(ctx.clock.now()).is_some_and(|(run_at, now)| run_at > now);
    if later {
        return Some(Waiting::Backoff);
    }
    match gates?.get(model) {
        None => Some(Waiting::NoLiveWorker),
        Some(gate) if gate.paused => Some(Waiting::Paused),
        Some(gate) if gate.workers == 0 => Some(Waiting::NoLiveWorker),
        Some(gate) if gate.max_running.is_some_and(|max| gate.running >= i64::from(max)) => Some(Waiting::Limit),
        Some(_) => None,
    }
}

/// Those of these jobs that belong into their queues.
pub async fn still_ready(ctx: &Ctx, ids: &[Uuid]) -> Result<Vec<QueueEntry>> {
    ctx.db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            Ok(queues::still_ready(&mut db, ids).await?)
        })
        .await
}

/// How many jobs of these models are in line, by the index: to count them in PostgreSQL, dead rows included, may take long.
pub async fn depths(ctx: &Ctx, models: &[String]) -> Result<Vec<i64>> {
    if let Some(depths) = ctx.index.depths(models).await {
        return Ok(depths);
    }
    let counting = async {
        let mut db = ctx.db.pool().acquire().await?;
        Ok::<_, Error>(queues::due_depths(&mut db, models).await?)
    };
    ctx.db.within(counting).await
}

/// The depth of every model's queue, as PostgreSQL counts it.
pub async fn count(ctx: &Ctx) -> Result<Vec<Depth>> {
    ctx.db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            Ok(queues::depths(&mut db).await?)
        })
        .await
}
