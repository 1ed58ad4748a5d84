//! Jobs that leave a state otherwise than by a plain success: locked, ruled on, and moved, in one transaction of the caller's.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::job::JobState;
use crate::domain::ruling::{Failure, Reason, Ruling};
use crate::service::Result;
use crate::store::work::{self, Cause, Claimed, Ending, Held, Lease, Moved, Requeued};

/// A held job, what becomes of it, and the words for it.
pub struct Ruled<'a> {
    pub held: &'a Held,
    pub ruling: Ruling,
    /// How the try ended, as it is kept.
    pub outcome: &'static str,
    /// The event's code if it goes back into line.
    pub code: &'static str,
    /// Its worker's word decided, not the service.
    pub by_worker: bool,
    pub duration_s: Option<f32>,
    pub failure: Failure,
}

/// Carries out rulings.
pub async fn carry_out(db: &mut PgConnection, ruled: Vec<Ruled<'_>>) -> Result<Vec<Moved>> {
    let Some(at) = ruled.iter().map(|ruled| ruled.held.at).max() else { return Ok(Vec::new()) };
    let (mut back, mut over) = (Vec::new(), Vec::new());
    for Ruled { held, ruling, outcome, code, by_worker, duration_s, failure } in ruled {
        match ruling {
            Ruling::Again(again) => back.push(Requeued { held, again, outcome, code, failure }),
            Ruling::Fails { reason, attempts, deaths } => over.push(Ending {
                by_worker,
                duration_s,
                outcome: Some(outcome),
                failure,
                attempts,
                deaths,
                ..Ending::plain(held, JobState::Failed, Some(reason))
            }),
        }
    }
    let mut moved = work::requeue(db, &back, at).await?;
    moved.extend(work::end(db, &over, at, None).await?);
    Ok(moved)
}

/// Ends live jobs as cancelled, running ones too: terminal at once, a late result is stale. `by` is the user who did.
pub async fn cancel(db: &mut PgConnection, jobs: &[Uuid], by: Option<Uuid>) -> Result<Vec<Moved>> {
    let held = work::hold_jobs(db, jobs).await?;
    end_all(db, &held, JobState::Cancelled, None, by).await
}

/// Cancels at most `limit` queued jobs of models that are retired; `scheduled`: also those whose time has not come.
pub async fn cancel_retired(
    db: &mut PgConnection,
    limit: i64,
    scheduled: bool,
    by: Option<Uuid>,
) -> Result<Vec<Moved>> {
    let held = work::hold_retired(db, limit, scheduled).await?;
    end_all(db, &held, JobState::Cancelled, None, by).await
}

/// Fails queued jobs that are past `finish_by`: of these, and at most `limit` short-lived ones.
pub async fn expire(db: &mut PgConnection, seen: &[Uuid], limit: i64) -> Result<Vec<Moved>> {
    let held = work::hold_late(db, seen, limit).await?;
    end_all(db, &held, JobState::Failed, Some(Reason::Expired), None).await
}

async fn end_all(
    db: &mut PgConnection,
    held: &[Held],
    state: JobState,
    reason: Option<Reason>,
    by: Option<Uuid>,
) -> Result<Vec<Moved>> {
    let Some(at) = last(held) else { return Ok(Vec::new()) };
    let endings: Vec<Ending<'_>> = held.iter().map(|held| Ending::plain(held, state, reason)).collect();
    Ok(work::end(db, &endings, at, by).await?)
}

/// Gives held jobs back at no cost; what is not returned was not held.
pub async fn release(db: &mut PgConnection, leases: &[Lease<'_>]) -> Result<Vec<Moved>> {
    let held: Vec<Held> = work::hold_leases(db, leases).await?.into_iter().map(|(_, held)| held).collect();
    give_back(db, &held).await
}

/// Gives claimed jobs back at no cost that nobody was there to take, as far as they are still held so.
pub async fn release_taken(db: &mut PgConnection, jobs: &[Claimed]) -> Result<Vec<Moved>> {
    let leases: HashMap<Uuid, (Uuid, i32)> = jobs.iter().map(|job| (job.id, (job.session_id, job.lease_no))).collect();
    let ids: Vec<Uuid> = leases.keys().copied().collect();
    let mut held = work::hold_jobs(db, &ids).await?;
    held.retain(|held| {
        let lease = held.session_id.map(|session| (session, held.lease_no));
        held.state == JobState::Running && lease == leases.get(&held.id).copied()
    });
    give_back(db, &held).await
}

/// Gives back what a live session runs by our books but did not list, one lease after it was handed out.
pub async fn release_unlisted(
    db: &mut PgConnection,
    session: Uuid,
    listed: &[(Uuid, i32)],
    lease_s: f64,
) -> Result<Vec<Moved>> {
    let held = work::hold_unlisted(db, session, listed, lease_s).await?;
    give_back(db, &held).await
}

async fn give_back(db: &mut PgConnection, held: &[Held]) -> Result<Vec<Moved>> {
    let ruled = held.iter().map(|held| Ruled {
        held,
        ruling: Ruling::Again(held.facts.released()),
        outcome: "released",
        code: "released",
        by_worker: false,
        duration_s: None,
        failure: Failure::default(),
    });
    carry_out(db, ruled.collect()).await
}

/// Takes those of the locked jobs away that are still orphaned or overdue. `jitter` is a random fraction 0…1 of the back-off.
///
/// - A session that died costs no attempt, but makes its jobs suspects.
/// - A session that left gives back at no cost.
/// - A missed deadline is a failed attempt.
pub async fn rescue(db: &mut PgConnection, locked: &[Uuid], jitter: f64) -> Result<Vec<Moved>> {
    let orphans = work::hold_orphans(db, locked).await?;
    let rule = |(held, cause): &(Held, Cause)| match cause {
        Cause::Lost => held.facts.after_death(held.at, jitter),
        Cause::Deadline => held.facts.after_deadline(held.at, jitter),
        Cause::Released => held.facts.after_release(held.at),
    };
    let ruled = orphans.iter().map(|orphan| Ruled {
        held: &orphan.0,
        ruling: rule(orphan),
        outcome: orphan.1.as_str(),
        code: if orphan.1 == Cause::Released { "released" } else { "rescued" },
        by_worker: false,
        duration_s: None,
        failure: words(orphan.1, orphan.0.facts.suspect),
    });
    carry_out(db, ruled.collect()).await
}

/// What is kept of an attempt that nobody told the end of.
fn words(cause: Cause, alone: bool) -> Failure {
    let (kind, message) = match cause {
        Cause::Released => return Failure::default(),
        Cause::Lost if alone => ("WorkerLost", "the worker went away while it held this job alone"),
        Cause::Lost => ("WorkerLost", "the worker went away while it held the job"),
        Cause::Deadline => ("DeadlineExceeded", "the attempt took longer than its deadline"),
    };
    Failure { kind: Some(kind.to_owned()), message: Some(message.to_owned()), traceback: None }
}

fn last(held: &[Held]) -> Option<DateTime<Utc>> {
    held.iter().map(|held| held.at).max()
}
