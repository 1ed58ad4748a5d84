//! Ask what happened to images.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::AppState;
use super::auth::AnyUser;
use super::extract::{self, Json, Path, Query};
use super::problem::{Answer, Problem, Problems};
use super::upload::split_models;
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobState, JobStatus, JobView, Overall};
use crate::service::{Ctx, queues, status};
use crate::store::queues::Gate;

/// The most hashes of one status request.
const HASHES_MAX: usize = 1000;

pub fn router() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new().routes(routes!(get_prediction)).routes(routes!(list_statuses))
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
    #[schema(value_type = BTreeMap<String, ResultOut>)]
    results: BTreeMap<String, Box<RawValue>>,
    /// The newest job per model.
    #[schema(value_type = BTreeMap<String, JobStatus>)]
    jobs: BTreeMap<String, Box<RawValue>>,
}

/// A model's newest success on the image.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only documents what is passed on as it was stored")]
struct ResultOut {
    version: String,
    job: Uuid,
    finished_at: DateTime<Utc>,
    /// Boxes, labels, texts, embeddings, hashes, points, files. A box is `[x0, y0, x1, y1]` in fractions of the upright image.
    items: Value,
    fields: Value,
    summary: Value,
}

fn prediction(
    ctx: &Ctx,
    gates: Option<&Arc<HashMap<String, Gate>>>,
    md5: ContentMd5,
    status: ImageStatus,
    models: Option<&[String]>,
    with_results: bool,
) -> Prediction {
    let overall = status::overall(&status, models);
    let named = |model: &String| models.is_none_or(|models| models.contains(model));
    let jobs = status.jobs.into_iter().filter(|(model, _)| named(model));
    let results = status.results.into_iter().filter(|(model, _)| with_results && named(model));
    Prediction {
        md5: md5.to_string(),
        status: overall,
        done: overall.done(),
        results: results.map(|(model, result)| (model, result.json)).collect(),
        jobs: jobs.map(|(model, job)| (model.clone(), told(ctx, gates, &model, job))).collect(),
    }
}

/// A job as it was written, and why it waits if it does.
fn told(ctx: &Ctx, gates: Option<&Arc<HashMap<String, Gate>>>, model: &str, job: JobView) -> Box<RawValue> {
    if job.state != JobState::Queued {
        return job.json;
    }
    let with_reason = job.read().and_then(|mut job| {
        job.waiting = queues::waiting(ctx, gates, model, &job);
        to_raw_value(&job)
    });
    with_reason.unwrap_or(job.json)
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
    let status = status::wait_for(ctx, &user, md5, models.as_deref(), wait).await?;
    let gates = queues::gates(ctx).await.ok();
    status::check_models(gates.as_ref(), &status, models.as_deref().unwrap_or_default())
        .map_err(|error| Problem::of(error, "query"))?;
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
    #[schema(value_type = BTreeMap<String, ResultOut>)]
    results: BTreeMap<String, Box<RawValue>>,
    #[schema(value_type = BTreeMap<String, JobStatus>)]
    jobs: BTreeMap<String, Box<RawValue>>,
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
    let found = status::statuses(ctx, &user, &distinct, results).await?;
    let gates = queues::gates(ctx).await.ok();
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
