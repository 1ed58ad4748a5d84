//! Submit photographs, and ask what happened to them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::multipart::Multipart;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::AppState;
use super::auth::{AnyUser, InvestigatorUser};
use super::extract::{self, Json, Path, Query};
use super::problem::{Answer, Problem, Problems};
use super::upload::{self, check_terms, distinct, split_models};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobError, JobState, Overall};
use crate::service::ctx::Gate;
use crate::service::submit::{self, Ask};
use crate::service::{Ctx, Limits, lookup};

/// The most hashes of one status request.
const HASHES_MAX: usize = 1000;

pub fn router(limits: &Limits) -> OpenApiRouter<Arc<AppState>> {
    let body = usize::try_from(limits.upload_bytes_max).unwrap_or(usize::MAX);
    OpenApiRouter::new()
        .routes(routes!(submit_images))
        .layer(DefaultBodyLimit::max(body))
        .routes(routes!(get_prediction))
        .routes(routes!(list_statuses))
}

/// The upload form. What may be left out may also be sent empty.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; the form itself is read as a stream")]
struct UploadForm {
    /// The photographs: JPEG, PNG, GIF, BMP, TIFF, WebP, HEIC or AVIF.
    #[schema(value_type = Vec<String>, format = Binary)]
    images: Vec<Vec<u8>>,
    /// The models to run on each; repeated, or `a,b`.
    #[schema(example = json!(["face_detect", "image_stats"]))]
    models: Vec<String>,
    /// −100…100; higher is sooner.
    #[schema(required = false, default = 0, minimum = -100, maximum = 100)]
    priority: i16,
    /// Compute again even where a result is known.
    #[schema(required = false, default = false)]
    rerun: bool,
    /// An object keyed by model, as JSON.
    #[schema(required = false, default = "{}")]
    params: String,
    /// A UUID of yours: makes the request safe to repeat, and lets many requests be one submission.
    #[schema(required = false, example = "")]
    submission: String,
    /// Refuse unless every model has a live worker.
    #[schema(required = false, default = false)]
    require_live: bool,
    /// Refuse all if one file is bad.
    #[schema(required = false, default = false)]
    strict: bool,
    /// Not before this time, as `2026-11-22T09:00:00Z`.
    #[schema(required = false, example = "")]
    run_at: String,
    /// Give up this many seconds after `run_at`.
    #[schema(required = false, default = 2_592_000)]
    finish_within_s: f64,
}

/// The same for images that are stored already.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"images": ["9e107d9d372bb6826bd81d3542a419d6"], "models": ["face_detect"], "rerun": true}))]
struct SubmitHashes {
    /// MD5s of images that you uploaded.
    images: Vec<String>,
    models: Vec<String>,
    /// −100…100; higher is sooner.
    priority: Option<i16>,
    /// Compute again even where a result is known.
    rerun: Option<bool>,
    /// Keyed by model.
    params: Option<BTreeMap<String, Value>>,
    submission: Option<Uuid>,
    require_live: Option<bool>,
    strict: Option<bool>,
    run_at: Option<DateTime<Utc>>,
    /// Seconds after `run_at`.
    finish_within_s: Option<f64>,
}

/// What was taken and what was not.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "submission": "019aac9e-4e3b-7c11-9d5f-2b7f0a5f3a11",
    "images": [{"index": 0, "name": "a.jpg", "md5": "9e107d9d372bb6826bd81d3542a419d6", "sha256": "d7a8…", "bytes": 4194304, "new": true,
        "warnings": [], "jobs": [{"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "model": "face_detect", "state": "queued", "outcome": "created"}]}],
    "rejected": [], "models": {"face_detect": {"workers": 1, "queued": 12}}
}))]
struct Submitted {
    submission: Uuid,
    images: Vec<SubmittedImage>,
    rejected: Vec<RejectedImage>,
    models: BTreeMap<String, ModelLoad>,
}

/// An image that was taken.
#[derive(Serialize, ToSchema)]
struct SubmittedImage {
    /// Its place in the request.
    index: usize,
    name: Option<String>,
    md5: String,
    sha256: String,
    bytes: u64,
    /// Whether its bytes were not known before.
    new: bool,
    warnings: Vec<String>,
    jobs: Vec<SubmittedJob>,
}

/// The job that answers an image and model.
#[derive(Serialize, ToSchema)]
struct SubmittedJob {
    id: Uuid,
    model: String,
    state: JobState,
    /// `created`, `attached` to one that is under way, or `finished` (a result is known).
    outcome: &'static str,
}

