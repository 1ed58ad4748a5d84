//! Jobs for people: who may see what, cancel, retry, redrive.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::accounts::User;
use super::submit::{attached, new_job};
use super::training::{self, EndedRun};
use super::transition;
use super::{Ctx, Error, Result, announce};
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;
use crate::store::images;
use crate::store::jobs::{self, Filter, JobRecord};
use crate::store::submissions::{self, Request};
use crate::store::submit::{self, MadeOrFound, Terms, Wanted, Wish};
use crate::store::work::Moved;

/// The most jobs that one redrive makes.
pub const REDRIVE_MAX: i64 = 1000;

/// How many of them one transaction makes.
const REDRIVE_AT_ONCE: usize = 250;

/// How long a job that is tried again may wait, in seconds.
const FINISH_WITHIN_S: f64 = 30.0 * 24.0 * 3600.0;

/// How often the making of jobs is tried again after a submission crossed it.
const CROSSED_MAX: usize = 3;

/// How much of a job a user may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Asked for it, or an administrator.
    Whole,
    /// Owns its model: tries and tracebacks, but not which image.
    Work,
}

/// A job for those who may see it.
pub async fn find(ctx: &Ctx, user: &User, id: Uuid) -> Result<(JobRecord, Sight)> {
    ctx.db
        .run(async |db| {
            let job = jobs::find(db, id, Some(user.account.id)).await?;
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
    if user.is_admin() || job.requested {
        Some(Sight::Whole)
    } else if user.has(Role::Researcher) && job.model_owner == Some(user.account.id) {
        Some(Sight::Work)
    } else {
        None
    }
}

/// Cancels a job: an administrator ends it; anybody else withdraws, and it ends when nobody waits any more.
pub async fn cancel(ctx: &Ctx, user: &User, id: Uuid) -> Result<JobState> {
    let job = find_whole(ctx, user, id).await?;
    if job.status.state.ended() {
        return Ok(job.status.state);
    }
    let moved = ctx
        .db
        .write(async |tx| {
            if !submissions::lock_job(tx, id).await? {
                return Ok(Vec::new());
            }
            // A run has one who asked for it.
            let unwanted = if user.is_admin() || job.image_id.is_none() {
                vec![id]
            } else {
                submissions::withdraw(tx, &[id], user.account.id, None).await?
            };
            let moved = transition::cancel(tx, &unwanted, Some(user.account.id)).await?;
            Ok::<_, Error>(moved)
        })
        .await?;
    announce::cancelled(ctx, &moved).await;
    Ok(find(ctx, user, id).await?.0.status.state)
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
    let made = try_again(ctx, user, &[job]).await?.into_iter().flatten().collect::<Vec<_>>();
    announce::moved(ctx, &made).await;
    // Its image was removed meanwhile, and it with that.
    let made = made.first().ok_or_else(|| Error::from(Fault::not_found("job")))?;
    Ok(made.id)
}

/// Makes new jobs for ended ones of different keys, in one transaction, in their order; nothing where the image is gone.
async fn try_again(ctx: &Ctx, user: &User, jobs: &[JobRecord]) -> Result<Vec<Option<Moved>>> {
    let (keys, md5s): (BTreeMap<Wanted, &JobRecord>, Vec<ContentMd5>) =
        jobs.iter().filter_map(|job| job.wanted().map(|(wanted, md5)| ((wanted, job), md5))).unzip();
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

async fn make_again(
    tx: &mut PgConnection,
    account: Uuid,
    keys: &BTreeMap<Wanted, &JobRecord>,
    careful: bool,
) -> Result<HashMap<Wanted, Moved>> {
    let opened = submissions::open(tx, &[(None, account)]).await?;
    let (submission, _) = opened.first().copied().ok_or(sqlx::Error::RowNotFound)?;
    let wish = |(wanted, job): (&Wanted, &&JobRecord)| Wish {
        wanted: *wanted,
        terms: Terms { priority: job.priority, run_at: None, finish_within_s: FINISH_WITHIN_S },
        submission,
        account,
        retry_of: Some(job.status.id),
        takes_result: false,
    };
    let images: Vec<i64> = keys.keys().map(|wanted| wanted.image_id).collect();
    let kept: HashSet<i64> = images::lock_kept(tx, &images).await?.into_iter().collect();
    let mut wishes: Vec<Wish> = keys.iter().filter(|(wanted, _)| kept.contains(&wanted.image_id)).map(wish).collect();
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
        let wanted = wishes[live.place.0].wanted;
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

/// The failed or cancelled jobs that a redrive by this filter would try again, newest first, and with `act`
/// the new jobs made for them, nothing where the image is gone. Those that were tried again since are left alone, so that a
/// redrive of more than [`REDRIVE_MAX`] is done by repeating it.
pub async fn redrive(
    ctx: &Ctx,
    user: &User,
    filter: &Filter,
    act: bool,
) -> Result<(Vec<JobRecord>, Vec<Option<Uuid>>)> {
    let mut filter = Filter { last_word: true, ..filter.clone() };
    let mut found: Vec<JobRecord> = Vec::new();
    loop {
        let most = REDRIVE_MAX - found.len() as i64;
        let page = ctx.db.run(async |db| jobs::list(db, user.scope(), &filter, most).await).await?;
        found.extend(page.jobs);
        filter.after = page.next;
        if filter.after.is_none() || found.len() as i64 == REDRIVE_MAX {
            break;
        }
    }
    let mut made = Vec::new();
    if act {
        for jobs in found.chunks(REDRIVE_AT_ONCE) {
            let moved = try_again(ctx, user, jobs).await?;
            made.extend(moved.iter().map(|job| Some(job.as_ref()?.id)));
            announce::moved(ctx, &moved.into_iter().flatten().collect::<Vec<_>>()).await;
        }
    }
    Ok((found, made))
}
