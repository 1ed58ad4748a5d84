//! Cases that are deleted: marked at once, emptied in bounded bites, told in a receipt.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use sqlx::types::Json;
use tokio::time::Instant;
use uuid::Uuid;

use super::enter;
use super::records::{check_not_own, lock_for_change};
use crate::domain::case::CaseRole;
use crate::domain::fault::Fault;
use crate::service::accounts::{Accounts, User};
use crate::service::{Ctx, Error, Result, announce, exports, images, transition};
use crate::store::cases::removal::{self, DeletedCase, LeavingImage, RemovedImage};
use crate::store::exports::{GoneExport, remove_of_case};
use crate::store::submissions::{self, SubmissionPlace, Withdrawn};
use crate::store::work::Moved;
use crate::store::{Db, ticks};

pub use crate::store::cases::removal::Removed;

/// How long a request itself removes: a small case is gone when it is answered, and the rest of a large one is the maintenance's.
const AT_ONCE: Duration = Duration::from_secs(2);
/// How soon it looks again where another server takes bites.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// How many rows of a kind one bite takes.
const ROWS_MAX: i64 = 1_000;
/// How many submissions one bite takes.
const SUBMISSIONS_MAX: i64 = 10;

/// What has gone of a deleted case.
#[derive(Debug)]
pub struct DeletionReceipt {
    pub case: Uuid,
    pub deleted_at: DateTime<Utc>,
    /// The name of who deleted it.
    pub by: String,
    pub removed: Removed,
}

/// Deletes a case. From its COMMIT on nobody sees it; what it alone held goes soon after.
pub async fn delete(ctx: &Ctx, accounts: &Accounts, user: &User, case: Uuid) -> Result<DeletionReceipt> {
    let user = enter(accounts, user, case, CaseRole::Owner).await?;
    let mark = async |tx: &mut PgConnection| {
        check_not_own(&lock_for_change(tx, &user, case, CaseRole::Owner).await?)?;
        Ok::<_, Error>(removal::mark(tx, case, user.account.id).await?)
    };
    for member in ctx.db.write(mark).await? {
        accounts.forget(member);
    }
    let until = Instant::now() + AT_ONCE;
    while Instant::now() < until {
        match bite(ctx, &ctx.db, case).await {
            Ok(Left::More) => {}
            Ok(Left::Nothing | Left::Unforgotten) => break,
            Ok(Left::Unknown) => tokio::time::sleep(LOOK_AGAIN).await,
            Err(error) => {
                tracing::info!(%case, %error, "what is left of a deleted case goes later");
                break;
            }
        }
    }
    receipt(ctx, &user, case).await
}

/// What has gone of a deleted case, for who deleted it, and administrators.
pub async fn receipt(ctx: &Ctx, user: &User, case: Uuid) -> Result<DeletionReceipt> {
    let found = ctx.db.run(async |db| removal::find(db, case).await).await?;
    let DeletedCase { deleted_at, by, removed: Json(removed), .. } = found
        .filter(|deleted| user.is_admin() || deleted.deleted_by == user.account.id)
        .ok_or_else(|| Fault::not_found("receipt"))?;
    Ok(DeletionReceipt { case, deleted_at, by, removed })
}

/// What is left after a bite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    Nothing,
    More,
    /// Nothing was bitten: another server is at it.
    Unknown,
    /// Nothing was bitten: Redis is away, and would go on telling of what has gone.
    Unforgotten,
}

/// What a bite changed that others are told of.
#[derive(Default)]
pub struct Bitten {
    pub moved: Vec<Moved>,
    gone: Vec<RemovedImage>,
    exports: Vec<GoneExport>,
    more: bool,
}

/// Takes a bite of a deleted case, over these connections; answers what is left. Rows go first, then what is mirrored of them, then
/// the bytes; what is left when we die in between is the collector's.
pub async fn bite(ctx: &Ctx, db: &Db, case: Uuid) -> Result<Left> {
    // What is mirrored of images must not outlive them.
    if !ctx.index.is_live() {
        return Ok(Left::Unforgotten);
    }
    let bitten = db
        .write(async |tx| {
            if !ticks::try_tick(tx, "cases").await? {
                return Ok(None);
            }
            bite_in(tx, case).await.map(Some)
        })
        .await?;
    let Some(bitten) = bitten else { return Ok(Left::Unknown) };
    announce::cancelled(ctx, &bitten.moved).await;
    images::forget(ctx, bitten.gone.iter().map(|gone| &gone.image)).await;
    exports::forget(ctx, &bitten.exports).await;
    Ok(if bitten.more { Left::More } else { Left::Nothing })
}

