//! Models: what is known of them, and the levers their owners have.

use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::auth::AnyUser;
use super::extract::{self, Json, Page, Path, Query};
use super::problem::{Answer, Problems};
use crate::domain::fault::Fault;
use crate::service::{Ctx, Error, models as model_service};
use crate::store::models::{self, Change, Model};

pub fn router() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new().routes(routes!(list_models)).routes(routes!(get_model, update_model))
}

/// A model.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"name": "face_detect", "description": "Frontal faces", "owner": "rosa", "tags": ["faces"], "labels": ["face"], "params_schema": null,
    "versions": ["haar-1"], "last_version": "haar-1", "workers": 1, "queued": 12, "running": 8, "oldest_due_at": null, "paused": false, "max_running": null,
    "retry": {"max_attempts": 5, "backoff_base_s": 5.0, "backoff_cap_s": 600.0, "retry_budget_s": null, "deadline_s": 600.0}, "created_at": "2026-11-22T09:00:00Z", "retired_at": null}))]
struct ModelOut {
    name: String,
    description: String,
    /// Null for models that came with the installation.
    owner: Option<String>,
    tags: Vec<String>,
    labels: Vec<String>,
    #[schema(value_type = Option<Object>)]
    params_schema: Option<Value>,
    /// Those that live workers serve.
    versions: Vec<String>,
    last_version: String,
    /// Live workers.
    workers: i64,
    /// Counted up to 10,000.
    queued: i64,
    running: i64,
    /// Since when the first in line has been due.
    oldest_due_at: Option<DateTime<Utc>>,
    paused: bool,
    /// How many of its jobs may run at once; null is without limit.
    max_running: Option<i32>,
    retry: RetryPolicy,
    created_at: DateTime<Utc>,
    retired_at: Option<DateTime<Utc>>,
}

/// How failed attempts are tried again.
#[derive(Serialize, ToSchema)]
struct RetryPolicy {
    max_attempts: i16,
    /// The most that the first back-off waits; it doubles with every attempt.
    backoff_base_s: f32,
    backoff_cap_s: f32,
    /// No retry starts later than this after the first claim; null is without limit.
    retry_budget_s: Option<f32>,
    /// How long one attempt may take.
    deadline_s: f32,
}

impl From<Model> for ModelOut {
    fn from(m: Model) -> Self {
        Self {
            name: m.name,
            description: m.description,
            owner: m.owner_name,
            tags: m.tags,
            labels: m.labels,
            params_schema: m.params_schema,
            versions: m.live_versions,
            last_version: m.last_version,
            workers: m.workers,
            queued: m.queued,
            running: m.running,
            oldest_due_at: m.oldest_due_at,
            paused: m.paused,
            max_running: m.max_running,
            retry: RetryPolicy {
                max_attempts: m.max_attempts,
                backoff_base_s: m.backoff_base_s,
                backoff_cap_s: m.backoff_cap_s,
                retry_budget_s: m.retry_budget_s,
                deadline_s: m.deadline_s,
            },
            created_at: m.created_at,
            retired_at: m.retired_at,
        }
    }
}

/// Which models to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ModelsQuery {
    /// The most items, 1 to 500; 100 when left out.
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
    /// Whether to list retired ones too.
    retired: Option<bool>,
}

/// Lists models
///
/// Known ones, with their live workers and queues, by name.
#[utoipa::path(get, path = "/models", tag = "models", security(("user" = []), ("token" = [])), params(ModelsQuery),
    responses((status = 200, body = Page<ModelOut>), Problems))]
async fn list_models(
    State(state): State<Arc<AppState>>,
    _: AnyUser,
    Query(query): Query<ModelsQuery>,
) -> Answer<Json<Page<ModelOut>>> {
    let limit = extract::limit(query.limit)?;
    let after: Option<String> = extract::read_cursor(query.cursor.as_deref())?;
    let ctx = &state.ctx;
    let found = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            Ok::<_, Error>(models::list(&mut db, after.as_deref(), query.retired.unwrap_or(false), limit).await?)
        })
        .await?;
    Ok(Json(Page::new(found.into_iter().map(ModelOut::from).collect(), limit, |m: &ModelOut| m.name.clone())))
}

