//! Jobs for people: lists, history, cancel, retry, redrive.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{AdminUser, AnyUser};
use super::extract::{self, Json, MaybeJson, NoQuery, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::jobs::{JobDetail, JobHistory, JobStateOut, JobsQuery, Redrive, Redriven, RedrivenJob, Retried, Retry};
use crate::api::page::Page;
use crate::domain::fault::Fault;
use crate::domain::job::{JobState, JobStatus};
use crate::domain::json::check_text;
use crate::service::Error;
use crate::service::accounts::User;
use crate::service::jobs::{self, Sight};
use crate::service::queues::Queues;
use crate::store::jobs::{Filter, JobRecord, JobsPage, attempts, events, list};

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_jobs))
        .routes(routes!(get_job))
        .routes(routes!(cancel_job))
        .routes(routes!(retry_job))
        .routes(routes!(redrive_jobs))
}

/// Lists jobs
///
/// First those that were asked for in one's cases, newest submission first, then those of models one owns, newest first; all for
/// administrators. A page may be short, or empty, and not the last: it looks at a bounded number of jobs, so follow `next_cursor` until it
/// is null.
#[utoipa::path(get, path = "/jobs", tag = "jobs", security(("user" = []), ("token" = [])), params(JobsQuery),
    responses((status = 200, body = Page<JobDetail>)))]
async fn list_jobs(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<JobsQuery>,
) -> Answer<Json<Page<JobDetail>>> {
    let limit = extract::limit(query.limit)?;
    let filter = read_query(query)?;
    let ctx = &state.ctx;
    let JobsPage { jobs, next } = ctx.db.run(async |db| list(db, &jobs::asker(&user), &filter, limit).await).await?;
    let items = shown(&state.queues, &user, jobs, filter.md5.is_some()).await;
    Ok(Json(Page { items, next_cursor: next.map(|place| extract::write_cursor("jobs", &place)) }))
}

/// What the user may see of these. Who could name a hash and learn a job by it would learn that the image exists.
async fn shown(queues: &Queues, user: &User, jobs: Vec<JobRecord>, by_hash: bool) -> Vec<JobDetail> {
    let mut items = Vec::with_capacity(jobs.len());
    for job in jobs {
        if let Some(sight) = jobs::sight(user, &job).filter(|s| *s == Sight::Whole || !by_hash) {
            items.push(detail(queues, job, sight).await);
        }
    }
    items
}

fn read_query(query: JobsQuery) -> Result<Filter, Fault> {
    query.model.as_deref().map(check_text).transpose()?;
    Ok(Filter {
        model: query.model,
        state: query.state.map(JobState::as_str),
        reason: None,
        md5: query.md5.map(|text| extract::md5(&text, "query", "/md5")).transpose()?,
        submission: query.submission,
        after: extract::read_cursor("jobs", query.cursor.as_deref())?,
        last_word: false,
    })
}

/// Shows a job
///
/// State, tries with tracebacks, and events. For members of a case in which it was asked for, and administrators; for the owner of its
/// model without the image's key.
#[utoipa::path(get, path = "/jobs/{id}", tag = "jobs", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, body = JobHistory)))]
async fn get_job(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<Json<JobHistory>> {
    let ctx = &state.ctx;
    let (job, sight) = jobs::find(ctx, &user, id).await?;
    let (attempts, events) =
        ctx.db.run(async |db| Ok::<_, Error>((attempts(db, id).await?, events(db, id).await?))).await?;
    Ok(Json(JobHistory { job: detail(&state.queues, job, sight).await, attempts, events }))
}

/// Cancels a job
///
/// An administrator ends it. An editor withdraws the requests of their cases, and it ends when nobody waits for it any more. An ended job
/// stays as it is.
#[utoipa::path(post, path = "/jobs/{id}/cancel", tag = "jobs", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, body = JobStateOut)))]
async fn cancel_job(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<Json<JobStateOut>> {
    let state = jobs::cancel(&state.ctx, &user, id).await?;
    Ok(Json(JobStateOut { id, state }))
}

/// Tries an ended job again
///
/// Makes a new job with `retry_of`, for editors of a case in which the ended one was asked for; that stays as it is. A training run goes on
/// from the last checkpoint of the one that ended, unless `fresh`. The body may be left out.
#[utoipa::path(post, path = "/jobs/{id}/retry", tag = "jobs", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    request_body = Option<Retry>,
    responses((status = 201, body = Retried)))]
