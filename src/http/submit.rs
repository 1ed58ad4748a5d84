//! Submit photographs to models.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::multipart::Multipart;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::AppState;
use super::auth::InvestigatorUser;
use super::extract::{self, Json};
use super::problem::{Answer, Problem, Problems};
use super::upload::{self, check_terms, distinct, split_models};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;
use crate::service::submit::{self, Ask};
use crate::service::{Ctx, Limits};

pub fn router(limits: &Limits) -> OpenApiRouter<Arc<AppState>> {
    let body = usize::try_from(limits.upload_bytes_max).unwrap_or(usize::MAX);
    OpenApiRouter::new().routes(routes!(submit_images)).layer(DefaultBodyLimit::max(body))
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
        submit::upload(ctx, &user, &ask, files).await.map_err(|error| Problem::of(error, "form"))?
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
