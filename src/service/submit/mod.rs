//! Submissions: names and params first, then each file alone, then bytes, then one transaction, then the word.

mod answer;
mod bytes;
mod judge;
mod plan;

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use self::answer::answer_jobs;
use self::bytes::{Blobs, drop_blobs, keep, rows};
use self::judge::{Good, collision, judge, nothing_or_strict, refuse_same_md5, warnings};
use self::plan::{Plan, plan};
use super::auth::User;
use super::{Ctx, Error, Result, announce};
use crate::blob::Staged;
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;
use crate::metrics;
use crate::store::images::{self, ImageRecord, StoredImage};
use crate::store::moves::Moved;
use crate::store::{audit, submissions};

/// What is asked for, the same for uploads and for stored images.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Where the request has them: `form` or `body`.
    pub place: Place,
    /// Names as sent, free of repeats.
    pub models: Vec<String>,
    /// Params by model.
    pub params: BTreeMap<String, Value>,
    pub priority: i16,
    pub rerun: bool,
    pub submission: Option<Uuid>,
    pub require_live: bool,
    pub strict: bool,
    pub run_at: Option<DateTime<Utc>>,
    pub finish_within_s: Option<f64>,
}

/// Which part of a request the asked-for lies in, for the faults that say where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Place {
    #[default]
    Form,
    Body,
}

impl Place {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Form => "form",
            Self::Body => "body",
        }
    }
}

/// A file of a request, staged or refused while it streamed.
pub struct File {
    pub name: String,
    pub staged: std::result::Result<Staged, Fault>,
}

/// What a submission is answered with.
#[derive(Debug)]
pub struct Answer {
    pub submission: Uuid,
    pub images: Vec<Taken>,
    pub rejected: Vec<Rejected>,
    pub models: BTreeMap<String, Load>,
}

/// An image that was taken.
#[derive(Debug)]
pub struct Taken {
    pub index: usize,
    pub name: Option<String>,
    pub md5: ContentMd5,
    pub sha256: Vec<u8>,
    pub bytes: u64,
    pub new: bool,
    pub warnings: Vec<String>,
    pub jobs: Vec<TakenJob>,
}

/// The job that answers one image and model.
#[derive(Debug, Clone)]
pub struct TakenJob {
    pub id: Uuid,
    pub model: String,
    pub state: JobState,
    /// `created`, `attached` or `finished`.
    pub outcome: &'static str,
}

/// An image that was not taken.
#[derive(Debug)]
pub struct Rejected {
    pub index: usize,
    pub name: String,
    pub fault: Fault,
}

/// What a model has to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    pub workers: i64,
    pub queued: i64,
}

/// Submits uploaded files.
pub async fn upload(ctx: &Ctx, user: &User, ask: &Ask, files: Vec<File>) -> Result<Answer> {
    if files.is_empty() {
        return Err(Fault::new(Code::NoImage, "No file was sent.").at("form", "/images").into());
    }
    let plan = plan(ctx, ask, files.len()).await?;
    let (mut good, mut rejected) = judge(ctx, files).await?;
    refuse_same_md5(&mut good, &mut rejected);
    nothing_or_strict(ask, good.len(), &rejected)?;
    let blobs = keep(ctx, &good).await?;
    let md5s: Vec<ContentMd5> = good.iter().map(|f| f.staged.md5).collect();
    ctx.index.mark_statuses(&md5s).await;
    let mut collided = Vec::new();
    let committed = ctx.db.within(commit_upload(ctx, user, ask, &plan, good, rejected, &blobs, &mut collided)).await;
    tell_collisions(ctx, user, &collided).await;
    let (answer, moved, losers) = match committed {
        Ok(done) => done,
        Err(error) => {
            // An unknown COMMIT may yet have named them: those are the collector's.
            if matches!(error, Error::Fault(_)) {
                drop_blobs(ctx, &blobs.into_values().collect::<Vec<_>>()).await;
            }
            return Err(error);
        }
    };
    drop_blobs(ctx, &losers).await;
    announce::moved(ctx, &moved).await;
    metrics::uploaded(answer.images.len(), answer.images.iter().map(|i| i.bytes).sum());
    Ok(answer)
}

/// Runs models on images that are stored and visible to the user.
pub async fn rerun(ctx: &Ctx, user: &User, ask: &Ask, hashes: &[ContentMd5]) -> Result<Answer> {
    if hashes.is_empty() {
        return Err(Fault::new(Code::NoImage, "No image was named.").at("body", "/images").into());
    }
    let plan = plan(ctx, ask, hashes.len()).await?;
    let mut sorted = hashes.to_vec();
    sorted.sort();
    sorted.dedup();
    ctx.index.mark_statuses(&sorted).await;
    let (answer, moved) = ctx
        .db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            let submission = open(&mut tx, ask, user).await?;
            let stored = images::lock_visible(&mut tx, &sorted, user.scope()).await?;
            let by_md5: HashMap<ContentMd5, &StoredImage> = stored.iter().map(|s| (s.md5, s)).collect();
            let mut rejected = Vec::new();
            let mut taken = Vec::new();
            for (index, md5) in hashes.iter().enumerate() {
                match by_md5.get(md5) {
                    Some(image) => taken.push((index, *image)),
                    None => rejected.push(Rejected { index, name: md5.to_string(), fault: Fault::not_found("image") }),
                }
            }
            nothing_or_strict(ask, taken.len(), &rejected)?;
            let ids: Vec<i64> = taken.iter().map(|(_, image)| image.id).collect();
            let (jobs, moved) = answer_jobs(&mut tx, user, ask, &plan, submission, &ids).await?;
            let records = images_of(&mut tx, &taken, user).await?;
            tx.commit().await?;
            let images =
                records.into_iter().map(|t| Taken { jobs: jobs.get(&t.0).cloned().unwrap_or_default(), ..t.1 });
            Ok::<_, Error>((
                Answer { submission, images: images.collect(), rejected, models: plan.loads.clone() },
                moved,
            ))
        })
        .await?;
    announce::moved(ctx, &moved).await;
    Ok(answer)
}

