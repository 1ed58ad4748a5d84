//! Queues: how much of each model's work waits and runs.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Onlooker;
use super::extract::{Json, NoQuery, Path};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::page::Page;
use crate::api::queues::Queue;
use crate::domain::fault::Fault;
use crate::store::queues::Depth;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_queues)).routes(routes!(get_queue))
}

/// Lists the queues of all models
///
/// Zeros are given, not left out: an autoscaler reads `backlog`. Counted at most once a second. Open, unless the operator set a
/// token for it.
#[utoipa::path(get, path = "/queues", tag = "health", responses((status = 200, body = Page<Queue>)))]
async fn list_queues(State(state): AppState, _: Onlooker, _: NoQuery) -> Answer<Json<Page<Queue>>> {
    let items = state.queues.count().await?.iter().map(Queue::from).collect();
    Ok(Json(Page { items, next_cursor: None }))
}

/// Shows the queue of one model
///
/// The same as in the list.
#[utoipa::path(get, path = "/queues/{model}", tag = "health", params(("model" = String, Path, example = "face_detect")),
    responses((status = 200, body = Queue)))]
async fn get_queue(State(state): AppState, _: Onlooker, _: NoQuery, Path(model): Path<String>) -> Answer<Json<Queue>> {
    let depths = state.queues.count().await?;
    let found = depths.iter().find(|depth| depth.model == model);
    Ok(Json(found.ok_or_else(|| Fault::not_found("model"))?.into()))
}

impl From<&Depth> for Queue {
    fn from(depth: &Depth) -> Self {
        Self {
            backlog: depth.queued + depth.running,
            model: depth.model.clone(),
            queued: depth.queued,
            running: depth.running,
            workers: depth.workers,
            oldest_due_at: depth.oldest_due_at,
            oldest_wait_s: depth.oldest_wait_s,
        }
    }
}
