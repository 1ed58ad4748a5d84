//! Training runs.

mod runs;

use utoipa_axum::router::OpenApiRouter;

use super::Shared;

pub fn router() -> OpenApiRouter<Shared> {
    runs::router()
}
