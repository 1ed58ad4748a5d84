//! Training runs for people: started, listed, followed.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::api::page::Page;
use crate::api::training::{
    CheckpointOut, MetricOut, PromotedOut, RunDetail, RunModelOut, RunOut, RunQuery, RunStartedOut, RunsQuery,
    TrainParameters, TrainRequest,
};
use crate::domain::json::check_text;
use crate::domain::training::RUN_PARAMS_BYTES_MAX;
use crate::http::auth::ResearcherUser;
use crate::http::budget;
use crate::http::extract::{self, BodyMax, Free, Json, Path, Query};
use crate::http::problem::Answer;
use crate::http::{AppState, Shared};
use crate::service::accounts::User;
use crate::service::training::{self as service, RunAsk, RunShown};
use crate::service::{Ctx, Result};
use crate::store::training::{Promoted, RunFile, RunFilter, RunMetric};

/// The largest request for a run, in bytes: its parameters, and some.
const TRAIN_BYTES_MAX: usize = RUN_PARAMS_BYTES_MAX + 4 * 1024;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(start_run))
        .layer(Extension(BodyMax(TRAIN_BYTES_MAX)))
        .routes(routes!(list_runs))
        .routes(routes!(get_run))
}

/// Starts a training run
///
/// Every member of the body but `dataset`, `submission`, `priority` and `require_live` is a parameter: it is checked by its name, then
/// against the schema that the dataset's service registered, and reaches the service as it is. One run per dataset at a time; the others
/// wait. When this answers 202, the run is on stable storage.
#[utoipa::path(post, path = "/training/train", tag = "training", security(("user" = []), ("token" = [])), request_body = TrainParameters,
    responses((status = 202, body = RunStartedOut, headers(("Location" = String, description = "Where to follow the run.")))))]
async fn start_run(
    State(state): AppState,
    ResearcherUser(user): ResearcherUser,
    Free(body): Free<TrainRequest>,
) -> Answer<impl IntoResponse> {
    let ask = RunAsk {
        submission: body.submission,
        priority: extract::within("body", "priority", body.priority.unwrap_or(0), -100..=100)?,
        require_live: body.require_live.unwrap_or(false),
        params: body.params,
        dataset: body.dataset.clone(),
    };
    let run = service::start(&state.ctx, &user, ask).await.map_err(|error| error.within("body"))?;
    let location = format!("/training/results/{}", run.id);
    let out =
        RunStartedOut { id: run.id, dataset: body.dataset, state: run.state, params: run.params, workers: run.workers };
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(out)))
}

/// Lists training runs
///
/// One's own, everybody's for administrators, newest first.
#[utoipa::path(get, path = "/training/results", tag = "training", security(("user" = []), ("token" = [])), params(RunsQuery),
    responses((status = 200, body = Page<RunOut>)))]
async fn list_runs(
    State(state): AppState,
    ResearcherUser(user): ResearcherUser,
    Query(query): Query<RunsQuery>,
) -> Answer<Json<Page<RunOut>>> {
    let limit = extract::limit(query.limit)?;
    query.dataset.as_deref().map(check_text).transpose()?;
    let filter = RunFilter {
        account: None,
        dataset: query.dataset.as_deref(),
        state: query.state,
        before: extract::read_cursor("runs", query.cursor.as_deref())?,
    };
    Ok(Json(page(&state.ctx, &user, filter, limit).await?))
}

/// A page of the list, as the user sees it.
pub async fn page(ctx: &Ctx, user: &User, filter: RunFilter<'_>, limit: i64) -> Result<Page<RunOut>> {
    let found = service::list(ctx, user, filter, limit).await?;
    Ok(extract::page("runs", found, limit, |shown| shown.run.id))
}

/// Shows a training run
///
/// State, progress, metrics by attempt and epoch, its files and what it became. With `wait_s` the answer waits until there is something
/// new after `after`, or the run has ended.
#[utoipa::path(get, path = "/training/results/{id}", tag = "training", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), RunQuery), responses((status = 200, body = RunDetail)))]
async fn get_run(
    State(state): AppState,
    ResearcherUser(user): ResearcherUser,
    Path(id): Path<Uuid>,
    Query(query): Query<RunQuery>,
) -> Answer<Json<RunDetail>> {
    let wait = extract::wait(query.wait_s, "query")?;
    budget::hold_lookup(wait).await?;
    Ok(Json(shown(&state.ctx, &user, id, wait, query.after).await?))
}

/// A run, once there is something to see of it after a revision, or the wait is over.
pub async fn shown(ctx: &Ctx, user: &User, id: Uuid, wait: Duration, after: Option<i32>) -> Result<RunDetail> {
    let (shown, metrics, older_left_out) = service::wait_for(ctx, user, id, wait, after).await?;
    let metrics = metrics.into_iter().map(MetricOut::from).collect();
    Ok(RunDetail { run: shown.into(), metrics, older_left_out })
}

impl From<RunShown> for RunOut {
    fn from(shown: RunShown) -> Self {
        let run = shown.run;
        Self {
            id: run.id,
            dataset: run.dataset,
            account: run.account,
            state: run.state,
            reason: run.reason,
            attempt: run.attempt,
            max_attempts: run.max_attempts,
            progress: run.progress,
            note: run.note,
            params: run.params,
            result: run.result,
            error: run.error.map(|error| error.0),
            created_at: run.created_at,
            started_at: run.started_at,
            finished_at: run.finished_at,
            retry_of: run.retry_of,
            revision: run.revision,
            checkpoint: shown.checkpoint.map(CheckpointOut::from),
            model: shown.model.map(RunModelOut::from),
            promoted: shown.promoted.into_iter().map(PromotedOut::from).collect(),
        }
    }
}

impl From<RunFile> for CheckpointOut {
    fn from(file: RunFile) -> Self {
        let sha256 = hex::encode(file.sha256);
        Self { bytes: file.bytes, sha256, epoch: file.epoch, attempt: file.attempt, at: file.at }
    }
}

impl From<RunFile> for RunModelOut {
    fn from(file: RunFile) -> Self {
        Self {
            name: file.name.unwrap_or_default(),
            bytes: file.bytes,
            sha256: hex::encode(file.sha256),
            url: format!("/training/results/{}/model", file.job_id),
        }
    }
}

impl From<Promoted> for PromotedOut {
    fn from(one: Promoted) -> Self {
        Self { model: one.model, version: one.version, at: one.at }
    }
}

impl From<RunMetric> for MetricOut {
    fn from(metric: RunMetric) -> Self {
        Self { attempt: metric.attempt, epoch: metric.epoch, values: metric.metrics.0 }
    }
}
