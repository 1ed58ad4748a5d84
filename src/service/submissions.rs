//! Submissions for people: found, waited for, listed, withdrawn.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use super::accounts::User;
use super::transition;
use super::{Ctx, Error, Result, announce};
use crate::domain::fault::Fault;
use crate::store::submissions::{self, Count, RequestRow, Submission, WaitProgress};

/// How soon a waiting submission looks again after any job ended.
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(200);

/// How often it looks again though no job ended here.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// How many images a list shows in all, some of each submission: the rest is on the pages of each.
const LISTED_IMAGES: i64 = 1_000;

/// How many jobs are withdrawn in one transaction.
const CANCEL_AT_ONCE: i64 = 1_000;

/// A submission, how far it is, and a page of its images.
#[derive(Debug)]
pub struct Shown {
    pub submission: Submission,
    /// Its requests by model and state, all of them.
    pub counts: Vec<Count>,
    /// How many images it has.
    pub images: i64,
    /// The requests of the page, by image and model.
    pub rows: Vec<RequestRow>,
    /// Whether images follow.
    pub more: bool,
}

/// A submission of the user's, or anybody's for an administrator.
pub async fn find(ctx: &Ctx, user: &User, id: Uuid) -> Result<Submission> {
    let found = ctx.db.read(async |db| submissions::find(db, id).await).await?;
    found
        .filter(|s| user.is_admin() || s.account_id == user.account.id)
        .ok_or_else(|| Fault::not_found("submission").into())
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
    let submission = find(ctx, user, id).await?;
    let mut progress = WaitProgress::START;
    while Instant::now() < until {
        ended.borrow_and_update();
        if ctx.db.read(async |db| submissions::is_done(db, id, &mut progress).await).await? {
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

/// Submissions newest first with their counts and some of their images; the user's, or everybody's for an administrator.
pub async fn list(ctx: &Ctx, user: &User, before: Option<(DateTime<Utc>, Uuid)>, limit: i64) -> Result<Vec<Shown>> {
    let list = ctx.db.read(async |db| submissions::list(db, user.scope(), before, limit).await).await?;
    let each = LISTED_IMAGES / i64::try_from(list.len()).unwrap_or(1).max(1);
    show(ctx, list, None, each).await
}

async fn show(ctx: &Ctx, list: Vec<Submission>, after_image: Option<i64>, limit: i64) -> Result<Vec<Shown>> {
    let ids: Vec<Uuid> = list.iter().map(|submission| submission.id).collect();
    let (mut counts, images, mut rows) = ctx
        .db
        .read(async |db| {
            let counts = submissions::counts(db, &ids).await?;
            let images = submissions::count_images(db, &ids).await?;
            let rows = submissions::requests_page(db, &ids, after_image, limit).await?;
            Ok::<_, Error>((counts, images, rows))
        })
        .await?;
    let shown = |submission: Submission| {
        let counts = counts.extract_if(.., |count| count.submission_id == submission.id).collect();
        let rows: Vec<RequestRow> = rows.extract_if(.., |row| row.submission_id == submission.id).collect();
        let images = images.iter().find(|(id, _)| *id == submission.id).map_or(0, |(_, images)| *images);
        let more = rows.chunk_by(|a, b| a.image_id == b.image_id).count() as i64 == limit && images > limit;
        Shown { submission, counts, images, rows, more }
    };
    Ok(list.into_iter().map(shown).collect())
}

/// Withdraws a whole submission; answers how many of its jobs ended by it.
pub async fn cancel(ctx: &Ctx, user: &User, id: Uuid) -> Result<usize> {
    let submission = find(ctx, user, id).await?;
    let mut ended = 0;
    loop {
        let (live, moved) = ctx
            .db
            .write(async |tx| {
                let live = submissions::lock_jobs(tx, id, CANCEL_AT_ONCE).await?;
                let unwanted = submissions::withdraw(tx, &live, submission.account_id, Some(id)).await?;
                let moved = transition::cancel(tx, &unwanted, Some(user.account.id)).await?;
                Ok::<_, Error>((live.len(), moved))
            })
            .await?;
        announce::cancelled(ctx, &moved).await;
        ended += moved.len();
        if (live as i64) < CANCEL_AT_ONCE {
            return Ok(ended);
        }
    }
}
