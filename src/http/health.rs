//! For operators: life, readiness, metrics.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
<<<<<<< HEAD
use super::extract::{Json, Page, Path};
use super::problem::{self, Answer, Problem, Problems};
use crate::domain::fault::Fault;
use crate::service::queues;
use crate::store::queues::Depth;
=======
use super::extract::Json;
use super::problem::{Answer, Problems};

use crate::api::health::{LiveOut, Ready};
use crate::service::queues;
>>>>>>> a0c5da5
use crate::{metrics, store};

pub fn router() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new().routes(routes!(get_live)).routes(routes!(get_ready)).routes(routes!(get_metrics))
}

/// Says that the process lives
///
/// Asks nothing of anybody: a process that answers is alive.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, body = LiveOut), Problems))]
async fn get_live() -> Json<LiveOut> {
    Json(LiveOut { status: "ok" })
}

/// Says whether requests can be served
///
/// 200 when PostgreSQL answers and its schema fits. Redis away shows in the body, never as 503.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses((status = 200, body = Ready), (status = 503, body = Ready), Problems))]
async fn get_ready(State(state): State<Arc<AppState>>) -> impl IntoResponse {
    let ctx = &state.ctx;
    let version = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            store::migrate::version(&mut db).await
        })
        .await;
    let fits = version.is_ok_and(|v| v == Some(store::migrate::LATEST));
    let (code, word) = if fits { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "away") };
    let redis = if ctx.index.is_live() { "ok" } else { "away" };
    (code, Json(Ready { status: word, postgres: word, redis }))
}

/// Shows the metrics
///
/// In the Prometheus text format: jobs, waits, outcomes, retries, rescues, stale leases, workers, Redis drift, pool and durations.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain", example = json!("darkroom_workers{model=\"face_detect\"} 1")), Problems))]
async fn get_metrics(State(state): State<Arc<AppState>>) -> Answer<impl IntoResponse> {
    // While PostgreSQL is away the gauges keep their last values, and the rest still counts.
    let depths = queues::count(&state.ctx).await.unwrap_or_default();
    let pool = state.ctx.db.pool();
    metrics::scraped(&depths, state.ctx.index.is_live(), pool.size(), pool.num_idle());
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.prometheus.render()))
}
<<<<<<< HEAD

/// A model's queue.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"model": "face_detect", "queued": 12, "running": 8, "backlog": 20, "workers": 1, "oldest_due_at": null, "oldest_wait_s": null}))]
pub struct Queue {
    model: String,
    queued: i64,
    running: i64,
    /// Queued and running: what an autoscaler follows.
    backlog: i64,
    workers: i64,
    /// Since when the first in line has been due.
    oldest_due_at: Option<DateTime<Utc>>,
    oldest_wait_s: Option<f64>,
}

impl From<Depth> for Queue {
    fn from(depth: Depth) -> Self {
        Self {
            backlog: depth.queued + depth.running,
            model: depth.model,
            queued: depth.queued,
            running: depth.running,
            workers: depth.workers,
            oldest_due_at: depth.oldest_due_at,
            oldest_wait_s: depth.oldest_wait_s,
        }
    }
}

/// Lists the queues of all models
///
/// Zeros are given, not left out: an autoscaler reads `backlog`.
#[utoipa::path(get, path = "/queues", tag = "health", responses((status = 200, body = Page<Queue>), Problems))]
async fn list_queues(State(state): State<Arc<AppState>>) -> Answer<Json<Page<Queue>>> {
    let items = queues::count(&state.ctx).await?.into_iter().map(Queue::from).collect();
    Ok(Json(Page { items, next_cursor: None }))
}

/// Shows the queue of one model
///
/// The same as in the list.
#[utoipa::path(get, path = "/queues/{model}", tag = "health", params(("model" = String, Path, example = "face_detect")),
    responses((status = 200, body = Queue), Problems))]
async fn get_queue(State(state): State<Arc<AppState>>, Path(model): Path<String>) -> Answer<Json<Queue>> {
    let found = queues::count(&state.ctx).await?.into_iter().find(|depth| depth.model == model);
    Ok(Json(found.ok_or_else(|| Fault::not_found("model"))?.into()))
}

/// Shows this document
///
/// OpenAPI 3.1, made from the code.
#[utoipa::path(get, path = "/openapi.json", tag = "health",
    responses((status = 200, body = serde_json::Value, example = json!({"openapi": "3.1.0"})), Problems))]
async fn get_openapi(State(state): State<Arc<AppState>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], state.openapi.clone())
}

/// Explains a problem's code
///
/// The page behind `type` in problem documents.
#[utoipa::path(get, path = "/problems/{code}", tag = "health", params(("code" = String, Path, example = "unknown_model")),
    responses((status = 200, body = String, content_type = "text/html", example = json!("<!doctype html>…")), Problems))]
async fn get_problem(Path(code): Path<String>) -> Answer<Html<String>> {
    problem::page(&code).ok_or_else(|| Problem::from(Fault::not_found("problem")))
}
=======
>>>>>>> a0c5da5
