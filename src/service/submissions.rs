//! Submissions for people: found, waited for, listed, withdrawn.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::accounts::User;
use super::cases::refusal;
use super::tallies::HowFar;
use super::transition;
use super::{Ctx, Error, Result, announce};
use crate::domain::case::CaseRole;
use crate::domain::fault::Fault;
use crate::domain::job::JobState;
use crate::store::cases;
use crate::store::submissions::{self, RequestRow, Submission, SubmissionPlace, Withdrawn};

/// How soon a waiting submission looks again after any job ended.
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(200);

/// How often it looks again though no job ended here.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How many requests one transaction looks at to withdraw them.
const CANCEL_AT_ONCE: i64 = 1_000;

/// A submission, how far it is, and a page of its images.
#[derive(Debug)]
pub struct Shown {
    pub submission: Submission,
    /// How many of its requests are for a model and in a state: all of them.
    pub counts: Vec<(Arc<str>, JobState, i64)>,
    /// How many images it has.
    pub images: i64,
    /// The requests of the page, by image and model.
    pub rows: Vec<RequestRow>,
    /// Whether images follow.
    pub more: bool,
}

/// A submission to one of the user's cases, or to any for an administrator.
pub async fn find(ctx: &Ctx, user: &User, id: Uuid) -> Result<Submission> {
    let found = ctx.db.run(async |db| submissions::find(db, id).await).await?;
    found.filter(|s| user.may(s.case_id, CaseRole::Viewer)).ok_or_else(|| Fault::not_found("submission").into())
}

/// A submission and its requests for the next `limit` images after one, waiting until all is done or the time is up.
pub async fn wait_for(
    ctx: &Ctx,
    user: &User,
    id: Uuid,
    wait: Duration,
    after_image: Option<i64>,
    limit: i64,
) -> Result<Shown> {
    let until = Instant::now() + wait;
    let mut ended = ctx.waiters.watch_ended();
    let mut stopping = ctx.stopping.clone();
    let mut submission = find(ctx, user, id).await?;
    let mut live = None;
    while Instant::now() < until {
        ended.borrow_and_update();
        // From the last one that was seen alive on: an ended job never lives again.
        if let Some(from) = live {
            live = ctx.db.run(async |db| submissions::next_live(db, id, from).await).await?;
        }
        if live.is_none() {
            submission = find(ctx, user, id).await?;
            let progress = ctx.tallies.of(std::slice::from_ref(&submission), true).await?;
            live = progress.first().and_then(|progress| progress.lives_after).map(SubmissionPlace::after);
        }
        if live.is_none() {
            break;
        }
        tokio::select! {
            _ = ended.changed() => {}
            () = tokio::time::sleep_until(until.min(Instant::now() + LOOK_AGAIN)) => {}
            _ = stopping.wait_for(|stopping| *stopping) => break,
        }
        tokio::time::sleep_until(until.min(Instant::now() + LOOK_AGAIN_SOON)).await;
    }
    show(ctx, vec![submission], after_image, limit).await?.pop().ok_or_else(|| Fault::not_found("submission").into())
}

/// A submission as it is now, with the first of its images, for whoever may see its case: who asks sees to that.
pub async fn as_it_is(ctx: &Ctx, id: Uuid, limit: i64) -> Result<Shown> {
    let found = ctx.db.run(async |db| submissions::find(db, id).await).await?;
    show(ctx, found.into_iter().collect(), None, limit)
        .await?
        .pop()
        .ok_or_else(|| Fault::not_found("submission").into())
}

/// Submissions newest first with their counts and, of each alike, so many of their images in all: those to these cases, or, with none
/// given, all.
pub async fn list(
    ctx: &Ctx,
    cases: Option<&[Uuid]>,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
    images: i64,
) -> Result<Vec<Shown>> {
    let list = ctx.db.run(async |db| submissions::list(db, cases, before, limit).await).await?;
    let each = images / i64::try_from(list.len()).unwrap_or(1).max(1);
    show(ctx, list, None, each).await
}

async fn show(ctx: &Ctx, list: Vec<Submission>, after_image: Option<i64>, limit: i64) -> Result<Vec<Shown>> {
    let ids: Vec<Uuid> = list.iter().map(|submission| submission.id).collect();
    let progress = ctx.tallies.of(&list, false).await?;
    let counts = progress.iter().flat_map(|progress| progress.tally.counts());
    let queues: Vec<i32> = counts.map(|(queue, _, _)| *queue).collect();
    let names = ctx.catalog.names(queues).await?;
    let rows = ctx.db.run(async |db| submissions::requests_page(db, &ids, after_image, limit).await).await?;
    let mut by_submission: HashMap<Uuid, Vec<RequestRow>> = HashMap::new();
    for row in rows {
        by_submission.entry(row.submission_id).or_default().push(row);
    }
    let shown = |(submission, progress): (Submission, HowFar)| {
        let count = |(queue, state, jobs): &(i32, JobState, i64)| Some((Arc::clone(names.get(queue)?), *state, *jobs));
        let counts = progress.tally.counts().iter().filter_map(count).collect();
        let rows = by_submission.remove(&submission.id).unwrap_or_default();
        let images = progress.tally.images;
        let more = rows.chunk_by(|a, b| a.image_id == b.image_id).count() as i64 == limit && images > limit;
        Shown { submission, counts, images, rows, more }
    };
    Ok(list.into_iter().zip(progress).map(shown).collect())
}

/// Withdraws a whole submission, as an editor of its case may; answers how many of its jobs ended by it.
pub async fn cancel(ctx: &Ctx, user: &User, id: Uuid) -> Result<usize> {
    let case = find(ctx, user, id).await?.case_id;
    user.check(case, CaseRole::Editor)?;
    let mut ended = 0;
    let mut after = SubmissionPlace::after(i64::MIN);
    loop {
        let step = async |tx: &mut PgConnection| {
            if cases::lock_open(tx, &[case]).await?.is_empty() {
                return Err(refusal(tx, case).await?.into());
            }
            let Some(next) = submissions::next_requests(tx, id, after, CANCEL_AT_ONCE).await? else {
                return Ok::<_, Error>(None);
            };
            let live = submissions::lock_jobs(tx, &next.jobs).await?;
            let unwanted = submissions::withdraw(tx, &live, Withdrawn::Submission(id), user.account.id).await?;
            Ok(Some((transition::cancel(tx, &unwanted, Some(user.account.id)).await?, next.last)))
        };
        let Some((moved, last)) = ctx.db.write(step).await? else { return Ok(ended) };
        announce::cancelled(ctx, &moved).await;
        ended += moved.len();
        after = last;
    }
}
