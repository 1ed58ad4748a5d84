//! Training runs.

mod models;
mod runs;
mod worker;

use utoipa_axum::router::OpenApiRouter;

use super::Shared;

pub fn router() -> OpenApiRouter<Shared> {
    runs::router().merge(worker::router()).merge(models::router())
}
