//! Workers: registration, beats, leaving, and who is alive.

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::{AnyUser, Microservice};
use super::extract::{self, BodyMax, Json, NoQuery, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::page::Page;
use crate::api::work::BATCH_MAX;
use crate::api::workers::{BeatOut, BeatRequest, HeldJob, Register, Registered, UpdateWorker, WorkerOut, WorkersQuery};
use crate::domain::fault::{Code, Fault};
use crate::domain::json;
use crate::domain::judged_schema::JudgedSchema;
use crate::domain::key::Service;
use crate::domain::name::Name;
use crate::domain::schema::check_schema;
use crate::domain::text::{check_line, check_lines, is_control};
use crate::service::workers::{Listed, Registration, SignOfLife};
use crate::service::{Ctx, Error, keys};
use crate::store::workers::{Worker, list};

/// The largest registration, in bytes: thousands of labels. Lists of models tell all of it.
const REGISTER_BYTES_MAX: usize = 256 * 1024;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(register_worker))
        .layer(Extension(BodyMax(REGISTER_BYTES_MAX)))
        .routes(routes!(beat_worker))
        .routes(routes!(leave_worker, update_worker))
        .routes(routes!(list_workers))
}

/// Registers a microservice
///
/// 201 opens a session; 200 prolongs the live one of the same instance. After 410 `unknown_worker`, register again.
#[utoipa::path(post, path = "/workers/register", tag = "work", security(("key" = []), ("token" = [])), request_body = Register,
    responses((status = 201, body = Registered), (status = 200, body = Registered, description = "The session of this instance lives.")))]
async fn register_worker(
    State(state): AppState,
    Microservice(key): Microservice,
    Json(body): Json<Register>,
) -> Answer<impl IntoResponse> {
    keys::need_service(&key, body.service)?;
    let new = read(body)?;
    let (worker, opened) = state.workers.register(&key, &new).await?;
    let limits = &state.ctx.limits;
    let (model, dataset) = subject(new.service, new.name.to_string());
    let out = Registered {
        worker,
        service: new.service,
        model,
        dataset,
        version: new.version,
        heartbeat_s: limits.heartbeat_s,
        lease_s: limits.lease_s,
        max_result_bytes: limits.result_bytes_max,
    };
    Ok((if opened { StatusCode::CREATED } else { StatusCode::OK }, Json(out)))
}

/// A name as that of a model or of a dataset.
fn subject(service: Service, name: String) -> (Option<String>, Option<String>) {
    match service {
        Service::Predict => (Some(name), None),
        Service::Train => (None, Some(name)),
    }
}

/// The name of what the service is for, and of nothing else.
fn read_name(service: Service, model: Option<String>, dataset: Option<String>) -> Result<Name, Fault> {
    let (named, pointer, stray, misplaced) = match service {
        Service::Predict => (model, "/model", dataset, "/dataset"),
        Service::Train => (dataset, "/dataset", model, "/model"),
    };
    if stray.is_some() {
        let detail = format!("A service of type {} names no {}.", service.as_str(), &misplaced[1..]);
        return Err(Fault::invalid("body", misplaced, detail));
    }
    let needed = || format!("A service of type {} names its {}.", service.as_str(), &pointer[1..]);
    let name = named.ok_or_else(|| Fault::invalid("body", pointer, needed()))?;
    Name::parse(&name).map_err(|why| Fault::invalid("body", pointer, why))
}

fn read(body: Register) -> Result<Registration, Fault> {
    let name = read_name(body.service, body.model, body.dataset)?;
    short("version", Some(&body.version), 100)?;
    short("host", body.host.as_deref(), 200)?;
    short("sdk", body.sdk.as_deref(), 200)?;
    if let Some(description) = &body.description {
        check_lines(description).map_err(|fault| fault.at("body", "/description"))?;
        most("description", description, 2000)?;
    }
    if body.version.is_empty() {
        return Err(Fault::invalid("body", "/version", "The version is empty; results are kept by it."));
    }
    for (field, list) in [("tags", &body.tags), ("labels", &body.labels)] {
        let list = list.as_deref().unwrap_or_default();
        if list.len() > WORDS_MAX {
            return Err(Fault::invalid("body", format!("/{field}"), format!("{field} has at most {WORDS_MAX} items.")));
        }
        list.iter().enumerate().try_for_each(|(n, word)| short(&format!("{field}/{n}"), Some(word), 200))?;
    }
    Ok(Registration {
        service: body.service,
        name,
        version: body.version,
        instance: body.instance,
        description: body.description,
        tags: body.tags,
        labels: body.labels,
        batch_max: extract::within("body", "batch_max", body.batch_max.unwrap_or(1), 1..=BATCH_MAX as i32)?,
        params_schema: body.params_schema.map(|schema| read_params_schema(body.service, &schema)).transpose()?,
        result_schema: body.result_schema.map(|schema| read_result_schema(&schema)).transpose()?,
        host: body.host,
        sdk: body.sdk,
    })
}

/// The most tags or labels of a model.
const WORDS_MAX: usize = 10_000;

fn short(field: &str, line: Option<&str>, most_chars: usize) -> Result<(), Fault> {
    let Some(line) = line else { return Ok(()) };
    check_line(line).map_err(|fault| fault.at("body", format!("/{field}")))?;
    most(field, line, most_chars)
}

fn most(field: &str, text: &str, chars: usize) -> Result<(), Fault> {
    if text.chars().count() <= chars {
        return Ok(());
    }
    Err(Fault::invalid("body", format!("/{field}"), format!("{field} has at most {chars} characters.")))
}

