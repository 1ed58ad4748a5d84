//! Models: what is known of them, and the levers their owners have.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;

use axum::extract::State;
use sqlx::PgConnection;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AnyUser;
use super::extract::{self, Json, NoQuery, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::models::{HistoryQuery, ModelHistory, ModelMoment, ModelOut, ModelsQuery, ServedVersion, UpdateModel};
use crate::api::page::Page;
use crate::domain::fault::Fault;
use crate::domain::ruling::PolicyChange;
use crate::service::{Ctx, Error, models as model_service};
use crate::store::figures::{self, Moment};
use crate::store::models::{self, Model, ModelChange};
use crate::store::versions::{self, Version};

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_models))
        .routes(routes!(get_model, update_model))
        .routes(routes!(get_model_history))
}

/// Lists models
///
/// Known ones, with their live workers and queues, by name. Where they say much of themselves a page has fewer than `limit`: go on
/// as long as there is a `next_cursor`.
#[utoipa::path(get, path = "/models", tag = "models", security(("user" = []), ("token" = [])), params(ModelsQuery),
    responses((status = 200, body = Page<ModelOut>)))]
async fn list_models(
    State(state): AppState,
    _: AnyUser,
    Query(query): Query<ModelsQuery>,
) -> Answer<Json<Page<ModelOut>>> {
    let limit = extract::limit(query.limit)?;
    let after: Option<String> = extract::read_cursor("models", query.cursor.as_deref())?;
    Ok(Json(page(&state.ctx, after.as_deref(), query.retired.unwrap_or(false), limit).await?))
}

/// A page of the list.
pub(super) async fn page(ctx: &Ctx, after: Option<&str>, retired: bool, limit: i64) -> Result<Page<ModelOut>, Error> {
    let found = ctx.db.run(async |db| {
        let found = models::list(db, after, retired, limit).await?;
        with_versions(db, found).await
    });
    let found = found.await?;
    let full = if found.last().is_some_and(|(model, _)| model.fills_page()) { found.len() as i64 } else { limit };
    Ok(extract::page("models", found, full, |(model, _)| model.name.clone()))
}

/// The most versions of a model that are told: one that is worked on has a new one with every change.
const VERSIONS_MAX: i64 = 20;

/// Puts its versions beside each model.
async fn with_versions(db: &mut PgConnection, found: Vec<Model>) -> sqlx::Result<Vec<(Model, Vec<Version>)>> {
    let queues: Vec<i32> = found.iter().map(|model| model.id).collect();
    let mut by_queue: HashMap<i32, Vec<Version>> = HashMap::new();
    for version in versions::list(db, &queues, VERSIONS_MAX).await? {
        by_queue.entry(version.queue_id).or_default().push(version);
    }
    let beside = |model: Model| {
        let versions = by_queue.remove(&model.id).unwrap_or_default();
        (model, versions)
    };
    Ok(found.into_iter().map(beside).collect())
}

async fn find(ctx: &Ctx, name: &str) -> Result<(Model, Vec<Version>), Error> {
    crate::domain::name::Name::parse(name).map_err(|_| Fault::not_found("model"))?;
    ctx.db
        .run(async |db| {
            let found = models::find(db, &[name.to_owned()]).await?;
            let mut found = with_versions(db, found).await?;
            found.pop().ok_or_else(|| Error::from(Fault::not_found("model")))
        })
        .await
}

/// Shows a model
///
/// The same as in the list; retired ones too.
#[utoipa::path(get, path = "/models/{name}", tag = "models", security(("user" = []), ("token" = [])),
    params(("name" = String, Path, example = "face_detect")), responses((status = 200, body = ModelOut)))]
async fn get_model(State(state): AppState, _: AnyUser, _: NoQuery, Path(name): Path<String>) -> Answer<Json<ModelOut>> {
    Ok(Json(find(&state.ctx, &name).await?.into()))
}

/// The most steps of a history: a curve has no more pixels.
const STEPS_MAX: u64 = 300;

/// Shows how a model's queue stood
///
/// Over the last hours: what waited and ran, who lived, how long the first had waited, and how much was done by then. For curves.
#[utoipa::path(get, path = "/models/{name}/history", tag = "models", security(("user" = []), ("token" = [])),
    params(("name" = String, Path, example = "face_detect"), HistoryQuery), responses((status = 200, body = ModelHistory)))]
