//! The use cases: the statements of each, by the store's own functions, in the transactions that the service puts them in.

use darkroom::domain::job::JobState;
use darkroom::domain::result::said;
use darkroom::service::{self, transition};
use darkroom::store::items::{self, Next, SaidResult};
use darkroom::store::retention::{self, Days};
use darkroom::store::submissions::{self, SubmissionPlace, Withdrawn};
use darkroom::store::work::{
    self, Asked, ClaimKey, Claimed, Ending, Fence, Hinted, Holder, Lease, LeasedResult, Moved,
};
use darkroom::store::workers::{self, Beat, Touch};
use darkroom::store::{is_crossed, ticks};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::gate::Pool;
use super::submit::{Asks, retry, submit};
use super::world::Facts;

/// A result with a label that is written down.
pub const RESULT: &str = r#"{"items":[{"type":"label","label":"cat","score":0.5}],"fields":{},"summary":null}"#;

macro_rules! use_cases {
    ($($name:ident $pool:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum UseCase { $($name),* }
        impl UseCase {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            pub fn pool(self) -> Pool {
                match self { $(Self::$name => Pool::$pool),* }
            }
        }
    };
}

use_cases! {
    Submit Hot, Resubmit Hot, Rerun Hot, Retry Common, ClaimHinted Hot, ClaimRanked Hot, ClaimCounted Common, ClaimSuspect Common,
    Replay Common, Succeed Hot, Fail Hot, Release Common, BeatWithout Common, Leave Common, Rescue Common, Cancel Common,
    Withdraw Common, WithdrawOther Common, Expire Common, RemoveImages Common, RemoveResults Common, RemoveSubmissions Common,
    RemoveJobs Common, WriteDown Common,
}

/// What a use case was told.
#[derive(Debug, Default)]
pub struct Report {
    /// Transitions: the job, its version after it, and whether it ended.
    pub moved: Vec<(Uuid, i32, bool)>,
    /// Jobs made, and of these the ones that were made because no success answered.
    pub made: Vec<Uuid>,
    pub made_unanswered: Vec<Uuid>,
    /// Leases given, and words about leases that were accepted, not as repeats.
    pub leases: Vec<(Uuid, i32)>,
    pub accepted: Vec<(Uuid, i32)>,
    /// Words that were refused.
    pub refused: Vec<(Uuid, i32)>,
}

impl Report {
    fn moved(&mut self, moved: &[Moved]) {
        self.moved.extend(moved.iter().map(|job| (job.id, job.version, job.state.ended())));
    }

    fn claimed(&mut self, jobs: &[Claimed]) {
        self.leases.extend(jobs.iter().map(|job| (job.id, job.lease_no)));
        self.moved.extend(jobs.iter().map(|job| (job.id, job.version, false)));
    }
}

pub type Done<T = Report> = service::Result<T>;

/// So long was everything kept that is there.
const KEEP: Days = Days(0);
const MOST: i64 = 100;

pub async fn run(case: UseCase, db: &mut PgConnection, f: &Facts) -> Done {
    match case {
        UseCase::Submit => submit(db, f, &Asks::of_ines(f, None, &[0, 1, 2, 3, 4], true)).await,
        UseCase::Resubmit => submit(db, f, &Asks::of_ines(f, Some(f.old), &[0, 3, 4], false)).await,
        UseCase::Rerun => {
            let asks = Asks { account: f.jo, case: f.cases[1], ..Asks::of_ines(f, None, &[0, 2, 4], false) };
            submit(db, f, &asks).await
        }
        UseCase::Retry => retry(db, f).await,
        UseCase::ClaimHinted => {
            let hint = |job: &Uuid| Hinted { job: *job, session: f.free.session, claim: Uuid::new_v4() };
            claimed(work::claim(db, &f.live.iter().map(hint).collect::<Vec<_>>()).await)
        }
        UseCase::ClaimRanked => claimed(work::claim_ranked(db, &[asks(f, 3)], MOST, false).await),
        UseCase::ClaimCounted => claim_counted(db, f).await,
        UseCase::ClaimSuspect => claim_suspect(db, f).await,
        UseCase::Replay => claimed(work::reclaim(db, ClaimKey { session: f.busy.session, claim: f.claim }).await),
        UseCase::Succeed => succeed(db, f).await,
        UseCase::Fail => fail(db, f).await,
        UseCase::Release => {
            let mut tx = db.begin().await?;
            let moved = transition::release(&mut tx, &f.leases()).await?;
            tx.commit().await?;
            judged(db, f, moved, "released").await
        }
        UseCase::BeatWithout => beat_without(db, f).await,
        UseCase::Leave => leave(db, f).await,
        UseCase::Rescue => rescue(db).await,
        UseCase::Cancel => {
            let mut tx = db.begin().await?;
            let moved = match submissions::lock_job(&mut tx, f.live[0]).await? {
                true => transition::cancel(&mut tx, &f.live[..1], Some(f.ines)).await?,
                false => Vec::new(),
            };
            tx.commit().await?;
            Ok(told(&moved))
        }
        UseCase::Withdraw => withdraw(db, f.submission, f.ines).await,
        UseCase::WithdrawOther => withdraw(db, f.other_submission, f.jo).await,
        UseCase::Expire => {
            let mut tx = db.begin().await?;
            let moved = transition::expire(&mut tx, &[], MOST).await?;
            tx.commit().await?;
            Ok(told(&moved))
        }
        UseCase::RemoveImages | UseCase::RemoveResults | UseCase::RemoveSubmissions | UseCase::RemoveJobs => {
            remove(db, case).await
        }
        UseCase::WriteDown => write_down(db).await,
    }
}

fn told(moved: &[Moved]) -> Report {
    let mut report = Report::default();
    report.moved(moved);
    report
}

fn claimed(jobs: sqlx::Result<Vec<Claimed>>) -> Done {
    let mut report = Report::default();
    match jobs {
        Ok(jobs) => report.claimed(&jobs),
        // As the line does, which looks again and finds nothing.
        Err(error) if is_crossed(&error) && !is_deadlock(&error) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(report)
}

fn asks(f: &Facts, most: i32) -> Asked {
    Asked { key: ClaimKey { session: f.free.session, claim: Uuid::new_v4() }, most }
}

pub fn is_deadlock(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "40P01")
}

async fn claim_counted(db: &mut PgConnection, f: &Facts) -> Done {
    let mut tx = db.begin().await?;
    let room = work::room_under_limit(&mut tx, f.queue).await?;
    let jobs = match room {
        0 => Ok(Vec::new()),
        room => work::claim_ranked(&mut tx, &[asks(f, room.min(MOST) as i32)], MOST, true).await,
    };
    let report = claimed(jobs)?;
    tx.commit().await?;
    Ok(report)
}

async fn claim_suspect(db: &mut PgConnection, f: &Facts) -> Done {
    let mut tx = db.begin().await?;
    let mut report = Report::default();
    if work::room_under_limit(&mut tx, f.queue).await? > 0 && work::lock_free_session(&mut tx, f.free.session).await? {
        let key = ClaimKey { session: f.free.session, claim: Uuid::new_v4() };
        report.claimed(&work::claim_suspect(&mut tx, key).await?);
    }
    tx.commit().await?;
    Ok(report)
}

async fn succeed(db: &mut PgConnection, f: &Facts) -> Done {
    let result = |lease: Lease<'_>| LeasedResult {
        holder: &f.busy,
        id: lease.id,
        lease_no: lease.lease_no,
        document: RESULT,
        duration_s: None,
    };
    let mut results: Vec<_> = f.leases().into_iter().map(result).collect();
    let mut moved: Vec<Moved> =
        work::succeed(db, &mut results, 1.0).await?.into_iter().map(|done| done.moved).collect();
    let left: Vec<Lease<'_>> =
        f.leases().into_iter().filter(|lease| moved.iter().all(|job| job.id != lease.id)).collect();
    if !left.is_empty() {
        let mut tx = db.begin().await?;
        workers::touch(&mut tx, &[Touch { holder: f.busy.clone(), claim: None }], 30.0).await?;
        let held = work::hold_leases(&mut tx, &left).await?;
        let ending = |held| Ending {
            by_worker: true,
            document: Some(RESULT),
            outcome: None,
            ..Ending::plain(held, JobState::Succeeded, None)
        };
        let endings: Vec<Ending<'_>> = held.iter().map(|(_, held)| ending(held)).collect();
        if let Some((_, first)) = held.first() {
            moved.extend(work::end(&mut tx, &endings, first.at, None).await?);
        }
        tx.commit().await?;
    }
    judged(db, f, moved, "succeeded").await
}