async fn images_of(
    db: &mut sqlx::PgConnection,
    taken: &[(usize, &StoredImage)],
    user: &User,
) -> Result<Vec<(i64, Taken)>> {
    let keys: Vec<ContentMd5> = taken.iter().map(|(_, image)| image.md5).collect();
    let found = images::find_many(db, &keys, user.scope()).await?;
    let by_id: HashMap<i64, &ImageRecord> = found.iter().map(|record| (record.id, record)).collect();
    let taken_as = |(index, image): &(usize, &StoredImage)| {
        let record = by_id.get(&image.id).ok_or_else(|| Fault::not_found("image"))?;
        let taken = Taken {
            index: *index,
            name: record.name.clone(),
            md5: record.md5,
            sha256: record.sha256.clone(),
            bytes: u64::try_from(record.bytes).unwrap_or_default(),
            new: false,
            warnings: record.warnings.clone(),
            jobs: Vec::new(),
        };
        Ok((image.id, taken))
    };
    taken.iter().map(taken_as).collect()
}

/// Audited apart from the request's transaction, which may have been refused because of them.
async fn tell_collisions(ctx: &Ctx, user: &User, images: &[i64]) {
    for image_id in images {
        let told = ctx.db.within(async {
            let mut db = ctx.db.pool().acquire().await?;
            audit::md5_collision(&mut db, user.account.id, *image_id).await
        });
        if let Err(error) = told.await {
            tracing::error!(%error, image_id, "an MD5 collision could not be written to the audit");
        }
    }
}

type Committed = (Answer, Vec<Moved>, Vec<([u8; 32], Uuid)>);

#[expect(clippy::too_many_arguments, reason = "the parts of one request, named one by one")]
async fn commit_upload(
    ctx: &Ctx,
    user: &User,
    ask: &Ask,
    plan: &Plan,
    good: Vec<Good>,
    mut rejected: Vec<Rejected>,
    blobs: &Blobs,
    told: &mut Vec<i64>,
) -> Result<Committed> {
    let mut tx = ctx.db.begin().await?;
    let submission = open(&mut tx, ask, user).await?;
    let stored: HashMap<ContentMd5, StoredImage> =
        images::put(&mut tx, &rows(&good, blobs)).await?.into_iter().map(|s| (s.md5, s)).collect();
    let (good, collided): (Vec<Good>, Vec<Good>) =
        good.into_iter().partition(|f| stored.get(&f.staged.md5).is_some_and(|s| s.sha256 == f.staged.sha256));
    for f in collided {
        told.extend(stored.get(&f.staged.md5).map(|image| image.id));
        rejected.push(Rejected { index: f.index, name: f.name, fault: collision(f.staged.md5) });
    }
    rejected.sort_by_key(|r| r.index);
    nothing_or_strict(ask, good.len(), &rejected)?;
    let id = |f: &Good| stored.get(&f.staged.md5).map_or(0, |s| s.id);
    let ids: Vec<i64> = good.iter().map(id).collect();
    let names: Vec<String> = good.iter().map(|f| f.name.clone()).collect();
    images::give_titles(&mut tx, user.account.id, &ids, &names).await?;
    let (jobs, moved) = answer_jobs(&mut tx, user, ask, plan, submission, &ids).await?;
    tx.commit().await?;
    let won = |md5: &ContentMd5| stored.get(md5).zip(blobs.get(md5)).is_some_and(|(s, b)| s.blob == b.1);
    let losers = blobs.iter().filter(|(md5, _)| !won(md5)).map(|(_, blob)| *blob).collect();
    let images = good
        .iter()
        .map(|f| Taken {
            index: f.index,
            name: Some(f.name.clone()),
            md5: f.staged.md5,
            sha256: f.staged.sha256.to_vec(),
            bytes: f.staged.bytes,
            new: won(&f.staged.md5),
            warnings: warnings(&f.structure),
            jobs: jobs.get(&id(f)).cloned().unwrap_or_default(),
        })
        .collect();
    Ok((Answer { submission, images, rejected, models: plan.loads.clone() }, moved, losers))
}

async fn open(db: &mut sqlx::PgConnection, ask: &Ask, user: &User) -> Result<Uuid> {
    let (submission, owner) = submissions::open(db, ask.submission, user.account.id).await?;
    if owner == user.account.id {
        return Ok(submission);
    }
    Err(Fault::new(Code::SubmissionConflict, format!("The submission {submission} belongs to another user.")).into())
}