/// An image that was not taken.
#[derive(Serialize, ToSchema)]
struct RejectedImage {
    index: usize,
    name: String,
    problem: Problem,
}

/// What a model has to do.
#[derive(Serialize, ToSchema)]
struct ModelLoad {
    /// Live workers; with none, jobs wait.
    workers: i64,
    /// Jobs in line before this request.
    queued: i64,
}

impl From<submit::Answer> for Submitted {
    fn from(answer: submit::Answer) -> Self {
        let image = |t: submit::Taken| SubmittedImage {
            index: t.index,
            name: t.name,
            md5: t.md5.to_string(),
            sha256: hex::encode(t.sha256),
            bytes: t.bytes,
            new: t.new,
            warnings: t.warnings,
            jobs: t
                .jobs
                .into_iter()
                .map(|j| SubmittedJob { id: j.id, model: j.model, state: j.state, outcome: j.outcome })
                .collect(),
        };
        let rejected = |r: submit::Rejected| RejectedImage { index: r.index, name: r.name, problem: r.fault.into() };
        let load = |(model, l): (String, submit::Load)| (model, ModelLoad { workers: l.workers, queued: l.queued });
        Self {
            submission: answer.submission,
            images: answer.images.into_iter().map(image).collect(),
            rejected: answer.rejected.into_iter().map(rejected).collect(),
            models: answer.models.into_iter().map(load).collect(),
        }
    }
}

/// Submits photographs to models
///
/// Every image gets its MD5 as its key and is stored; every image × model becomes a job. When this answers 202, bytes and jobs are on stable storage.
/// Faults of the whole request refuse it and leave nothing; then each file is judged alone, and a bad one goes to `rejected`.
/// With JSON in place of the form, models run on images that you uploaded before.
#[utoipa::path(post, path = "/predict", tag = "predict", security(("user" = []), ("token" = [])),
    request_body(content(
        (UploadForm = "multipart/form-data"),
        (SubmitHashes = "application/json"))),
    responses((status = 202, body = Submitted, headers(("Location" = String, description = "Where to follow the submission."))), Problems))]
async fn submit_images(
    State(state): State<Arc<AppState>>,
    InvestigatorUser(user): InvestigatorUser,
    mut request: Request,
) -> Answer<impl IntoResponse> {
    let ctx = &state.ctx;
    let answer = if extract::is_json(request.headers()) {
        // Names of images are short, whatever an upload may weigh.
        DefaultBodyLimit::max(super::BODY_BYTES_MAX).apply(&mut request);
        let Json(body) = Json::<SubmitHashes>::from_request(request, &()).await?;
        let (ask, hashes) = read_hashes(ctx, body)?;
        submit::rerun(ctx, &user, &ask, &hashes).await?
    } else {
        refuse_too_large(ctx, &request)?;
        let form = Multipart::from_request(request, &()).await.map_err(|_| {
            Fault::new(Code::UnsupportedMediaType, "The body is neither multipart/form-data with a boundary nor JSON.")
        })?;
        let (ask, files) = upload::read(ctx, form).await?;
        submit::upload(ctx, &user, &ask, files).await?
    };
    let location = format!("/submissions/{}", answer.submission);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(Submitted::from(answer))))
}

fn refuse_too_large(ctx: &Ctx, request: &Request) -> Result<(), Fault> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let most = ctx.limits.upload_bytes_max;
    match declared {
        Some(bytes) if bytes > most => {
            let detail = format!("The request has {bytes} bytes; the limit of one upload is {most}.");
            Err(Fault::new(Code::TooLarge, detail).mend("Send fewer images at once under one `submission`."))
        }
        _ => Ok(()),
    }
}

fn read_hashes(ctx: &Ctx, body: SubmitHashes) -> Result<(Ask, Vec<ContentMd5>), Problem> {
    if body.images.len() > ctx.limits.images_max {
        let detail = format!("{} images; the limit is {}.", body.images.len(), ctx.limits.images_max);
        return Err(Fault::new(Code::TooManyImages, detail).at("body", "/images").into());
    }
    let parse = |(index, text): (usize, &String)| extract::md5(text, "body", format!("/images/{index}"));
    let hashes = body.images.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let ask = Ask {
        place: submit::Place::Body,
        models: distinct(body.models.iter().flat_map(|m| split_models(m)).collect()),
        params: body.params.unwrap_or_default(),
        priority: body.priority.unwrap_or(0),
        rerun: body.rerun.unwrap_or(false),
        submission: body.submission,
        require_live: body.require_live.unwrap_or(false),
        strict: body.strict.unwrap_or(false),
        run_at: body.run_at,
        finish_within_s: body.finish_within_s,
    };
    check_terms(&ask, "body")?;
    Ok((ask, hashes))
}

