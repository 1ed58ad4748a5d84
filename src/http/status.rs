//! Look-ups: ask what happened to images.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderName, header};
use axum::response::{IntoResponse, Response};
use serde_json::value::{RawValue, to_raw_value};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AnyUser;
use super::budget;
use super::extract::{self, Batch, Json, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::status::{HASHES_MAX, LookupQuery, Prediction, StatusItem, StatusRequest, Statuses};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobState, JobView};
use crate::domain::name::shorten;
use crate::service::Error;
use crate::service::accounts::User;
use crate::service::queues::{Gates, Queues};
use crate::service::status::{self, Lookups};

/// What happened to an image may have changed by the next time.
const NOT_STORED: (HeaderName, &str) = (header::CACHE_CONTROL, "no-store");
const JSON: (HeaderName, &str) = (header::CONTENT_TYPE, "application/json");

/// How many hashes are looked up at once when their results are wanted: these are in memory together.
const RESULTS_AT_ONCE: usize = 20;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(get_prediction)).routes(routes!(list_statuses))
}

/// Asks what happened to an image
///
/// By the MD5 of its bytes, of either case. For members of a case that holds the image, and administrators; to others the image does not exist.
#[utoipa::path(get, path = "/predict/{md5}", tag = "predict", security(("user" = []), ("token" = [])),
    params(("md5" = String, Path, example = "9e107d9d372bb6826bd81d3542a419d6"), LookupQuery),
    responses((status = 200, body = Prediction)))]
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
        return Ok(([NOT_STORED, JSON], budget::answer(answer.into_bytes())?).into_response());
    }
    budget::hold_lookup(wait).await?;
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
/// Up to 1,000 hashes; a bad or unknown one has its problem in its place, and so has one whose results have no room in the answer
/// (`answer_too_large`): ask for those again.
#[utoipa::path(post, path = "/predict/status", tag = "predict", security(("user" = []), ("token" = [])), request_body = StatusRequest,
    responses((status = 200, body = Statuses)))]
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
    if results {
        // Before anything is read: so much may come of it.
        let most = ask.images.len().saturating_mul(state.ctx.limits.result_bytes_max);
        budget::hold_bytes(most.min(budget::ANSWER_BYTES_MAX)).await?;
    }
    let asked: Vec<AskedHash> = ask.images.iter().enumerate().map(|(place, sent)| hash(place, sent)).collect();
    let view = View::now(&state.queues, None, results).await;
    let mut answer = StatusesText::begin();
    for some in asked.chunks(if results { RESULTS_AT_ONCE } else { HASHES_MAX }) {
        let found = if answer.is_full() { None } else { Some(look(&state.lookups, &user, some, results).await?) };
        for (sent, md5) in some {
            let of = |md5| match &found {
                Some(found) => found.get(&md5).cloned().unwrap_or_else(|| Err(Fault::not_found("image"))),
                None => Err(no_room()),
            };
            let status = md5.clone().and_then(|md5| Ok((md5, of(md5)?)));
            answer.add(sent, view.item(sent, status));
        }
    }
    Ok(([NOT_STORED, JSON], budget::answer(answer.end())?))
}

/// What is asked after as it was sent, and the hash that it is.
type AskedHash = (String, Result<ContentMd5, Fault>);

fn hash(place: usize, sent: &RawValue) -> AskedHash {
    let pointer = format!("/images/{place}");
    match serde_json::from_str::<String>(sent.get()) {
        Ok(text) => {
            let md5 = extract::md5(&text, "body", pointer);
            (text, md5)
        }
        Err(_) => {
            let detail = format!("{} is no MD5: it is not even a string.", shorten(sent.get()));
            (sent.get().to_owned(), Err(Fault::new(Code::InvalidHash, detail).at("body", pointer)))
        }
    }
}

/// Statuses by key; in place of one whose results are too large by themselves, that they are.
type LookedAt = HashMap<ContentMd5, Result<ImageStatus, Fault>>;

/// The statuses of some of the hashes of a request.
async fn look(lookups: &Lookups, user: &User, some: &[AskedHash], results: bool) -> Result<LookedAt, Error> {
    let distinct: BTreeSet<ContentMd5> = some.iter().filter_map(|(_, md5)| md5.as_ref().ok()).copied().collect();
    let distinct: Vec<ContentMd5> = distinct.into_iter().collect();
    let mut found = LookedAt::new();
    match lookups.find(user, &distinct, results).await {
        Err(error) if status::is_too_large(&error) => {}
        all => {
            found.extend(all?.into_iter().map(|(md5, status)| (md5, Ok(status))));
            return Ok(found);
        }
    }
    for md5 in distinct {
        match lookups.find(user, &[md5], results).await {
            Err(Error::Fault(fault)) => drop(found.insert(md5, Err(fault))),
            one => found.extend(one?.into_iter().map(|(md5, status)| (md5, Ok(status)))),
        }
    }
    Ok(found)
}

fn no_room() -> Fault {
    let mend = "Ask for it again, together with the others that had no room in this answer.";
    Fault::new(Code::AnswerTooLarge, "The answer is full.").mend(mend)
}

/// The answer as text, written item by item: of whatever is asked twice, no more than the text is kept twice.
struct StatusesText(Vec<u8>);

impl StatusesText {
    /// Room for the problem of every item that has none for more.
    const PROBLEMS_BYTES: usize = HASHES_MAX * 1024;
    const ITEMS_BYTES: usize = budget::ANSWER_BYTES_MAX - Self::PROBLEMS_BYTES;

    fn begin() -> Self {
        Self(b"{\"items\":[".to_vec())
    }

    /// Whether there is hardly room for more. Until then each item has its chance, or one large one would stand before all
    /// others for ever.
    fn is_full(&self) -> bool {
        self.0.len() > Self::ITEMS_BYTES / 4 * 3
    }

    fn add(&mut self, sent: &str, item: StatusItem) {
        let mut text = serde_json::to_vec(&item).unwrap_or_default();
        if item.problem.is_none() && self.0.len() + text.len() > Self::ITEMS_BYTES {
            text = serde_json::to_vec(&refused(sent, no_room())).unwrap_or_default();
        }
        if !self.0.ends_with(b"[") {
            self.0.push(b',');
        }
        self.0.append(&mut text);
    }

    fn end(mut self) -> Vec<u8> {
        self.0.extend(b"]}");
        self.0
    }
}

fn refused(sent: &str, fault: Fault) -> StatusItem {
    StatusItem {
        md5: shorten(sent).to_lowercase(),
        status: None,
        done: None,
        results: BTreeMap::new(),
        jobs: BTreeMap::new(),
        problem: Some(fault.into()),
    }
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

    fn item(&self, sent: &str, status: Result<(ContentMd5, ImageStatus), Fault>) -> StatusItem {
        match status {
            Ok((md5, status)) => {
                let told = self.prediction(md5, status);
                StatusItem {
                    md5: told.md5,
                    status: Some(told.status),
                    done: Some(told.done),
                    results: told.results,
                    jobs: told.jobs,
                    problem: None,
                }
            }
            Err(fault) => refused(sent, fault),
        }
    }
}
