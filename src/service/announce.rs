//! What everybody is told after a COMMIT: the queues, the mirror, the waiting. Never before, and a failure
//! here fails nobody's request.

use uuid::Uuid;

use super::waiters::Wake;
use super::{Ctx, Result, queues};
use crate::domain::job::{JobState, Success};
use crate::index::queue::{Hint, Popped};
use crate::index::status::Change;
use crate::index::wake::News;
use crate::metrics;
use crate::store::queues::QueueEntry;
use crate::store::work::Moved;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

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

/// Announces cancelled jobs and takes their hints out of the queues.
pub async fn cancelled(ctx: &Ctx, changes: &[Moved]) {
    moved(ctx, changes).await;
    for one in changes {
        ctx.index.remove(&one.model, &[one.status.id]).await;
    }
}

/// Puts those of the jobs that were popped in vain back that still belong into their queues. Nobody is woken, who could not
/// use them either.
pub async fn put_back(ctx: &Ctx, popped: &[Uuid]) -> Result<()> {
    let entries = queues::still_ready(ctx, popped).await?;
    let hints: Vec<Hint> = entries.into_iter().map(|e| Hint { id: e.id, model: e.model, rank: e.rank }).collect();
    ctx.index.push(&hints).await;
    Ok(())
}

/// The same in a task of its own.
pub fn put_back_soon(ctx: &Arc<Ctx>, popped: Vec<Uuid>) {
    if popped.is_empty() {
        return;
    }
    let ctx = Arc::clone(ctx);
    tokio::spawn(async move {
        if let Err(error) = put_back(&ctx, &popped).await {
            tracing::debug!(%error, "jobs that were popped in vain wait for the sweep");
        }
    });
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

/// Listens to the other replicas until the connection breaks, and wakes those whom their news concerns.
pub async fn listen(ctx: &Ctx) -> redis::RedisResult<()> {
    ctx.index.listen(ctx.replica, |news| hear(ctx, news)).await
}

async fn hear(ctx: &Ctx, news: News) {
    match news {
        News::Pushed { model, count } => pop_for(ctx, &model, count).await,
        News::Suspect { model } => {
            ctx.waiters.wake_model(&model, 1, Wake::Probed);
        }
        News::Ended(images) => ctx.waiters.jobs_ended(images),
    }
}

/// All replicas hear of a pushed job, but only the one that pops it wakes somebody, and gives it to them.
async fn pop_for(ctx: &Ctx, model: &str, count: usize) {
    let count = count.min(ctx.waiters.waiting_for(model));
    if count == 0 {
        return;
    }
    match ctx.index.pop(model, count).await {
        Popped::Hints(ids) => ids.into_iter().for_each(|id| ctx.waiters.pass_on(model, Wake::Hinted(id))),
        Popped::Untrusted => {
            ctx.waiters.wake_model(model, count, Wake::Probed);
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
