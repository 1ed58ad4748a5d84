//! What everybody is told after a COMMIT: the queues, the mirror, the waiting. Never before, and a failure
//! here fails nobody's request.

use std::collections::HashMap;

use super::Ctx;
use crate::domain::job::{JobState, Success};
use crate::index::queue::Hint;
use crate::index::status::Change;
use crate::index::wake::Wake;
use crate::metrics;
use crate::store::jobs::QueueEntry;
use crate::store::moves::Moved;

/// Announces committed transitions.
pub async fn moved(ctx: &Ctx, moved: &[Moved]) {
    if moved.is_empty() {
        return;
    }
    metrics::moved(moved);
    let hints: Vec<Hint> = moved
        .iter()
        .filter(|m| m.status.state == JobState::Queued && m.due)
        .map(|m| Hint { id: m.status.id, model: m.model.clone(), rank: m.rank })
        .collect();
    ctx.index.push(&hints).await;
    let changes: Vec<Change<'_>> = moved.iter().map(change).collect();
    ctx.index.change_statuses(&changes).await;
    // Who waits for an image waits for the end of its jobs.
    let mut images: Vec<_> = moved.iter().filter(|m| m.status.state.ended()).map(|m| m.md5).collect();
    images.sort();
    images.dedup();
    ctx.waiters.jobs_ended(images.iter().copied());
    let models = wake(ctx, &hints);
    ctx.index.tell(ctx.replica, &models, &images).await;
}

/// Puts hints back that were popped in vain.
pub async fn put_back(ctx: &Ctx, entries: Vec<QueueEntry>) {
    let hints: Vec<Hint> = entries.into_iter().map(|e| Hint { id: e.id, model: e.model, rank: e.rank }).collect();
    ctx.index.push(&hints).await;
}

/// Pushes jobs whose time has come and wakes those who wait for them.
pub async fn ready(ctx: &Ctx, entries: Vec<QueueEntry>) {
    let hints: Vec<Hint> = entries.into_iter().map(|e| Hint { id: e.id, model: e.model, rank: e.rank }).collect();
    if hints.is_empty() {
        return;
    }
    ctx.index.push(&hints).await;
    let models = wake(ctx, &hints);
    ctx.index.tell(ctx.replica, &models, &[]).await;
}

fn wake(ctx: &Ctx, hints: &[Hint]) -> Vec<(String, usize)> {
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for hint in hints {
        *counts.entry(&hint.model).or_default() += 1;
    }
    for (model, count) in &counts {
        ctx.waiters.wake_model(model, *count, Wake::Pushed);
    }
    counts.into_iter().map(|(model, count)| (model.to_owned(), count)).collect()
}

fn change(moved: &Moved) -> Change<'_> {
    let success = match (&moved.version, &moved.document, moved.status.finished_at) {
        (Some(version), Some(document), Some(finished_at)) => {
            Some(Success { version: version.clone(), job: moved.status.id, finished_at, document: document.clone() })
        }
        _ => None,
    };
    Change { md5: moved.md5, model: &moved.model, job: &moved.status, success }
}
