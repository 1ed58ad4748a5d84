//! What everybody is told after a COMMIT: the queues, the mirror, the waiting. Never before, and a failure
//! here fails nobody's request.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use uuid::Uuid;

use super::waiters::Wake;
use super::{Ctx, Result, queues};
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;
use crate::index::queue::{Hint, Popped};
use crate::index::wake::News;
use crate::metrics;
use crate::store::images::KnownImage;
use crate::store::queues::QueueEntry;
use crate::store::work::Moved;

/// Announces committed transitions.
pub async fn moved(ctx: &Ctx, moved: &[Moved]) {
    if moved.is_empty() {
        return;
    }
    let Some(Told { names, images }) = told(ctx, moved).await else { return };
    metrics::moved(moved, &names);
    let hints: Vec<Hint> = moved
        .iter()
        .filter(|m| m.state == JobState::Queued && m.due && !m.suspect)
        .filter_map(|m| Some(Hint { id: m.id, model: names.get(&m.queue_id)?.to_string(), rank: m.rank }))
        .collect();
    let changed = md5s(moved.iter(), &images);
    // Who waits for an image waits for the end of its jobs.
    let ended = md5s(moved.iter().filter(|m| m.state.ended()), &images);
    // In one journey, in this order, and before anybody is woken: who looks then must not be shown what was.
    tokio::join!(ctx.index.push(&hints), ctx.index.drop_statuses(&changed), ctx.index.tell(ctx.replica, &[], &ended));
    let models = wake(ctx, &hints);
    ctx.waiters.jobs_ended(ended);
    ctx.waiters.runs.tell(moved.iter().filter(|m| m.image_id.is_none()).map(|m| m.id));
    ctx.index.tell(ctx.replica, &models, &[]).await;
    let waiting = moved.iter().filter(|m| m.state == JobState::Queued && m.suspect && m.due);
    suspects(ctx, waiting.filter_map(|m| names.get(&m.queue_id)).map(|name| &**name)).await;
}

/// What the numbers of moved jobs stand for.
struct Told {
    names: HashMap<i32, Arc<str>>,
    images: HashMap<i64, Arc<KnownImage>>,
}

/// Nothing when PostgreSQL went away right after the COMMIT: then the sweep and the short life of unfinished statuses make
/// up for what is not told.
async fn told(ctx: &Ctx, moved: &[Moved]) -> Option<Told> {
    let read = async {
        let names = ctx.catalog.names(moved.iter().map(|m| m.queue_id)).await?;
        let images = ctx.catalog.images(moved.iter().filter_map(|m| m.image_id)).await?;
        Ok::<_, super::Error>(Told { names, images })
    };
    read.await
        .inspect_err(
            |error| tracing::warn!(%error, jobs = moved.len(), "changed jobs could not be announced; the sweep does"),
        )
        .ok()
}

/// Counts attempts that will be tried again.
pub async fn retried(ctx: &Ctx, moved: &[Moved]) {
    if moved.iter().any(|m| m.state == JobState::Queued)
        && let Some(told) = told(ctx, moved).await
    {
        metrics::retried(moved, &told.names);
    }
}

/// Counts jobs taken from dead or overdue workers.
pub async fn rescued(ctx: &Ctx, moved: &[Moved]) {
    if let Some(told) = told(ctx, moved).await {
        metrics::rescued(moved, &told.names);
    }
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
    let Some(Told { names, .. }) = told(ctx, changes).await else { return };
    let mut by_model: HashMap<&str, Vec<Uuid>> = HashMap::new();
    for one in changes {
        if let Some(name) = names.get(&one.queue_id) {
            by_model.entry(name).or_default().push(one.id);
        }
    }
    for (model, ids) in by_model {
        ctx.index.remove(model, &ids).await;
    }
}

/// Puts those of the jobs that were popped in vain back that still belong into their queues. Nobody is woken, who could not
/// use them either.
pub async fn put_back(ctx: &Ctx, popped: &[Uuid]) -> Result<()> {
    let hints = hints(ctx, &queues::still_ready(ctx, popped).await?).await;
    ctx.index.push(&hints).await;
    Ok(())
}

/// Pushes jobs whose time has come and wakes those who wait for them.
pub async fn ready(ctx: &Ctx, entries: Vec<QueueEntry>) {
    let (alone, open): (Vec<QueueEntry>, Vec<QueueEntry>) = entries.into_iter().partition(|entry| entry.suspect);
    let models: Vec<String> = hints(ctx, &alone).await.into_iter().map(|hint| hint.model).collect();
    suspects(ctx, models.iter().map(String::as_str)).await;
    let hints = hints(ctx, &open).await;
    if hints.is_empty() {
        return;
    }
    ctx.index.push(&hints).await;
    let models = wake(ctx, &hints);
    ctx.index.tell(ctx.replica, &models, &[]).await;
}

/// Nothing when PostgreSQL went away: the sweep pushes them.
async fn hints(ctx: &Ctx, entries: &[QueueEntry]) -> Vec<Hint> {
    let names = ctx.catalog.names(entries.iter().map(|entry| entry.queue_id)).await.unwrap_or_default();
    let hint = |entry: &QueueEntry| {
        Some(Hint { id: entry.id, model: names.get(&entry.queue_id)?.to_string(), rank: entry.rank })
    };
    entries.iter().filter_map(hint).collect()
}

/// Wakes one waiter here for every pushed job, and gives it to them; answers for how many jobs there was none.
fn wake(ctx: &Ctx, hints: &[Hint]) -> Vec<(String, usize)> {
    let mut by_model: HashMap<&str, Vec<Wake>> = HashMap::new();
    for hint in hints {
        by_model.entry(&hint.model).or_default().push(Wake::Hinted(hint.id));
    }
    let left = |(model, wakes): (&str, Vec<Wake>)| {
        let count = wakes.len();
        let left = count - ctx.waiters.wake_each(model, ctx.versions.first(model), wakes);
        (left > 0).then(|| (model.to_owned(), left))
    };
    by_model.into_iter().filter_map(left).collect()
}

/// Wakes one waiter per suspect, here or elsewhere, to look at PostgreSQL: the index does not know suspects.
async fn suspects(ctx: &Ctx, models: impl Iterator<Item = &str>) {
    for model in models {
        if ctx.waiters.wake_model(model, ctx.versions.first(model), 1, Wake::Probed) == 0 {
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
            ctx.waiters.wake_model(&model, ctx.versions.first(&model), 1, Wake::Probed);
        }
        News::Ended(images) => ctx.waiters.jobs_ended(images),
    }
}

/// All replicas hear of a pushed job, but only the one that pops it wakes somebody, and gives it to them.
async fn pop_for(ctx: &Ctx, model: &str, count: usize) {
    let first = ctx.versions.first(model);
    let count = count.min(ctx.waiters.waiting_for(model, first));
    if count == 0 {
        return;
    }
    match ctx.index.pop(model, count).await {
        Popped::Hints(ids) => ids.into_iter().for_each(|id| ctx.waiters.pass_on(model, first, Wake::Hinted(id))),
        Popped::Untrusted => {
            ctx.waiters.wake_model(model, first, count, Wake::Probed);
        }
    }
}

/// The images of these jobs, each once.
fn md5s<'m>(moved: impl Iterator<Item = &'m Moved>, images: &HashMap<i64, Arc<KnownImage>>) -> Vec<ContentMd5> {
    let mut md5s: Vec<ContentMd5> = moved.filter_map(|m| Some(images.get(&m.image_id?)?.md5)).collect();
    md5s.sort_unstable();
    md5s.dedup();
    md5s
}
