//! Jobs for people: who may see what, cancel, retry, redrive.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::{User, check_role};
use super::cases::refusal;
use super::submit::{attached, new_job};
use super::training::{self, EndedRun};
use super::transition;
use super::{Ctx, Error, Result, announce};
use crate::domain::account::Role;
use crate::domain::case::CaseRole;
use crate::domain::fault::{Code, Fault};
use crate::domain::job::JobState;
use crate::store::jobs::{self, Asker, Filter, JobPlace, JobRecord};
use crate::store::submissions::{self, Opening, Request, Withdrawn};
use crate::store::submit::{self, MadeOrFound, Terms, Wanted, Wish};
use crate::store::work::Moved;
use crate::store::{cases, images};

/// The most jobs that one redrive makes.
pub const REDRIVE_MAX: i64 = 1000;

/// How many pages of candidates one redrive looks at, each of a bounded number: among a million of which few failed it goes on in steps of
/// some tenths of a second.
const REDRIVE_PAGES: usize = 3;

/// How many of them one transaction makes.
const REDRIVE_AT_ONCE: usize = 250;

/// How long a job that is tried again may wait, in seconds.
const FINISH_WITHIN_S: f64 = 30.0 * 24.0 * 3600.0;

/// How often the making of jobs is tried again after a submission crossed it.
const CROSSED_MAX: usize = 3;

/// How much of a job a user may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// A member of a case in which it was asked for, or an administrator.
    Whole,
    /// Owns its model: tries and tracebacks, but not which image.
    Work,
}

/// Who the user is to those who look for jobs.
pub fn asker(user: &User) -> Asker {
    Asker { account: user.account.id, cases: user.scope() }
}

/// A job for those who may see it.
pub async fn find(ctx: &Ctx, user: &User, id: Uuid) -> Result<(JobRecord, Sight)> {
    ctx.db
        .run(async |db| {
            let job = jobs::find(db, id, &asker(user)).await?;
            job.and_then(|job| Some((sight(user, &job)?, job)))
                .map(|(sight, job)| (job, sight))
                .ok_or_else(|| Fault::not_found("job").into())
        })
        .await
}

/// A job for those who may see all of it, and so act on it.
async fn find_whole(ctx: &Ctx, user: &User, id: Uuid) -> Result<JobRecord> {
    match find(ctx, user, id).await? {
        (job, Sight::Whole) => Ok(job),
        (_, Sight::Work) => Err(Fault::not_found("job").into()),
    }
}

/// How much of this job the user may see, if anything.
pub fn sight(user: &User, job: &JobRecord) -> Option<Sight> {
    if user.is_admin() || job.requested() {
        Some(Sight::Whole)
    } else if user.has(Role::Researcher) && job.model_owner == Some(user.account.id) {
        Some(Sight::Work)
    } else {
        None
    }
}

/// Cancels a job: an administrator ends it; anybody else withdraws the requests of the cases whose editor they are, and it ends when
/// nobody waits any more.
pub async fn cancel(ctx: &Ctx, user: &User, id: Uuid) -> Result<JobState> {
    let job = find_whole(ctx, user, id).await?;
    if job.status.state.ended() {
        return Ok(job.status.state);
    }
    // A run has one who asked for it.
    let by_force = user.is_admin() || job.image_id.is_none();
    let moved = ctx
        .db
        .write(async |tx| {
            let edited =
                if by_force { Vec::new() } else { edited(tx, user, &[id]).await?.remove(&id).unwrap_or_default() };
            let open = cases::lock_open(tx, &edited).await?;
            if let (false, [], Some(case)) = (by_force, &*open, edited.first()) {
                return Err(refusal(tx, *case).await?.into());
            }
            if !submissions::lock_job(tx, id).await? {
                return Ok(Vec::new());
            }
            let unwanted = if by_force {
                vec![id]
            } else {
                submissions::withdraw(tx, &[id], Withdrawn::Cases(&open), user.account.id).await?
            };
            let moved = transition::cancel(tx, &unwanted, Some(user.account.id)).await?;
            Ok::<_, Error>(moved)
        })
        .await?;
    announce::cancelled(ctx, &moved).await;
    Ok(find(ctx, user, id).await?.0.status.state)
}

