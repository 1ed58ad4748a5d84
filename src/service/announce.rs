//! What everybody is told after a COMMIT: the queues, the mirror, the waiting. Never before, and a failure
//! here fails nobody's request.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

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
        .filter(|m| m.status.state == JobState::Queued && m.due && !m.suspect)
        .map(|m| Hint { id: m.status.id, model: m.model.clone(), rank: m.rank })
        .collect();
    ctx.index.push(&hints).await;
    // The mirror puts a change that comes late in its place, so nobody waits for it who waits for work.
    let models = wake(ctx, &hints);
    let changes: Vec<Change<'_>> = moved.iter().map(change).collect();
    ctx.index.change_statuses(&changes).await;
    // Who waits for an image waits for the end of its jobs.
    let mut images: Vec<_> = moved.iter().filter(|m| m.status.state.ended()).map(|m| m.md5).collect();
    images.sort();
    images.dedup();
    ctx.waiters.jobs_ended(images.iter().copied());
    ctx.index.tell(ctx.replica, &models, &images).await;
    suspects(ctx, moved.iter().filter(|m| m.suspect && m.due).map(|m| m.model.as_str())).await;
}

/// The same for a batch, as what is done before its answers are given; nothing where nothing moved.
pub fn soon(ctx: &Arc<Ctx>, changes: Vec<Moved>) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
    if changes.is_empty() {
        return None;
    }
    let ctx = Arc::clone(ctx);
    Some(Box::pin(async move { moved(&ctx, &changes).await }))
}

/// Puts hints back that were popped in vain.
pub async fn put_back(ctx: &Ctx, entries: Vec<QueueEntry>) {
    let hints: Vec<Hint> = entries.into_iter().map(|e| Hint { id: e.id, model: e.model, rank: e.rank }).collect();
    ctx.index.push(&hints).await;
}

/// Pushes jobs whose time has come and wakes those who wait for them.
pub async fn ready(ctx: &Ctx, entries: Vec<QueueEntry>) {
    suspects(ctx, entries.iter().filter(|e| e.suspect).map(|e| e.model.as_str())).await;
    let hints: Vec<Hint> =
        entries.into_iter().filter(|e| !e.suspect).map(|e| Hint { id: e.id, model: e.model, rank: e.rank }).collect();
    if hints.is_empty() {
        return;
    }
    ctx.index.push(&hints).await;
    let models = wake(ctx, &hints);
    ctx.index.tell(ctx.replica, &models, &[]).await;
}

/// Wakes one waiter here for every pushed job, and gives it to them; answers for how many jobs there was none.
fn wake(ctx: &Ctx, hints: &[Hint]) -> Vec<(String, usize)> {
    let mut by_model: HashMap<&str, Vec<Wake>> = HashMap::new();
    for hint in hints {
        by_model.entry(&hint.model).or_default().push(Wake::Hinted(hint.id));
    }
    let left = |(model, wakes): (&str, Vec<Wake>)| {
        let count = wakes.len();
        let left = count - ctx.waiters.wake_each(model, wakes);
        (left > 0).then(|| (model.to_owned(), left))
    };
    by_model.into_iter().filter_map(left).collect()
}

/// Wakes one waiter per suspect, here or elsewhere, to look at PostgreSQL: the index does not know suspects.
async fn suspects(ctx: &Ctx, models: impl Iterator<Item = &str>) {
    for model in models {
        if ctx.waiters.wake_model(model, 1, Wake::Probed) == 0 {
            ctx.index.tell_suspect(ctx.replica, model).await;
        }
    }
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