/// The bite's own transaction: requests, then images, then the rest.
pub async fn bite_in(tx: &mut PgConnection, case: Uuid) -> Result<Bitten> {
    let Some(DeletedCase { deleted_by, removed: Json(mut removed), .. }) = removal::find(tx, case).await? else {
        return Ok(Bitten::default());
    };
    if removed.done {
        return Ok(Bitten::default());
    }
    // First of all, for they hold copies of what goes.
    let exports = remove_of_case(tx, case).await?;
    let mut bitten = Bitten { exports, more: true, ..Bitten::default() };
    let submissions = removal::lock_submissions(tx, case, SUBMISSIONS_MAX).await?;
    if !submissions.is_empty() {
        bitten.moved = withdraw(tx, case, &submissions, deleted_by).await?;
        return Ok(bitten);
    }
    let leaving = removal::images(tx, case, ROWS_MAX).await?;
    if leaving.is_empty() {
        let (notes, tags, more) = removal::remove_rest(tx, case, ROWS_MAX).await?;
        (removed.notes, removed.tags) = (removed.notes + notes, removed.tags + tags);
        (removed.done, bitten.more) = (!more, more);
    } else {
        remove_images(tx, case, &leaving, deleted_by, (&mut removed, &mut bitten)).await?;
    }
    removal::count(tx, case, removed).await?;
    Ok(bitten)
}

/// Withdraws the next requests of these locked submissions, cancels what nobody waits for any more, and removes both.
async fn withdraw(tx: &mut PgConnection, case: Uuid, submissions: &[Uuid], by: Uuid) -> Result<Vec<Moved>> {
    let (mut jobs, mut seen, mut room) = (Vec::new(), Vec::new(), ROWS_MAX);
    for submission in submissions {
        if room == 0 {
            break;
        }
        let first = SubmissionPlace::after(i64::MIN);
        if let Some(next) = submissions::next_requests(tx, *submission, first, room).await? {
            room -= next.count as i64;
            jobs.extend(next.jobs);
            seen.push((*submission, next.last));
        }
    }
    let live = submissions::lock_jobs(tx, &jobs).await?;
    let unwanted = submissions::withdraw(tx, &live, Withdrawn::Cases(&[case]), by).await?;
    let moved = transition::cancel(tx, &unwanted, Some(by)).await?;
    for (submission, last) in seen {
        removal::remove_requests(tx, submission, last).await?;
    }
    removal::remove_submissions(tx, submissions).await?;
    Ok(moved)
}

/// Takes images out of the case, and removes those that no other holds.
async fn remove_images(
    tx: &mut PgConnection,
    case: Uuid,
    leaving: &[LeavingImage],
    by: Uuid,
    (removed, bitten): (&mut Removed, &mut Bitten),
) -> Result<()> {
    let (shared, lone): (Vec<LeavingImage>, Vec<LeavingImage>) =
        leaving.iter().copied().partition(|image| image.shared);
    let lone: Vec<i64> = lone.iter().map(|image| image.id).collect();
    let locked = removal::lock_images(tx, &lone).await?;
    let lone = removal::still_lone(tx, case, &locked).await?;
    // Nobody else may ask for them.
    let live = removal::lock_jobs(tx, &lone).await?;
    bitten.moved = transition::cancel(tx, &live, Some(by)).await?;
    let left: Vec<i64> = shared.iter().map(|image| image.id).chain(locked).collect();
    let untitled = removal::remove_titles(tx, case, &left).await?;
    bitten.gone = removal::remove_images(tx, &lone, by).await?;
    removed.titles += untitled.titles;
    removed.tags += untitled.tags;
    removed.notes += untitled.notes;
    removed.images += bitten.gone.len() as i64;
    removed.bytes += bitten.gone.iter().map(|gone| gone.bytes).sum::<i64>();
    Ok(())
}
