//! For operators: life, readiness, metrics.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Onlooker;
use super::extract::Json;
use super::problem::Answer;
use super::{AppState, Shared};

use crate::api::health::{LiveOut, Ready};
use crate::metrics;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(get_live)).routes(routes!(get_ready)).routes(routes!(get_metrics))
}

/// Says that the process lives
///
/// Asks nothing of anybody: a process that answers is alive.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, body = LiveOut)))]
async fn get_live() -> Json<LiveOut> {
    Json(LiveOut { status: "ok" })
}

/// Says whether requests can be served
///
/// 200 when PostgreSQL answers and its schema fits. Redis away shows in the body, never as 503.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses((status = 200, body = Ready), (status = 503, body = Ready)))]
async fn get_ready(State(state): AppState) -> impl IntoResponse {
    let ctx = &state.ctx;
    let ready = ctx.readiness.ask().await.is_ok();
    let (code, word) = if ready { (StatusCode::OK, "ok") } else { (StatusCode::SERVICE_UNAVAILABLE, "away") };
    let redis = if ctx.index.is_live() { "ok" } else { "away" };
    (code, Json(Ready { status: word, postgres: word, redis }))
}

/// Shows the metrics
///
/// In the Prometheus text format: jobs, waits, outcomes, retries, rescues, stale leases, workers, Redis drift, pool and durations.
/// Open, unless the operator set a token for it.
#[utoipa::path(get, path = "/metrics", tag = "health",
    responses((status = 200, body = String, content_type = "text/plain", example = json!("darkroom_workers{model=\"face_detect\"} 1"))))]
async fn get_metrics(State(state): AppState, _: Onlooker) -> Answer<impl IntoResponse> {
    // While PostgreSQL is away the gauges keep their last values, and the rest still counts.
    let depths = state.queues.count().await.unwrap_or_default();
    let (open, idle) = state.ctx.db.connections();
    metrics::scraped(&depths, state.ctx.index.is_live(), open, idle);
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], state.prometheus.render()))
}