/// One job is to be tried again, the other never.
async fn fail(db: &mut PgConnection, f: &Facts) -> Done {
    let mut tx = db.begin().await?;
    workers::touch(&mut tx, &[Touch { holder: f.busy.clone(), claim: None }], 30.0).await?;
    let held = work::hold_leases(&mut tx, &f.leases()).await?;
    let ruled = held.iter().map(|(place, held)| transition::Ruled {
        held,
        ruling: match place {
            0 => held.facts.after_failure(held.at, Some(0.0), 0.0),
            _ => darkroom::domain::ruling::Ruling::Fails {
                reason: darkroom::domain::ruling::Reason::Rejected,
                attempts: held.facts.attempt,
                deaths: held.facts.deaths,
            },
        },
        outcome: if *place == 0 { "retry" } else { "rejected" },
        code: "requeued",
        by_worker: true,
        duration_s: None,
        failure: darkroom::domain::ruling::Failure::default(),
    });
    let moved = transition::carry_out(&mut tx, ruled.collect()).await?;
    tx.commit().await?;
    judged(db, f, moved, "retry").await
}

/// What the worker is told of its words: those that just moved something, and, by a second statement, the others.
async fn judged(db: &mut PgConnection, f: &Facts, moved: Vec<Moved>, said: &'static str) -> Done {
    let mut report = told(&moved);
    let (accepted, left): (Vec<_>, Vec<_>) =
        f.leases().into_iter().partition(|lease| moved.iter().any(|job| job.id == lease.id));
    report.accepted.extend(accepted.iter().map(|lease| (lease.id, lease.lease_no)));
    if !left.is_empty() {
        let fence = |lease: &Lease<'_>| Fence { holder: f.busy.clone(), id: lease.id, lease_no: lease.lease_no, said };
        let fences: Vec<Fence> = left.iter().map(fence).collect();
        let settled = work::settled(db, &fences.iter().collect::<Vec<_>>()).await?;
        let refused = fences.iter().zip(settled).filter(|(_, state)| state.is_none());
        report.refused.extend(refused.map(|(fence, _)| (fence.id, fence.lease_no)));
    }
    Ok(report)
}