async fn retry_job(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path(id): Path<Uuid>,
    MaybeJson(how): MaybeJson<Retry>,
) -> Answer<impl IntoResponse> {
    let made = jobs::retry(&state.ctx, &user, id, how.fresh.unwrap_or(false)).await?;
    Ok((StatusCode::CREATED, Json(Retried { id: made, retry_of: id })))
}

/// Tries ended jobs again by filter
///
/// For administrators; at most 1,000 at once, newest first, among a bounded number that it looks at, so that it may find fewer, or none, and
/// there are more: repeat it with `next_cursor` until that is null. It leaves alone what was tried again since. A dry run unless `dry_run` is
/// false.
#[utoipa::path(post, path = "/jobs/redrive", tag = "jobs", security(("user" = []), ("token" = [])), request_body = Redrive,
    responses((status = 200, body = Redriven)))]
async fn redrive_jobs(
    State(state): AppState,
    AdminUser(user): AdminUser,
    Json(ask): Json<Redrive>,
) -> Answer<Json<Redriven>> {
    let dry_run = ask.dry_run.unwrap_or(true);
    let filter = read_redrive(ask)?;
    let redriven = jobs::redrive(&state.ctx, &user, filter, !dry_run).await?;
    let ids = redriven.made.into_iter().chain(std::iter::repeat(None));
    let items: Vec<RedrivenJob> =
        redriven.found.iter().zip(ids).map(|(job, id)| RedrivenJob { id, retry_of: job.status.id }).collect();
    let next_cursor = redriven.next.map(|place| extract::write_cursor("redrive", &place));
    Ok(Json(Redriven { dry_run, matched: items.len(), items, next_cursor }))
}

fn read_redrive(ask: Redrive) -> Result<Filter, Fault> {
    if !matches!(ask.state, JobState::Failed | JobState::Cancelled) {
        return Err(Fault::invalid("body", "/state", "Only failed or cancelled jobs are tried again."));
    }
    let known = ["rejected", "exhausted", "poisoned", "expired"];
    if ask.reason.as_deref().is_some_and(|reason| !known.contains(&reason)) {
        return Err(Fault::invalid("body", "/reason", format!("A reason is one of {}.", known.join(", "))));
    }
    let after = extract::read_cursor("redrive", ask.cursor.as_deref())
        .map_err(|_| Fault::invalid("body", "/cursor", "The cursor was not given by a redrive."))?;
    Ok(Filter {
        model: ask.model,
        state: Some(ask.state.as_str()),
        reason: ask.reason,
        submission: ask.submission,
        after,
        ..Filter::default()
    })
}

async fn detail(queues: &Queues, job: JobRecord, sight: Sight) -> JobDetail {
    let gates = queues.gates().await.ok();
    let waiting = queues.waiting(gates.as_ref(), &job.path, &job.status);
    let (model, dataset) = job.subject();
    let (model, dataset) = (model.map(str::to_owned), dataset.map(str::to_owned));
    JobDetail {
        job: JobStatus { waiting, ..job.status },
        model,
        dataset,
        md5: job.md5.filter(|_| sight == Sight::Whole).map(hex::encode),
        params: job.params,
        priority: job.priority,
        finish_by: job.finish_by,
        lease_no: job.lease_no.into(),
        deaths: job.deaths,
        worker: job.worker,
        version: job.version,
        duration_s: job.duration_s,
        retry_of: job.retry_of,
    }
}
