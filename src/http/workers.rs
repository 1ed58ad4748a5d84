//! Workers: registration, beats, leaving, and who is alive.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::AppState;
use super::auth::{AnyUser, Microservice, PredictService};
use super::extract::{self, Json, Page, Path, Query};
use super::problem::{Answer, Problems};
use crate::domain::fault::{Code, Fault};
use crate::domain::key::Service;
use crate::domain::name::Name;
use crate::service::workers::{self, Held, Registration};
use crate::service::{Error, keys};
use crate::store::workers::{Worker, list};

/// The most jobs that one beat lists, and one claim takes.
pub const BATCH_MAX: usize = 1000;

pub fn router() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(register_worker))
        .routes(routes!(beat_worker))
        .routes(routes!(leave_worker))
        .routes(routes!(list_workers))
}

/// What a microservice says of itself when it starts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"service": "predict", "model": "face_detect", "version": "haar-1", "instance": "0b9f8a2e-8f3c-4d0e-9a53-2f6f3b1c7d11",
    "description": "Frontal faces", "tags": ["faces"], "labels": ["face"], "params_schema": null, "batch_max": 8, "host": "gpu1", "sdk": "curl"}))]
struct Register {
    service: Service,
    model: Option<String>,
    /// Of a training service, in place of `model`.
    dataset: Option<String>,
    /// At most 100 characters; results are kept by it.
    version: String,
    /// A UUID made when the process starts.
    instance: Uuid,
    description: Option<String>,
    tags: Option<Vec<String>>,
    /// What it can say, if that is a fixed list.
    labels: Option<Vec<String>>,
    /// A JSON Schema of its params.
    #[schema(value_type = Option<Object>)]
    params_schema: Option<Value>,
    /// How many jobs it likes at once.
    #[schema(minimum = 1, maximum = 1000)]
    batch_max: Option<i32>,
    host: Option<String>,
    sdk: Option<String>,
}

/// A session.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "service": "predict", "model": "face_detect", "version": "haar-1",
    "heartbeat_s": 10.0, "lease_s": 30.0, "max_result_bytes": 1048576}))]
struct Registered {
    /// The session's id.
    worker: Uuid,
    service: Service,
    model: String,
    version: String,
    /// Beat this often.
    heartbeat_s: f64,
    /// Without a sign of life for this long, the session is given up.
    lease_s: f64,
    max_result_bytes: usize,
}

/// Registers a microservice
///
/// 201 opens a session; 200 prolongs the live one of the same instance. After 410 `unknown_worker`, register again.
#[utoipa::path(post, path = "/workers/register", tag = "work", security(("key" = []), ("token" = [])), request_body = Register,
    responses((status = 201, body = Registered), (status = 200, body = Registered, description = "The session of this instance lives."), Problems))]
async fn register_worker(
    State(state): State<Arc<AppState>>,
    Microservice(key): Microservice,
    Json(body): Json<Register>,
) -> Answer<impl IntoResponse> {
    keys::need_service(&key, body.service)?;
    let new = read(body)?;
    let (worker, opened) = workers::register(&state.ctx, &key, &new).await?;
    let limits = &state.ctx.limits;
    let out = Registered {
        worker,
        service: Service::Predict,
        model: new.model.to_string(),
        version: new.version,
        heartbeat_s: limits.heartbeat_s,
        lease_s: limits.lease_s,
        max_result_bytes: limits.result_bytes_max,
    };
    Ok((if opened { StatusCode::CREATED } else { StatusCode::OK }, Json(out)))
}

fn read(body: Register) -> Result<Registration, Fault> {
    if body.service == Service::Train || body.dataset.is_some() {
        let detail = "This release has no training runs, so a training service has nothing to do.";
        return Err(Fault::invalid("body", "/service", detail).mend("Register with service predict and a model."));
    }
    let model =
        body.model.ok_or_else(|| Fault::invalid("body", "/model", "A service of type predict names its model."))?;
    let model = Name::parse(&model).map_err(|why| Fault::invalid("body", "/model", why))?;
    let short = |field: &str, text: Option<&str>, most: usize| match text {
        Some(t) if t.chars().count() > most => {
            Err(Fault::invalid("body", format!("/{field}"), format!("{field} has at most {most} characters.")))
        }
        _ => Ok(()),
    };
    short("version", Some(&body.version), 100)?;
    short("description", body.description.as_deref(), 2000)?;
    short("host", body.host.as_deref(), 200)?;
    short("sdk", body.sdk.as_deref(), 200)?;
    if body.version.is_empty() {
        return Err(Fault::invalid("body", "/version", "The version is empty; results are kept by it."));
    }
    for (field, list) in [("tags", &body.tags), ("labels", &body.labels)] {
        if list.as_ref().is_some_and(|l| l.len() > 10_000 || l.iter().any(|t| t.chars().count() > 200)) {
            return Err(Fault::invalid("body", format!("/{field}"), "At most 10,000 of at most 200 characters each."));
        }
    }
    let batch_max = body.batch_max.unwrap_or(1);
    if usize::try_from(batch_max).is_ok_and(|n| (1..=BATCH_MAX).contains(&n)) {
        return Ok(Registration {
            model,
            version: body.version,
            instance: body.instance,
            description: body.description,
            tags: body.tags,
            labels: body.labels,
            params_schema: body.params_schema,
            batch_max,
            host: body.host,
            sdk: body.sdk,
        });
    }
    Err(Fault::invalid("body", "/batch_max", format!("batch_max is {batch_max}; it is from 1 to {BATCH_MAX}.")))
}