/// How to ask for one image.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct LookupQuery {
    /// Wait up to this many seconds (at most 50) until it is done; the answer is 200 either way.
    wait_s: Option<f64>,
    /// Only these models, `a,b`; `done` and `status` are then over them.
    models: Option<String>,
}

/// What happened to an image.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "md5": "9e107d9d372bb6826bd81d3542a419d6", "status": "partial", "done": true,
    "results": {"face_detect": {"version": "haar-1", "job": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "finished_at": "2026-11-22T09:00:01Z",
        "items": [{"type": "box", "box": [0.35, 0.14, 0.53, 0.33], "label": "face", "score": null}], "fields": {"faces": 1}, "summary": "1 face"}},
    "jobs": {"ocr": {"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a60", "state": "failed", "reason": "rejected", "waiting": null, "attempt": 1,
        "max_attempts": 5, "progress": null, "created_at": "2026-11-22T09:00:00Z", "started_at": "2026-11-22T09:00:00Z", "run_at": null,
        "finished_at": "2026-11-22T09:00:02Z", "error": {"type": "ValueError", "message": "cannot decode"}}}
}))]
pub struct Prediction {
    md5: String,
    status: Overall,
    /// Nothing is queued or running.
    done: bool,
    /// The newest success per model.
    results: BTreeMap<String, ResultOut>,
    /// The newest job per model.
    jobs: BTreeMap<String, JobOut>,
}

/// A model's newest success on the image.
#[derive(Serialize, ToSchema)]
pub struct ResultOut {
    version: String,
    job: Uuid,
    finished_at: DateTime<Utc>,
    /// Boxes, labels, texts, embeddings, hashes, points, files. A box is `[x0, y0, x1, y1]` in fractions of the upright image.
    items: Value,
    fields: Value,
    summary: Value,
}

/// The state of a job.
#[derive(Serialize, ToSchema)]
pub struct JobOut {
    pub id: Uuid,
    pub state: JobState,
    /// Of a failure: `rejected`, `exhausted`, `poisoned` or `expired`.
    pub reason: Option<String>,
    /// Why it is still queued: `no_live_worker`, `paused`, `backoff` or `limit`.
    pub waiting: Option<&'static str>,
    pub attempt: i16,
    pub max_attempts: i16,
    /// 0…1, as its worker last said.
    pub progress: Option<f64>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    /// When a queued job is due.
    pub run_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub error: Option<JobError>,
}

/// Makes a job's state for people.
pub fn job_out(job: &crate::domain::job::JobStatus, waiting: Option<&'static str>) -> JobOut {
    JobOut {
        id: job.id,
        state: job.state,
        reason: job.reason.clone(),
        waiting,
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        progress: job.progress,
        created_at: job.created_at,
        started_at: job.started_at,
        run_at: job.run_at,
        finished_at: job.finished_at,
        error: job.error.clone(),
    }
}

fn prediction(
    ctx: &Ctx,
    gates: Option<&Arc<HashMap<String, Gate>>>,
    md5: ContentMd5,
    status: ImageStatus,
    models: Option<&[String]>,
    results: bool,
) -> Prediction {
    let overall = lookup::overall(&status, models);
    let named = |model: &String| models.is_none_or(|models| models.contains(model));
    let jobs = status
        .jobs
        .iter()
        .filter(|(model, _)| named(model))
        .map(|(model, job)| (model.clone(), job_out(job, lookup::waiting(ctx, gates, model, job))))
        .collect();
    let result = |(model, success): (String, crate::domain::job::Success)| {
        let mut document = success.document;
        let mut part = |name: &str| document.get_mut(name).map(Value::take).unwrap_or_default();
        let (items, fields, summary) = (part("items"), part("fields"), part("summary"));
        let out = ResultOut {
            version: success.version,
            job: success.job,
            finished_at: success.finished_at,
            items,
            fields,
            summary,
        };
        (model, out)
    };
    let kept = status.results.into_iter().filter(|(model, _)| results && named(model));
    Prediction {
        md5: md5.to_string(),
        status: overall,
        done: overall.done(),
        results: kept.map(result).collect(),
        jobs,
    }
}

