//! Submissions: names and params first, then each file alone, then bytes, then one transaction, then the word.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use super::auth::User;
use super::{Ctx, Error, Result, announce};
use crate::blob::Staged;
use crate::domain::fault::{Code, Fault, FieldFault};
use crate::domain::image::ContentMd5;
use crate::domain::inspect::{Ending, Refusal, Structure};
use crate::domain::job::JobState;
use crate::domain::name::{Name, nearest, shorten};
use crate::domain::params::Params;
use crate::metrics;
use crate::store::images::{self, NewImage, StoredImage};
use crate::store::jobs::{self, Terms, Wanted};
use crate::store::models::{self, Model};
use crate::store::moves::Moved;
use crate::store::{audit, submissions};

/// How long a queued job may wait when the request does not say, in seconds.
const FINISH_WITHIN_DEFAULT_S: f64 = 30.0 * 24.0 * 3600.0;
/// How many blobs one request makes durable at once.
const KEEP_AT_ONCE: usize = 4;
/// How many names are looked through for a suggestion.
const SUGGEST_FROM: i64 = 1000;

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

/// Names, params and terms, verified.
struct Plan {
    models: Vec<(String, Params)>,
    loads: BTreeMap<String, Load>,
    terms: Terms,
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
    let mut records = Vec::new();
    for (index, image) in taken {
        let record = images::find(db, image.md5, user.scope()).await?.ok_or_else(|| Fault::not_found("image"))?;
        let taken = Taken {
            index: *index,
            name: record.name,
            md5: record.md5,
            sha256: record.sha256,
            bytes: u64::try_from(record.bytes).unwrap_or_default(),
            new: false,
            warnings: record.warnings,
            jobs: Vec::new(),
        };
        records.push((image.id, taken));
    }
    Ok(records)
}

/// Verifies everything that concerns the whole request; a fault here leaves nothing behind.
async fn plan(ctx: &Ctx, ask: &Ask, images: usize) -> Result<Plan> {
    if ask.models.is_empty() {
        return Err(Fault::new(Code::NoModel, "No model was named.").at(ask.place.as_str(), "/models").into());
    }
    if images > ctx.limits.images_max || images * ask.models.len() > ctx.limits.jobs_max {
        let (most, jobs) = (ctx.limits.images_max, ctx.limits.jobs_max);
        let detail =
            format!("{images} images × {} models; the limits are {most} images and {jobs} pairs.", ask.models.len());
        return Err(Fault::new(Code::TooManyImages, detail).at(ask.place.as_str(), "/images").into());
    }
    for (index, name) in ask.models.iter().enumerate() {
        Name::parse(name)
            .map_err(|why| Fault::new(Code::UnknownModel, why).at(ask.place.as_str(), format!("/models/{index}")))?;
    }
    let (known, names) = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            let known: Vec<Model> =
                models::find(&mut db, &ask.models).await?.into_iter().filter(|m| m.retired_at.is_none()).collect();
            let names =
                if known.len() < ask.models.len() { models::names(&mut db, SUGGEST_FROM).await? } else { Vec::new() };
            Ok::<_, Error>((known, names))
        })
        .await?;
    if let Some((index, name)) = ask.models.iter().enumerate().find(|(_, name)| !known.iter().any(|m| m.name == **name))
    {
        return Err(unknown_model(ask, index, name, &names).into());
    }
    if let Some(dead) = known.iter().find(|m| ask.require_live && m.workers == 0) {
        let detail = format!("{:?} has no live worker.", dead.name);
        return Err(Fault::new(Code::NoLiveWorker, detail).at(ask.place.as_str(), "/require_live").into());
    }
    let loads = known.iter().map(|m| (m.name.clone(), Load { workers: m.workers, queued: m.queued })).collect();
    let mut sorted = ask.models.clone();
    sorted.sort();
    let models = sorted
        .into_iter()
        .map(|name| Ok((params_of(ask, &name)?, name)).map(|(p, n)| (n, p)))
        .collect::<Result<_>>()?;
    if let Some(stray) = ask.params.keys().find(|name| !ask.models.contains(name)) {
        let detail = format!("params are given for {:?}, which is not among the models.", shorten(stray));
        return Err(Fault::invalid(ask.place.as_str(), format!("/params/{stray}"), detail).into());
    }
    let terms = Terms {
        priority: ask.priority,
        run_at: ask.run_at,
        finish_within_s: ask.finish_within_s.unwrap_or(FINISH_WITHIN_DEFAULT_S),
        retry_of: None,
    };
    Ok(Plan { models, loads, terms })
}

fn unknown_model(ask: &Ask, index: usize, name: &str, known: &[String]) -> Fault {
    let fault = Fault::new(Code::UnknownModel, format!("No model is named {name:?}."));
    let fault = match nearest(name, known.iter().map(String::as_str)) {
        Some(near) => fault.mend(format!("Did you mean {near:?}? GET /models lists them.")),
        None => fault,
    };
    fault.at(ask.place.as_str(), format!("/models/{index}"))
}