async fn beat_without(db: &mut PgConnection, f: &Facts) -> Done {
    let beat = Beat { holder: f.busy.clone(), draining: false, holds: serde_json::json!([]), trouble: None };
    let beaten = workers::beat(db, &[beat], 30.0).await?.remove(0);
    if beaten.is_none_or(|beaten| beaten.held.is_empty()) {
        return Ok(Report::default());
    }
    let mut tx = db.begin().await?;
    let moved = transition::release_unlisted(&mut tx, f.busy.session, &[], 0.0).await?;
    tx.commit().await?;
    Ok(told(&moved))
}

async fn leave(db: &mut PgConnection, f: &Facts) -> Done {
    let mut tx = db.begin().await?;
    let mut moved = Vec::new();
    if let Some(held) = workers::leave(&mut tx, f.busy.session, &f.busy.key).await? {
        let lease = |(id, lease_no): &(Uuid, i32)| Lease { holder: &f.busy, id: *id, lease_no: *lease_no };
        moved = transition::release(&mut tx, &held.iter().map(lease).collect::<Vec<_>>()).await?;
    }
    tx.commit().await?;
    Ok(told(&moved))
}

async fn rescue(db: &mut PgConnection) -> Done {
    let mut tx = db.begin().await?;
    let mut moved = Vec::new();
    if ticks::try_tick(&mut tx, "rescue").await? {
        let stamp = ticks::stamp_tick(&mut tx, "rescue").await?;
        workers::give_up(&mut tx, stamp.at, MOST).await?;
        let locked = work::lock_orphans(&mut tx, MOST).await?;
        moved = transition::rescue(&mut tx, &locked, 0.0).await?;
    }
    tx.commit().await?;
    Ok(told(&moved))
}

async fn withdraw(db: &mut PgConnection, submission: Uuid, account: Uuid) -> Done {
    let mut tx = db.begin().await?;
    let asked = submissions::next_requests(&mut tx, submission, SubmissionPlace::after(i64::MIN), MOST).await?;
    let live = submissions::lock_jobs(&mut tx, &asked.map(|next| next.jobs).unwrap_or_default()).await?;
    let unwanted = submissions::withdraw(&mut tx, &live, Withdrawn::Submission(submission), account).await?;
    let moved = transition::cancel(&mut tx, &unwanted, Some(account)).await?;
    tx.commit().await?;
    Ok(told(&moved))
}

async fn remove(db: &mut PgConnection, case: UseCase) -> Done {
    let mut tx = db.begin().await?;
    if ticks::try_tick(&mut tx, "retention").await? {
        match case {
            UseCase::RemoveImages => {
                let locked = retention::lock_images(&mut tx, KEEP, 0, MOST).await?;
                retention::remove_images(&mut tx, KEEP, &locked).await?;
            }
            UseCase::RemoveResults => drop(retention::remove_results(&mut tx, KEEP, MOST).await?),
            UseCase::RemoveSubmissions => {
                let locked = retention::lock_submissions(&mut tx, KEEP, MOST).await?;
                retention::remove_submissions(&mut tx, &locked, MOST).await?;
            }
            _ => drop(retention::remove(&mut tx, retention::Kind::Jobs, KEEP, MOST).await?),
        }
    }
    tx.commit().await?;
    Ok(Report::default())
}

/// All results anew: which of them are over cannot be asked here, where other tests' transactions come and go.
async fn write_down(db: &mut PgConnection) -> Done {
    let mut tx = db.begin().await?;
    if !ticks::try_tick(&mut tx, "items").await? {
        return Ok(Report::default());
    }
    let all = Next { from: "0".to_owned(), until: i64::MAX };
    let results = match items::unsaid(&mut tx, &all, MOST, i64::MAX).await.map_err(service::Error::from) {
        Err(error) if error.is_locked() => return Ok(Report::default()),
        results => results?,
    };
    let said: Vec<SaidResult> =
        results.into_iter().map(|result| SaidResult { rows: said(&result.document), of: result.of }).collect();
    items::replace(&mut tx, &said).await?;
    tx.commit().await?;
    Ok(Report::default())
}

/// The holder of a session.
pub fn holder(session: Uuid, key: &str) -> Holder {
    Holder { session, key: key.to_owned() }
}
