//! What everybody is told after a COMMIT: the queues, the mirror, the waiting. Never before, and a failure
//! here fails nobody's request.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use super::Ctx;
use super::waiters::Wake;
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;
use crate::index::queue::{Hint, Popped};
use crate::index::wake::News;
use crate::metrics;
use crate::store::queues::QueueEntry;
use crate::store::work::Moved;

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
    // Both in one journey, and before anybody is woken: who looks then must not be shown what was.
    let changed = images(moved.iter());
    tokio::join!(ctx.index.push(&hints), ctx.index.drop_statuses(&changed));
    let models = wake(ctx, &hints);
    // Who waits for an image waits for the end of its jobs.
    let ended = images(moved.iter().filter(|m| m.status.state.ended()));
    ctx.waiters.jobs_ended(ended.iter().copied());
    ctx.index.tell(ctx.replica, &models, &ended).await;
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

/// The images of these jobs, each once.
fn images<'m>(moved: impl Iterator<Item = &'m Moved>) -> Vec<ContentMd5> {
    let mut images: Vec<ContentMd5> = moved.map(|m| m.md5).collect();
    images.sort_unstable();
    images.dedup();
    images
}
