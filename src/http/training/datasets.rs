//! Datasets, and the levers their owners have.

use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::api::page::{Page, Paging};
use crate::api::training::{DatasetOut, UpdateDataset};
use crate::domain::fault::Fault;
use crate::domain::name::Name;
use crate::http::auth::ResearcherUser;
use crate::http::extract::{self, Json, Path, Query};
use crate::http::models::check_policy;
use crate::http::problem::Answer;
use crate::http::{AppState, Shared};
use crate::service::{Ctx, Error, models as model_service};
use crate::store::models::ModelChange;
use crate::store::training::{Dataset, dataset, datasets};

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_datasets)).routes(routes!(update_dataset))
}

/// Lists datasets
///
/// Those that a live service trains on, by name.
#[utoipa::path(get, path = "/training/datasets", tag = "training", security(("user" = []), ("token" = [])), params(Paging),
    responses((status = 200, body = Page<DatasetOut>)))]
async fn list_datasets(
    State(state): AppState,
    _: ResearcherUser,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<DatasetOut>>> {
    let (limit, after) = extract::paging::<String>("datasets", &paging)?;
    Ok(Json(datasets_page(&state.ctx, after.as_deref(), limit).await?))
}

/// A page of the list.
pub async fn datasets_page(ctx: &Ctx, after: Option<&str>, limit: i64) -> Result<Page<DatasetOut>, Error> {
    let found = ctx.db.run(async |db| datasets(db, after, limit).await).await?;
    Ok(extract::page("datasets", found, limit, |dataset| dataset.name.clone()))
}

/// Changes a dataset
///
/// Pause and resume, retry policy, deadline, retire; one that nobody trains on now too. The fields that it shows under `retry` are given
/// beside the others here. For administrators and the owner of a key for it.
#[utoipa::path(patch, path = "/training/datasets/{name}", tag = "training", security(("user" = []), ("token" = [])),
    params(("name" = String, Path, example = "digits")), request_body = UpdateDataset, responses((status = 200, body = DatasetOut)))]
async fn update_dataset(
    State(state): AppState,
    ResearcherUser(user): ResearcherUser,
    Path(name): Path<String>,
    Json(body): Json<UpdateDataset>,
) -> Answer<Json<DatasetOut>> {
    let change = read(body)?;
    let set = find(&state.ctx, &name).await?;
    model_service::update(&state.ctx, &state.queues, &user, (&set).into(), &change).await?;
    Ok(Json(find(&state.ctx, &name).await?.into()))
}

async fn find(ctx: &Ctx, name: &str) -> Result<Dataset, Error> {
    Name::parse(name).map_err(|_| Fault::not_found("dataset"))?;
    let found = ctx.db.run(async |db| dataset(db, name).await).await?;
    found.ok_or_else(|| Fault::not_found("dataset").into())
}

fn read(body: UpdateDataset) -> Result<ModelChange, Fault> {
    Ok(ModelChange {
        paused: body.paused,
        policy: check_policy(body.policy())?,
        retired: body.retired,
        ..ModelChange::default()
    })
}

impl From<Dataset> for DatasetOut {
    fn from(d: Dataset) -> Self {
        Self {
            dataset: d.name,
            description: d.description,
            owner: d.owner_name,
            tags: d.tags,
            params_schema: d.params_schema,
            version: d.version,
            workers: d.workers,
            queued: d.queued,
            running: d.running,
            paused: d.paused,
            retry: d.retry,
            retired_at: d.retired_at,
        }
    }
}