/// Of jobs that the user sees, the cases in which each was asked for and whose editor the user is; where an administrator is none, their
/// own.
async fn edited(db: &mut PgConnection, user: &User, jobs: &[Uuid]) -> Result<HashMap<Uuid, Vec<Uuid>>> {
    let edits = user.cases.iter().filter(|membership| membership.role >= CaseRole::Editor);
    let edits: Vec<Uuid> = edits.map(|membership| membership.case).collect();
    let mut edited: HashMap<Uuid, Vec<Uuid>> = jobs.iter().map(|job| (*job, Vec::new())).collect();
    for (job, case) in jobs::asked_in(db, jobs, &edits).await? {
        edited.entry(job).or_default().push(case);
    }
    for cases in edited.values_mut().filter(|cases| cases.is_empty()) {
        if !user.is_admin() {
            check_role(Some(CaseRole::Viewer), CaseRole::Editor)?;
        }
        cases.push(user.own_case);
    }
    Ok(edited)
}

/// Makes a new job for an ended one, or attaches to the live one of the same key; answers its id. A run goes on from the ended one's last
/// checkpoint, unless it is to be `fresh`.
pub async fn retry(ctx: &Ctx, user: &User, id: Uuid, fresh: bool) -> Result<Uuid> {
    let job = find_whole(ctx, user, id).await?;
    if !job.status.state.ended() {
        let detail = format!("The job is {}.", job.status.state.as_str());
        return Err(Fault::new(Code::NotEnded, detail).into());
    }
    if job.image_id.is_none() {
        let (queue_id, params_id, priority) = (job.queue_id, job.params_id, job.priority);
        return training::again(ctx, user, &EndedRun { id, queue_id, params_id, priority }, fresh).await;
    }
    let edited = ctx.db.run(async |db| edited(db, user, &[id]).await).await?;
    let made = try_again(ctx, user, &[job], &edited).await?.into_iter().flatten().collect::<Vec<_>>();
    announce::moved(ctx, &made).await;
    if let Some(made) = made.first() {
        return Ok(made.id);
    }
    // Its image was removed meanwhile, and it with that, or no case that asked for it is open.
    let edited = edited.get(&id).map_or(&[][..], Vec::as_slice);
    let why = async |db: &mut PgConnection| match edited.first() {
        Some(case) if cases::lock_open(db, edited).await?.is_empty() => refusal(db, *case).await,
        _ => Ok(Fault::not_found("job")),
    };
    Err(ctx.db.run(why).await?.into())
}

/// An ended job that is to be tried again.
struct EndedJob<'j> {
    job: &'j JobRecord,
    /// Where it may be asked for.
    edited: &'j [Uuid],
}

/// Makes new jobs for ended ones of different keys, in one transaction, in their order; nothing where the image is gone, or no case is
/// open.
async fn try_again(
    ctx: &Ctx,
    user: &User,
    jobs: &[JobRecord],
    edited: &HashMap<Uuid, Vec<Uuid>>,
) -> Result<Vec<Option<Moved>>> {
    let (mut keys, mut md5s) = (BTreeMap::new(), Vec::new());
    for job in jobs {
        if let Some((wanted, md5)) = job.wanted() {
            keys.insert(wanted, EndedJob { job, edited: edited.get(&job.status.id).map_or(&[][..], Vec::as_slice) });
            md5s.push(md5);
        }
    }
    ctx.mirror.mark(&md5s).await?;
    let mut tries = 0;
    let mut made = loop {
        match ctx.db.write(async |tx| make_again(tx, user.account.id, &keys, tries > 0).await).await {
            Err(error) if error.is_crossed() && tries < CROSSED_MAX => tries += 1,
            made => break made?,
        }
    };
    Ok(jobs.iter().map(|job| made.remove(&job.wanted()?.0)).collect())
}