fn params_of(ask: &Ask, model: &str) -> Result<Params> {
    let Some(body) = ask.params.get(model) else { return Ok(Params::default()) };
    Params::new(body.clone()).map_err(|why| Fault::invalid(ask.place.as_str(), format!("/params/{model}"), why).into())
}

/// A file that is an image within the bounds.
struct Good {
    index: usize,
    name: String,
    staged: Staged,
    structure: Structure,
}

async fn judge(ctx: &Ctx, files: Vec<File>) -> Result<(Vec<Good>, Vec<Rejected>)> {
    let (mut good, mut rejected) = (Vec::new(), Vec::new());
    for (index, File { name, staged }) in files.into_iter().enumerate() {
        let staged = match staged {
            Ok(staged) => staged,
            Err(fault) => {
                rejected.push(Rejected { index, name, fault });
                continue;
            }
        };
        match staged.inspect(ctx.limits.bounds).await? {
            Ok(structure) => good.push(Good { index, name, staged, structure }),
            Err(refusal) => {
                let fault = refused(ctx, refusal).at("file", format!("/images/{index}"));
                rejected.push(Rejected { index, name, fault });
            }
        }
    }
    Ok((good, rejected))
}

fn refused(ctx: &Ctx, refusal: Refusal) -> Fault {
    let bounds = ctx.limits.bounds;
    match refusal {
        Refusal::Empty => Fault::new(Code::EmptyFile, "The file has no bytes."),
        Refusal::NotAnImage => Fault::new(Code::NotAnImage, "The file has the signature of no image format."),
        Refusal::Malformed(why) => Fault::new(Code::MalformedImage, format!("The file's structure is broken: {why}.")),
        Refusal::TooManyPixels { width, height } => {
            let detail =
                format!("The image declares {width} × {height} pixels; the limit is {} in all.", bounds.max_pixels);
            Fault::new(Code::ImageTooBig, detail)
        }
        Refusal::SideTooLong { width, height } => {
            let detail =
                format!("The image declares {width} × {height} pixels; the limit is {} a side.", bounds.max_side);
            Fault::new(Code::ImageTooBig, detail)
        }
        Refusal::TooManyFrames(frames) => {
            let detail = format!("The image has {frames} frames or more; the limit is {}.", bounds.max_frames);
            Fault::new(Code::ImageTooBig, detail)
        }
    }
}

/// Two files of one request with one MD5 but different bytes: the second is refused.
fn refuse_same_md5(good: &mut Vec<Good>, rejected: &mut Vec<Rejected>) {
    let mut first: HashMap<ContentMd5, [u8; 32]> = HashMap::new();
    let collide = good.extract_if(.., |f| *first.entry(f.staged.md5).or_insert(f.staged.sha256) != f.staged.sha256);
    rejected.extend(collide.map(|f| Rejected { index: f.index, name: f.name, fault: collision(f.staged.md5) }));
}

fn collision(md5: ContentMd5) -> Fault {
    Fault::new(Code::Md5Collision, format!("Other bytes are known under {md5}."))
}

fn nothing_or_strict(ask: &Ask, good: usize, rejected: &[Rejected]) -> Result<()> {
    if good > 0 && (rejected.is_empty() || !ask.strict) {
        return Ok(());
    }
    let detail = format!("{} of {} images were rejected.", rejected.len(), good + rejected.len());
    let mut fault = Fault::new(Code::NothingAccepted, detail);
    fault.errors = rejected
        .iter()
        .map(|r| FieldFault {
            place: "file",
            pointer: format!("/images/{}", r.index),
            code: r.fault.code,
            detail: r.fault.detail.clone(),
        })
        .collect();
    if let [only] = rejected {
        fault.mend.clone_from(&only.fault.mend);
    }
    Err(fault.into())
}

type Blobs = HashMap<ContentMd5, ([u8; 32], Uuid)>;

/// Makes the bytes durable, each distinct image once, at a path of its own.
async fn keep(ctx: &Ctx, good: &[Good]) -> Result<Blobs> {
    use futures_util::StreamExt;
    let mut seen = HashSet::new();
    let distinct = good.iter().filter(|f| seen.insert(f.staged.md5));
    let keeping: Vec<_> = distinct.map(|f| keep_one(ctx, f)).collect();
    let kept: Vec<_> = futures_util::stream::iter(keeping).buffer_unordered(KEEP_AT_ONCE).collect().await;
    let mut blobs = Blobs::new();
    let mut failed = None;
    for (md5, blob, error) in kept {
        blobs.insert(md5, blob);
        failed = failed.or(error);
    }
    match failed {
        None => Ok(blobs),
        Some(error) => {
            drop_blobs(ctx, &blobs.into_values().collect::<Vec<_>>()).await;
            Err(error)
        }
    }
}