fn read_schema(pointer: &str, schema: &RawValue) -> Result<Value, Fault> {
    let read = || {
        let schema = json::parse(schema.get()).map_err(|fault| fault.on(""))?;
        check_schema(&schema)?;
        Ok(schema)
    };
    read().map_err(|fault: Fault| fault.under(pointer).within("body"))
}

/// One that results can be judged by.
fn read_result_schema(schema: &RawValue) -> Result<Value, Fault> {
    let pointer = "/result_schema";
    let schema = read_schema(pointer, schema)?;
    JudgedSchema::for_results(schema.clone()).map_err(|fault| fault.under(pointer).within("body"))?;
    Ok(schema)
}

/// One that the parameters of runs can be judged by; those of predictions are judged by their worker.
fn read_params_schema(service: Service, schema: &RawValue) -> Result<Value, Fault> {
    let pointer = "/params_schema";
    let schema = read_schema(pointer, schema)?;
    if service == Service::Train {
        JudgedSchema::for_params(schema.clone()).map_err(|fault| fault.under(pointer).within("body"))?;
    }
    Ok(schema)
}

/// Takes a worker's beat
///
/// Lists all that the worker holds; the answer names what it holds no more. A session given up answers 410.
#[utoipa::path(post, path = "/workers/{id}/heartbeat", tag = "work", security(("key" = []), ("token" = [])), params(("id" = Uuid, Path)),
    request_body = BeatRequest, responses((status = 200, body = BeatOut)))]
async fn beat_worker(
    State(state): AppState,
    Microservice(key): Microservice,
    Path(id): Path<Uuid>,
    Json(beat): Json<BeatRequest>,
) -> Answer<Json<BeatOut>> {
    if beat.jobs.len() > BATCH_MAX {
        let detail = format!("More than {BATCH_MAX} jobs; a worker holds no more.");
        return Err(Fault::new(Code::TooLarge, detail).at("body", "/jobs").into());
    }
    let sign = SignOfLife {
        draining: beat.draining.unwrap_or(false),
        trouble: beat.trouble.map(seen_lines).filter(|trouble| !trouble.is_empty()),
        listed: beat.jobs.into_iter().map(held).collect(),
    };
    let beaten = state.workers.beat(&key, id, sign).await?;
    let limits = &state.ctx.limits;
    Ok(Json(BeatOut { next_s: limits.heartbeat_s, lease_s: limits.lease_s, drain: beaten.drain, stop: beaten.stop }))
}

/// The most of a worker's trouble kept, in characters.
const TROUBLE_CHARS: usize = 2_000;

/// What of a text in lines can be seen, as much of it as is kept.
fn seen_lines(text: String) -> String {
    text.chars().filter(|c| matches!(c, '\n' | '\t') || !is_control(*c)).take(TROUBLE_CHARS).collect()
}

fn held(job: HeldJob) -> Listed {
    Listed {
        id: job.id,
        lease_no: job.lease_no,
        progress: job.progress.filter(|p| (0.0..=1.0).contains(p)),
        note: job.note.map(|note| note.chars().filter(|c| !is_control(*c)).take(500).collect()),
    }
}

/// Ends a session
///
/// What it still holds goes back to the queue at no cost.
#[utoipa::path(delete, path = "/workers/{id}", tag = "work", security(("key" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 204)))]
async fn leave_worker(
    State(state): AppState,
    Microservice(key): Microservice,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<StatusCode> {
    state.workers.leave(&key, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Lists workers
///
/// Who is alive, what they hold, their last beat and version. Newest first.
#[utoipa::path(get, path = "/workers", tag = "work", security(("user" = []), ("token" = [])), params(WorkersQuery),
    responses((status = 200, body = Page<WorkerOut>)))]
async fn list_workers(
    State(state): AppState,
    _: AnyUser,
    Query(query): Query<WorkersQuery>,
) -> Answer<Json<Page<WorkerOut>>> {
    let limit = extract::limit(query.limit)?;
    let before: Option<Uuid> = extract::read_cursor("workers", query.cursor.as_deref())?;
    if let Some(model) = &query.model {
        json::check_text(model)?;
    }
    Ok(Json(page(&state.ctx, query.model.as_deref(), before, limit).await?))
}

/// A page of the list.
pub(super) async fn page(
    ctx: &Ctx,
    model: Option<&str>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Page<WorkerOut>, Error> {
    let found = ctx.db.run(async |db| list(db, model, before, limit).await).await?;
    Ok(extract::page("workers", found, limit, |worker| worker.id))
}

/// Asks a worker to take no more jobs
///
/// It is given nothing new from then on, and its next beat or claim tells it `drain`; what it holds it finishes. For administrators and
/// the owner of its key.
#[utoipa::path(patch, path = "/workers/{id}", tag = "work", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    request_body = UpdateWorker, responses((status = 200, body = WorkerOut)))]
async fn update_worker(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path(id): Path<Uuid>,
    Json(body): Json<UpdateWorker>,
) -> Answer<Json<WorkerOut>> {
    Ok(Json(state.workers.ask_to_drain(&user, id, body.draining).await?.into()))
}

impl From<Worker> for WorkerOut {
    fn from(w: Worker) -> Self {
        let (model, dataset) = subject(w.service, w.name);
        Self {
            worker: w.id,
            service: w.service,
            model,
            dataset,
            version: w.version,
            instance: w.instance,
            host: w.host,
            sdk: w.sdk,
            batch_max: w.batch_max,
            running: w.running,
            draining: w.draining,
            trouble: w.trouble,
            alive: w.alive,
            owner: w.owner_name,
            registered_at: w.registered_at,
            beat_at: w.beat_at,
        }
    }
}
