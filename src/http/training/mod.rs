//! Training runs and the datasets that they train on.

mod datasets;
mod models;
mod runs;
mod worker;

pub(super) use self::datasets::datasets_page;
pub(super) use self::runs::{page, shown};

use utoipa_axum::router::OpenApiRouter;

use super::Shared;

pub fn router() -> OpenApiRouter<Shared> {
    datasets::router().merge(runs::router()).merge(worker::router()).merge(models::router())
}