async fn keep_one(ctx: &Ctx, f: &Good) -> (ContentMd5, ([u8; 32], Uuid), Option<Error>) {
    let blob = Uuid::new_v4();
    let error = ctx.blobs.keep(&f.staged, blob).await.err().map(Error::from);
    (f.staged.md5, (f.staged.sha256, blob), error)
}

async fn drop_blobs(ctx: &Ctx, blobs: &[([u8; 32], Uuid)]) {
    for (sha256, blob) in blobs {
        if let Err(error) = ctx.blobs.remove(sha256, *blob).await {
            tracing::warn!(%error, %blob, "a blob that no row names is left to the collector");
        }
    }
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

fn rows(good: &[Good], blobs: &Blobs) -> Vec<NewImage> {
    let mut rows: BTreeMap<ContentMd5, NewImage> = BTreeMap::new();
    for f in good {
        let Some((sha256, blob)) = blobs.get(&f.staged.md5) else { continue };
        let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
        rows.entry(f.staged.md5).or_insert_with(|| NewImage {
            md5: f.staged.md5,
            sha256: *sha256,
            bytes: i64::try_from(f.staged.bytes).unwrap_or(i64::MAX),
            media_type: f.structure.format.media_type(),
            width: side(f.structure.width),
            height: side(f.structure.height),
            frames: side(f.structure.frames),
            warnings: warnings(&f.structure),
            blob: *blob,
        });
    }
    rows.into_values().collect()
}

fn warnings(structure: &Structure) -> Vec<String> {
    match structure.ending {
        Ending::Exact => Vec::new(),
        Ending::Truncated => vec!["truncated: the file ends before its structure does".to_owned()],
        Ending::TrailingBytes(count) => vec![format!("trailing_bytes: {count} bytes follow the end of the image")],
    }
}

type JobsByImage = HashMap<i64, Vec<TakenJob>>;

/// Answers every image × model: with the submission's own earlier job, a cached success, or a live job.
async fn answer_jobs(
    db: &mut sqlx::PgConnection,
    user: &User,
    ask: &Ask,
    plan: &Plan,
    submission: Uuid,
    images: &[i64],
) -> Result<(JobsByImage, Vec<Moved>)> {
    let mut params: Vec<(Vec<u8>, Value)> =
        plan.models.iter().map(|(_, p)| (p.hash.to_vec(), p.body.clone())).collect();
    params.sort_by(|a, b| a.0.cmp(&b.0));
    params.dedup_by(|a, b| a.0 == b.0);
    models::keep_params(db, &params).await?;
    let mut wanted: Vec<Wanted> = images
        .iter()
        .flat_map(|image_id| {
            plan.models.iter().map(|(model, params)| Wanted {
                image_id: *image_id,
                model: model.clone(),
                params_hash: params.hash.to_vec(),
            })
        })
        .collect();
    wanted.sort();
    wanted.dedup();
    let mut answers: HashMap<Wanted, (Uuid, JobState, &'static str)> = HashMap::new();
    for before in submissions::answered_before(db, submission, &wanted).await? {
        let outcome = if before.state.ended() { "finished" } else { "attached" };
        answers.insert(before.wanted, (before.job_id, before.state, outcome));
    }
    wanted.retain(|w| !answers.contains_key(w));
    if !ask.rerun {
        for cached in submissions::cached(db, &wanted).await? {
            answers.insert(cached.wanted, (cached.job_id, cached.state, "finished"));
        }
    }
    let live: Vec<Wanted> = wanted.iter().filter(|w| !answers.contains_key(w)).cloned().collect();
    let made = jobs::enqueue(db, &live, &plan.terms, Some(submission), Some(user.account.id)).await?;
    let mut moved = Vec::new();
    for job in made {
        let key = Wanted { image_id: job.moved.image_id, model: job.moved.model.clone(), params_hash: job.params_hash };
        let outcome = if job.created { "created" } else { "attached" };
        answers.insert(key, (job.moved.status.id, job.moved.status.state, outcome));
        moved.push(job.moved);
    }
    let requests: Vec<(Wanted, Uuid)> = wanted.into_iter().filter_map(|w| answers.get(&w).map(|a| (w, a.0))).collect();
    submissions::add_requests(db, submission, user.account.id, &requests).await?;
    let mut by_image = JobsByImage::new();
    for (wanted, (id, state, outcome)) in answers {
        by_image.entry(wanted.image_id).or_default().push(TakenJob { id, model: wanted.model, state, outcome });
    }
    by_image.values_mut().for_each(|jobs| jobs.sort_by(|a, b| a.model.cmp(&b.model)));
    Ok((by_image, moved))
}
