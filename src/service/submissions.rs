//! Submissions for people: found, waited for, listed, withdrawn.

use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::Instant;
use uuid::Uuid;

use super::accounts::User;
use super::{Ctx, Error, Result, announce};
use crate::domain::fault::Fault;
use crate::domain::job::Overall;
use crate::store::submissions::{self, RequestRow, Submission};
use crate::store::work;

/// How soon a waiting submission looks again after any job ended.
const LOOK_AGAIN_SOON: Duration = Duration::from_millis(200);

/// How often it looks again though no job ended here.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A submission of the user's, or anybody's for an administrator.
pub async fn find(ctx: &Ctx, user: &User, id: Uuid) -> Result<Submission> {
    ctx.db
        .read(async |db| {
            submissions::find(db, id)
                .await?
                .filter(|s| user.is_admin() || s.account_id == user.account.id)
                .ok_or_else(|| Error::from(Fault::not_found("submission")))
        })
        .await
}

/// A submission and its requests, waiting until all are done or the time is up.
pub async fn wait_for(ctx: &Ctx, user: &User, id: Uuid, wait: Duration) -> Result<(Submission, Vec<RequestRow>)> {
    let until = Instant::now() + wait;
    let mut ended = ctx.waiters.watch_ended();
    let mut stopping = ctx.stopping.clone();
    let submission = find(ctx, user, id).await?;
    loop {
        ended.borrow_and_update();
        let rows = ctx.db.read(async |db| submissions::requests(db, &[id]).await).await?;
        let now = Instant::now();
        if Overall::of(rows.iter().map(|r| r.state)).done() || now >= until {
            return Ok((submission, rows));
        }
        tokio::select! {
            _ = ended.changed() => {}
            () = tokio::time::sleep_until(until.min(now + LOOK_AGAIN)) => {}
            _ = stopping.wait_for(|stopping| *stopping) => return Ok((submission, rows)),
        }
        tokio::time::sleep_until(until.min(now + LOOK_AGAIN_SOON)).await;
    }
}

/// Submissions newest first with their requests; the user's, or everybody's for an administrator.
pub async fn list(
    ctx: &Ctx,
    user: &User,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> Result<Vec<(Submission, Vec<RequestRow>)>> {
    ctx.db
        .read(async |db| {
            let list = submissions::list(db, user.scope(), before, limit).await?;
            let ids: Vec<Uuid> = list.iter().map(|s| s.id).collect();
            let mut rows = submissions::requests(db, &ids).await?;
            Ok(list
                .into_iter()
                .map(|submission| {
                    let own = rows.extract_if(.., |r| r.submission_id == submission.id).collect();
                    (submission, own)
                })
                .collect())
        })
        .await
}

/// Withdraws a whole submission; answers how many of its jobs ended by it.
pub async fn cancel(ctx: &Ctx, user: &User, id: Uuid) -> Result<usize> {
    let submission = find(ctx, user, id).await?;
    let moved = ctx
        .db
        .write(async |tx| {
            let live = submissions::lock_jobs(tx, id).await?;
            let unwanted = submissions::withdraw(tx, &live, submission.account_id, Some(id)).await?;
            work::cancel(tx, &unwanted, Some(user.account.id)).await
        })
        .await?;
    announce::cancelled(ctx, &moved).await;
    Ok(moved.len())
}