/// Asks what happened to an image
///
/// By the MD5 of its bytes, of either case. For whoever uploaded the bytes, and administrators; to others the image does not exist.
#[utoipa::path(get, path = "/predict/{md5}", tag = "predict", security(("user" = []), ("token" = [])),
    params(("md5" = String, Path, example = "9e107d9d372bb6826bd81d3542a419d6"), LookupQuery),
    responses((status = 200, body = Prediction), Problems))]
async fn get_prediction(
    State(state): State<Arc<AppState>>,
    AnyUser(user): AnyUser,
    Path(md5): Path<String>,
    Query(query): Query<LookupQuery>,
) -> Answer<impl IntoResponse> {
    let ctx = &state.ctx;
    let md5 = extract::md5(&md5, "path", "/md5")?;
    let wait = extract::wait(query.wait_s, "query")?;
    let models: Option<Vec<String>> = query.models.as_deref().map(|m| split_models(m).collect());
    let status = lookup::wait_for(ctx, &user, md5, models.as_deref(), wait).await?;
    let gates = ctx.gates().await.ok();
    lookup::check_models(gates.as_ref(), &status, models.as_deref().unwrap_or_default())?;
    let out = prediction(ctx, gates.as_ref(), md5, status, models.as_deref(), true);
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(out)))
}

/// Many hashes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"images": ["9e107d9d372bb6826bd81d3542a419d6"], "results": false}))]
struct StatusRequest {
    /// At most 1,000 MD5s.
    images: Vec<String>,
    /// Whether to send the results as well.
    results: Option<bool>,
}

/// The statuses, in the order of the request, repeats kept.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": [{"md5": "9e107d9d372bb6826bd81d3542a419d6", "status": "succeeded", "done": true, "results": {}, "jobs": {}, "problem": null}]}))]
struct Statuses {
    items: Vec<StatusItem>,
}

/// One status, or the problem in its place.
#[derive(Serialize, ToSchema)]
struct StatusItem {
    md5: String,
    status: Option<Overall>,
    done: Option<bool>,
    results: BTreeMap<String, ResultOut>,
    jobs: BTreeMap<String, JobOut>,
    problem: Option<Problem>,
}

/// Asks about many images at once
///
/// Up to 1,000 hashes; a bad or unknown one has its problem in its place.
#[utoipa::path(post, path = "/predict/status", tag = "predict", security(("user" = []), ("token" = [])), request_body = StatusRequest,
    responses((status = 200, body = Statuses), Problems))]
async fn list_statuses(
    State(state): State<Arc<AppState>>,
    AnyUser(user): AnyUser,
    Json(ask): Json<StatusRequest>,
) -> Answer<impl IntoResponse> {
    let ctx = &state.ctx;
    if ask.images.len() > HASHES_MAX {
        let detail = format!("{} hashes; the limit is {HASHES_MAX}.", ask.images.len());
        return Err(Fault::new(Code::TooManyImages, detail).at("body", "/images").into());
    }
    let results = ask.results.unwrap_or(false);
    let parsed: Vec<Result<ContentMd5, Fault>> =
        ask.images.iter().enumerate().map(|(i, text)| extract::md5(text, "body", format!("/images/{i}"))).collect();
    let mut distinct: Vec<ContentMd5> = parsed.iter().filter_map(|p| p.as_ref().ok()).copied().collect();
    distinct.sort();
    distinct.dedup();
    let found = lookup::statuses(ctx, &user, &distinct, results).await?;
    let gates = ctx.gates().await.ok();
    let item = |(sent, md5): (&String, Result<ContentMd5, Fault>)| match md5.and_then(|md5| {
        found
            .get(&md5)
            .map(|status| prediction(ctx, gates.as_ref(), md5, status.clone(), None, results))
            .ok_or_else(|| Fault::not_found("image"))
    }) {
        Ok(p) => StatusItem {
            md5: p.md5,
            status: Some(p.status),
            done: Some(p.done),
            results: p.results,
            jobs: p.jobs,
            problem: None,
        },
        Err(fault) => StatusItem {
            md5: crate::domain::name::shorten(sent).to_lowercase(),
            status: None,
            done: None,
            results: BTreeMap::new(),
            jobs: BTreeMap::new(),
            problem: Some(fault.into()),
        },
    };
    let items = ask.images.iter().zip(parsed).map(item).collect();
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(Statuses { items })))
}