async fn get_model_history(
    State(state): AppState,
    _: AnyUser,
    Path(name): Path<String>,
    Query(query): Query<HistoryQuery>,
) -> Answer<Json<ModelHistory>> {
    let hours = extract::within("query", "hours", query.hours.unwrap_or(24), 1..=168)?;
    let (model, _) = find(&state.ctx, &name).await?;
    let minutes = hours * 60;
    // Whole minutes, as it is looked at.
    let step_s = (minutes as u64).div_ceil(STEPS_MAX) as f64 * 60.0;
    let look = async |db: &mut PgConnection| figures::history(db, model.id, minutes as f64 * 60.0, step_s).await;
    let moments = state.ctx.db.run(look).await?;
    Ok(Json(ModelHistory { step_s, items: moments.into_iter().map(ModelMoment::from).collect() }))
}

impl From<Moment> for ModelMoment {
    fn from(m: Moment) -> Self {
        Self {
            at: m.at,
            queued: m.queued,
            running: m.running,
            workers: m.workers,
            oldest_wait_s: m.oldest_wait_s,
            served: m.served,
        }
    }
}

/// Changes a model
///
/// Pause and resume, limit, retry policy, retire. The fields that GET shows under `retry` are given beside the others here.
/// For administrators and the owner of a key for it.
#[utoipa::path(patch, path = "/models/{name}", tag = "models", security(("user" = []), ("token" = [])),
    params(("name" = String, Path, example = "face_detect")), request_body = UpdateModel, responses((status = 200, body = ModelOut)))]
async fn update_model(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path(name): Path<String>,
    Json(body): Json<UpdateModel>,
) -> Answer<Json<ModelOut>> {
    let change = read(body)?;
    let (model, _) = find(&state.ctx, &name).await?;
    model_service::update(&state.ctx, &state.queues, &user, (&model).into(), &change).await?;
    Ok(Json(find(&state.ctx, &name).await?.into()))
}

fn read(body: UpdateModel) -> Result<ModelChange, Fault> {
    Ok(ModelChange {
        paused: body.paused,
        served_by: body.served_by,
        max_running: body.max_running.map(|most| within("max_running", most, 1..=100_000)).transpose()?,
        policy: check_policy(body.policy())?,
        retired: body.retired,
    })
}

/// A change of a policy, if each of its numbers may be.
pub(super) fn check_policy(change: PolicyChange) -> Result<PolicyChange, Fault> {
    Ok(PolicyChange {
        max_attempts: within("max_attempts", change.max_attempts, 1..=100)?,
        backoff_base_s: within("backoff_base_s", change.backoff_base_s, 0.0..=3600.0)?,
        backoff_cap_s: within("backoff_cap_s", change.backoff_cap_s, 0.0..=86_400.0)?,
        retry_budget_s: change.retry_budget_s.map(|s| within("retry_budget_s", s, 1.0..=2_592_000.0)).transpose()?,
        deadline_s: within("deadline_s", change.deadline_s, 1.0..=86_400.0)?,
    })
}

/// A number that may be left out.
fn within<N: PartialOrd + Display>(
    field: &str,
    number: Option<N>,
    range: RangeInclusive<N>,
) -> Result<Option<N>, Fault> {
    number.map(|number| extract::within("body", field, number, range)).transpose()
}

impl From<(Model, Vec<Version>)> for ModelOut {
    fn from((m, versions): (Model, Vec<Version>)) -> Self {
        Self {
            name: m.name,
            description: m.description,
            owner: m.owner_name,
            tags: m.tags,
            labels: m.labels,
            params_schema: m.params_schema,
            result_schema: m.result_schema,
            versions: m.live_versions,
            last_version: m.last_version,
            served_by: m.served_by,
            served: versions.into_iter().map(ServedVersion::from).collect(),
            workers: m.workers,
            queued: m.queued,
            running: m.running,
            oldest_due_at: m.oldest_due_at,
            paused: m.paused,
            max_running: m.max_running,
            retry: m.retry,
            created_at: m.created_at,
            retired_at: m.retired_at,
        }
    }
}

impl From<Version> for ServedVersion {
    fn from(v: Version) -> Self {
        Self { version: v.version, first_registered_at: v.registered_at, workers: v.workers, jobs: v.served }
    }
}