async fn find(ctx: &Ctx, name: &str) -> Result<Model, Error> {
    crate::domain::name::Name::parse(name).map_err(|_| Fault::not_found("model"))?;
    ctx.db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            let mut found = models::find(&mut db, &[name.to_owned()]).await?;
            found.pop().ok_or_else(|| Error::from(Fault::not_found("model")))
        })
        .await
}

/// Shows a model
///
/// The same as in the list; retired ones too.
#[utoipa::path(get, path = "/models/{name}", tag = "models", security(("user" = []), ("token" = [])),
    params(("name" = String, Path, example = "face_detect")), responses((status = 200, body = ModelOut), Problems))]
async fn get_model(State(state): State<Arc<AppState>>, _: AnyUser, Path(name): Path<String>) -> Answer<Json<ModelOut>> {
    Ok(Json(find(&state.ctx, &name).await?.into()))
}

/// A change of a model; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"paused": true}))]
struct UpdateModel {
    /// A paused model hands out no jobs.
    paused: Option<bool>,
    /// 1…100000; null removes the limit.
    #[serde(default, deserialize_with = "extract::patch_field")]
    #[schema(value_type = Option<i32>)]
    max_running: Option<Option<i32>>,
    /// 1…100
    max_attempts: Option<i16>,
    /// 0…3600
    backoff_base_s: Option<f32>,
    /// 0…86400
    backoff_cap_s: Option<f32>,
    /// 1…2592000; null removes the limit.
    #[serde(default, deserialize_with = "extract::patch_field")]
    #[schema(value_type = Option<f32>)]
    retry_budget_s: Option<Option<f32>>,
    /// 1…86400
    deadline_s: Option<f32>,
    /// True: takes no more jobs, and cancels those that are queued. A new registration brings it back.
    retired: Option<bool>,
}

/// Changes a model
///
/// Pause and resume, limit, retry policy, retire. For administrators and the owner of a key for it.
#[utoipa::path(patch, path = "/models/{name}", tag = "models", security(("user" = []), ("token" = [])),
    params(("name" = String, Path, example = "face_detect")), request_body = UpdateModel, responses((status = 200, body = ModelOut), Problems))]
async fn update_model(
    State(state): State<Arc<AppState>>,
    AnyUser(user): AnyUser,
    Path(name): Path<String>,
    Json(body): Json<UpdateModel>,
) -> Answer<Json<ModelOut>> {
    check("max_running", body.max_running.flatten().map(f64::from), 1.0, 100_000.0)?;
    check("max_attempts", body.max_attempts.map(f64::from), 1.0, 100.0)?;
    check("backoff_base_s", body.backoff_base_s.map(f64::from), 0.0, 3600.0)?;
    check("backoff_cap_s", body.backoff_cap_s.map(f64::from), 0.0, 86_400.0)?;
    check("retry_budget_s", body.retry_budget_s.flatten().map(f64::from), 1.0, 2_592_000.0)?;
    check("deadline_s", body.deadline_s.map(f64::from), 1.0, 86_400.0)?;
    let change = Change {
        paused: body.paused,
        max_running: body.max_running,
        max_attempts: body.max_attempts,
        backoff_base_s: body.backoff_base_s,
        backoff_cap_s: body.backoff_cap_s,
        retry_budget_s: body.retry_budget_s,
        deadline_s: body.deadline_s,
        retired: body.retired,
    };
    let model = find(&state.ctx, &name).await?;
    model_service::update(&state.ctx, &user, &model, &change).await?;
    Ok(Json(find(&state.ctx, &name).await?.into()))
}

fn check(field: &str, value: Option<f64>, least: f64, most: f64) -> Result<(), Fault> {
    match value {
        Some(v) if !(least..=most).contains(&v) => {
            Err(Fault::invalid("body", format!("/{field}"), format!("{field} is {v}; it is from {least} to {most}.")))
        }
        _ => Ok(()),
    }
}