/// A sign of life.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"draining": false, "jobs": [{"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "lease_no": 1, "progress": 0.4, "note": null}]}))]
struct Beat {
    /// It takes no more jobs.
    draining: Option<bool>,
    /// All that it holds.
    jobs: Vec<HeldJob>,
}

/// A job that a worker holds.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct HeldJob {
    id: Uuid,
    lease_no: i64,
    /// 0…1
    progress: Option<f64>,
    /// At most 500 characters.
    note: Option<String>,
}

/// What the worker is to do.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"next_s": 10.0, "lease_s": 30.0, "drain": false, "stop": []}))]
struct BeatOut {
    /// Beat again in this many seconds.
    next_s: f64,
    lease_s: f64,
    /// Take no more jobs.
    drain: bool,
    /// Jobs that it does not hold any more: cancelled or lost.
    stop: Vec<Uuid>,
}

/// Takes a worker's beat
///
/// Lists all that the worker holds; the answer names what it holds no more. A session given up answers 410.
#[utoipa::path(post, path = "/workers/{id}/heartbeat", tag = "work", security(("key" = []), ("token" = [])), params(("id" = Uuid, Path)),
    request_body = Beat, responses((status = 200, body = BeatOut), Problems))]
async fn beat_worker(
    State(state): State<Arc<AppState>>,
    PredictService(key): PredictService,
    Path(id): Path<Uuid>,
    Json(beat): Json<Beat>,
) -> Answer<Json<BeatOut>> {
    if beat.jobs.len() > BATCH_MAX {
        return Err(Fault::new(
            Code::TooLarge,
            format!("{} jobs; a worker holds at most {BATCH_MAX}.", beat.jobs.len()),
        )
        .at("body", "/jobs")
        .into());
    }
    let held: Vec<Held> = beat
        .jobs
        .into_iter()
        .map(|j| Held {
            id: j.id,
            lease_no: j.lease_no,
            progress: j.progress.filter(|p| (0.0..=1.0).contains(p)),
            note: j.note.map(|note| note.chars().take(500).collect()),
        })
        .collect();
    let beaten = workers::beat(&state.ctx, &key, id, beat.draining.unwrap_or(false), &held).await?;
    let limits = &state.ctx.limits;
    Ok(Json(BeatOut { next_s: limits.heartbeat_s, lease_s: limits.lease_s, drain: beaten.drain, stop: beaten.stop }))
}

/// Ends a session
///
/// What it still holds goes back to the queue at no cost.
#[utoipa::path(delete, path = "/workers/{id}", tag = "work", security(("key" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 204), Problems))]
async fn leave_worker(
    State(state): State<Arc<AppState>>,
    PredictService(key): PredictService,
    Path(id): Path<Uuid>,
) -> Answer<StatusCode> {
    workers::leave(&state.ctx, &key, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A worker.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "service": "predict", "model": "face_detect", "version": "haar-1",
    "instance": "0b9f8a2e-8f3c-4d0e-9a53-2f6f3b1c7d11", "host": "gpu1", "sdk": "curl", "batch_max": 8, "running": 2, "draining": false, "alive": true,
    "registered_at": "2026-11-22T09:00:00Z", "beat_at": "2026-11-22T09:00:10Z"}))]
struct WorkerOut {
    worker: Uuid,
    service: Service,
    model: String,
    version: String,
    instance: Uuid,
    host: Option<String>,
    sdk: Option<String>,
    batch_max: i32,
    /// Jobs it holds by our books.
    running: i64,
    draining: bool,
    /// False when it is overdue and about to be given up.
    alive: bool,
    registered_at: DateTime<Utc>,
    /// Its last sign of life.
    beat_at: DateTime<Utc>,
}

impl From<Worker> for WorkerOut {
    fn from(w: Worker) -> Self {
        Self {
            worker: w.id,
            service: Service::Predict,
            model: w.model,
            version: w.version,
            instance: w.instance,
            host: w.host,
            sdk: w.sdk,
            batch_max: w.batch_max,
            running: w.running,
            draining: w.draining,
            alive: w.alive,
            registered_at: w.registered_at,
            beat_at: w.beat_at,
        }
    }
}

/// Which workers to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct WorkersQuery {
    /// Of this model.
    model: Option<String>,
    /// The most items, 1 to 500; 100 when left out.
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Lists workers
///
/// Who is alive, what they hold, their last beat and version. Newest first.
#[utoipa::path(get, path = "/workers", tag = "work", security(("user" = []), ("token" = [])), params(WorkersQuery),
    responses((status = 200, body = Page<WorkerOut>), Problems))]
async fn list_workers(
    State(state): State<Arc<AppState>>,
    _: AnyUser,
    Query(query): Query<WorkersQuery>,
) -> Answer<Json<Page<WorkerOut>>> {
    let limit = extract::limit(query.limit)?;
    let before: Option<Uuid> = extract::read_cursor(query.cursor.as_deref())?;
    if let Some(model) = &query.model {
        crate::domain::json::check_text(model)?;
    }
    let ctx = &state.ctx;
    let found = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            Ok::<_, Error>(list(&mut db, query.model.as_deref(), before, limit).await?)
        })
        .await?;
    Ok(Json(Page::new(found.into_iter().map(WorkerOut::from).collect(), limit, |w: &WorkerOut| w.worker)))
}