/// The wishes for which a case is open: each goes to the first of its cases that is, under one submission of each.
async fn wish_again(tx: &mut PgConnection, account: Uuid, keys: &BTreeMap<Wanted, EndedJob<'_>>) -> Result<Vec<Wish>> {
    let all: BTreeSet<Uuid> = keys.values().flat_map(|again| again.edited.iter().copied()).collect();
    let open: BTreeSet<Uuid> = cases::lock_open(tx, &all.into_iter().collect::<Vec<_>>()).await?.into_iter().collect();
    let case_of = |again: &EndedJob<'_>| again.edited.iter().copied().find(|case| open.contains(case));
    let used: BTreeSet<Uuid> = keys.values().filter_map(case_of).collect();
    let openings: Vec<Opening> = used.into_iter().map(|case| Opening { id: None, account, case }).collect();
    let opened = submissions::open(tx, &openings).await?.into_iter().flatten();
    let submissions: BTreeMap<Uuid, Uuid> = opened.map(|opened| (opened.case, opened.id)).collect();
    let wish = |(wanted, again): (&Wanted, &EndedJob<'_>)| {
        Some(Wish {
            wanted: *wanted,
            terms: Terms { priority: again.job.priority, run_at: None, finish_within_s: FINISH_WITHIN_S },
            submission: *submissions.get(&case_of(again)?)?,
            account,
            retry_of: Some(again.job.status.id),
            takes_result: false,
        })
    };
    Ok(keys.iter().filter_map(wish).collect())
}

async fn make_again(
    tx: &mut PgConnection,
    account: Uuid,
    keys: &BTreeMap<Wanted, EndedJob<'_>>,
    careful: bool,
) -> Result<HashMap<Wanted, Moved>> {
    let mut wishes = wish_again(tx, account, keys).await?;
    let images: Vec<i64> = wishes.iter().map(|wish| wish.wanted.image_id).collect();
    let kept: HashSet<i64> = images::lock_kept(tx, &images).await?.into_iter().collect();
    wishes.retain(|wish| kept.contains(&wish.wanted.image_id));
    let mut made = HashMap::new();
    if careful {
        for MadeOrFound { job, .. } in submit::insert_or_attach(tx, &wishes).await? {
            let wanted = wishes[job.place.0].wanted;
            made.insert(wanted, attached(&wanted, &job));
        }
        return Ok(made);
    }
    let mut requests = Vec::new();
    for live in submit::attach(tx, &wishes).await? {
        let Wish { wanted, submission, .. } = wishes[live.place.0];
        requests.push(Request { submission, wanted, job: live.id, ended: None });
        made.insert(wanted, attached(&wanted, &live));
    }
    submissions::add_requests(tx, &requests).await?;
    wishes.retain(|wish| !made.contains_key(&wish.wanted));
    if !wishes.is_empty() {
        for job in submit::insert(tx, &wishes).await? {
            let wanted = wishes[job.place.0].wanted;
            made.insert(wanted, new_job(&wanted, &job));
        }
    }
    Ok(made)
}

/// What a redrive found and made.
pub struct RedrivePage {
    /// The failed or cancelled jobs that it tries again.
    pub found: Vec<JobRecord>,
    /// If it acts, the new job for each; nothing where the image is gone or no case is open.
    pub made: Vec<Option<Uuid>>,
    /// Where the next one goes on; nothing when all were looked at.
    pub next: Option<JobPlace>,
}

/// Finds the failed or cancelled jobs of this filter, newest first, from its place on, and with `act` tries them again. Those that were
/// tried again since are left alone.
pub async fn redrive(ctx: &Ctx, user: &User, filter: Filter, act: bool) -> Result<RedrivePage> {
    let mut filter = Filter { last_word: true, ..filter };
    let mut found: Vec<JobRecord> = Vec::new();
    for _ in 0..REDRIVE_PAGES {
        let most = REDRIVE_MAX - found.len() as i64;
        let page = ctx.db.run(async |db| jobs::list(db, &asker(user), &filter, most).await).await?;
        found.extend(page.jobs);
        filter.after = page.next;
        if filter.after.is_none() || found.len() as i64 == REDRIVE_MAX {
            break;
        }
    }
    let mut made = Vec::new();
    if act {
        for jobs in found.chunks(REDRIVE_AT_ONCE) {
            let ids: Vec<Uuid> = jobs.iter().map(|job| job.status.id).collect();
            let edited = ctx.db.run(async |db| edited(db, user, &ids).await).await?;
            let moved = try_again(ctx, user, jobs, &edited).await?;
            made.extend(moved.iter().map(|job| Some(job.as_ref()?.id)));
            announce::moved(ctx, &moved.into_iter().flatten().collect::<Vec<_>>()).await;
        }
    }
    Ok(RedrivePage { found, made, next: filter.after })
}
