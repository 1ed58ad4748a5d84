//! Look-ups: ask what happened to images.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::{RawValue, to_raw_value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AnyUser;
use super::extract::{self, Batch, Json, Path, Query};
use super::problem::{Answer, Problems};
use super::{AppState, Shared};
use crate::api::status::{HASHES_MAX, LookupQuery, Prediction, StatusItem, StatusRequest, Statuses};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobState, JobView};
use crate::domain::name::shorten;
use crate::service::queues::{Gates, Queues};
use crate::service::status;

/// What happened to an image may have changed by the next time.
const NOT_STORED: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(get_prediction)).routes(routes!(list_statuses))
}

/// Asks what happened to an image
///
/// By the MD5 of its bytes, of either case. For whoever uploaded the bytes, and administrators; to others the image does not exist.
#[utoipa::path(get, path = "/predict/{md5}", tag = "predict", security(("user" = []), ("token" = [])),
    params(("md5" = String, Path, example = "9e107d9d372bb6826bd81d3542a419d6"), LookupQuery),
    responses((status = 200, body = Prediction), Problems))]
async fn get_prediction(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path(md5): Path<String>,
    Query(query): Query<LookupQuery>,
) -> Answer<Response> {
    let md5 = extract::md5(&md5, "path", "/md5")?;
    let wait = extract::wait(query.wait_s, "query")?;
    let models: Option<Vec<String>> = query.models.as_deref().map(|m| extract::split_models(m).collect());
    if models.is_none()
        && let Some(answer) = state.lookups.ready_answer(&user, md5).await
    {
        return Ok(([NOT_STORED, JSON], answer).into_response());
    }
    let mut status = state.lookups.wait_for(&user, md5, models.as_deref(), wait).await?;
    let fresh = state.accounts.again(&user).await?;
    if fresh.scope() != user.scope() {
        status = state.lookups.wait_for(&fresh, md5, models.as_deref(), Duration::ZERO).await?;
    }
    let view = View::now(&state.queues, models.as_deref(), true).await;
    status::check_models(view.gates.as_ref(), &status, models.as_deref().unwrap_or_default())
        .map_err(|fault| fault.within("query"))?;
    Ok(([NOT_STORED], Json(view.prediction(md5, status))).into_response())
}

/// Asks about many images at once
///
/// Up to 1,000 hashes; a bad or unknown one has its problem in its place.
#[utoipa::path(post, path = "/predict/status", tag = "predict", security(("user" = []), ("token" = [])), request_body = StatusRequest,
    responses((status = 200, body = Statuses), Problems))]
async fn list_statuses(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Batch(ask): Batch<StatusRequest>,
) -> Answer<impl IntoResponse> {
    if ask.images.len() > HASHES_MAX {
        let detail = format!("More than {HASHES_MAX} hashes.");
        return Err(Fault::new(Code::TooManyImages, detail).at("body", "/images").into());
    }
    let results = ask.results.unwrap_or(false);
    let parse = |(i, text): (usize, &String)| extract::md5(text, "body", format!("/images/{i}"));
    let parsed: Vec<Result<ContentMd5, Fault>> = ask.images.iter().enumerate().map(parse).collect();
    let mut distinct: Vec<ContentMd5> = parsed.iter().filter_map(|p| p.as_ref().ok()).copied().collect();
    distinct.sort();
    distinct.dedup();
    let found = state.lookups.find(&user, &distinct, results).await?;
    let view = View::now(&state.queues, None, results).await;
    let items = ask.images.iter().zip(parsed).map(|(sent, md5)| view.item(sent, md5, &found)).collect();
    Ok(([NOT_STORED], Json(Statuses { items })))
}

/// What of a status is told, and what is known of the models while it is.
struct View<'a> {
    queues: &'a Queues,
    /// Unknown while PostgreSQL is away; then nothing is said of why a job waits.
    gates: Option<Gates>,
    models: Option<&'a [String]>,
    results: bool,
}

impl<'a> View<'a> {
    async fn now(queues: &'a Queues, models: Option<&'a [String]>, results: bool) -> Self {
        Self { queues, gates: queues.gates().await.ok(), models, results }
    }

    fn prediction(&self, md5: ContentMd5, status: ImageStatus) -> Prediction {
        let overall = status::overall(&status, self.models);
        let named = |model: &String| self.models.is_none_or(|models| models.contains(model));
        let results = status.results.into_iter().filter(|(model, _)| self.results && named(model));
        let jobs = status.jobs.into_iter().filter(|(model, _)| named(model));
        let told = |(model, job): (String, JobView)| {
            let job = self.told(&model, job);
            (model, job)
        };
        Prediction {
            md5: md5.to_string(),
            status: overall,
            done: overall.done(),
            results: results.map(|(model, result)| (model, result.json)).collect(),
            jobs: jobs.map(told).collect(),
        }
    }

    /// A job as it was written, and why it waits if it does.
    fn told(&self, model: &str, job: JobView) -> Box<RawValue> {
        if job.state != JobState::Queued {
            return job.json;
        }
        let with_reason = job.read().and_then(|mut job| {
            job.waiting = self.queues.waiting(self.gates.as_ref(), model, &job);
            to_raw_value(&job)
        });
        with_reason.unwrap_or(job.json)
    }

    fn item(&self, sent: &str, md5: Result<ContentMd5, Fault>, found: &HashMap<ContentMd5, ImageStatus>) -> StatusItem {
        let status = |md5| found.get(&md5).ok_or_else(|| Fault::not_found("image"));
        match md5.and_then(|md5| Ok(self.prediction(md5, status(md5)?.clone()))) {
            Ok(told) => StatusItem {
                md5: told.md5,
                status: Some(told.status),
                done: Some(told.done),
                results: told.results,
                jobs: told.jobs,
                problem: None,
            },
            Err(fault) => StatusItem {
                md5: shorten(sent).to_lowercase(),
                status: None,
                done: None,
                results: BTreeMap::new(),
                jobs: BTreeMap::new(),
                problem: Some(fault.into()),
            },
        }
    }
}
