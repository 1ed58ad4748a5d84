//! Work: claim, complete, release.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::AppState;
use super::auth::PredictService;
use super::extract::{self, Json};
use super::problem::{Answer, Problems};
use crate::api::work::{
    BATCH_MAX, ClaimOut, ClaimRequest, ClaimedJob, CompleteItem, CompleteOut, CompleteRequest, ItemOut, JobImage,
    NextClaim, ReleaseRequest,
};
use crate::domain::fault::Fault;
<<<<<<< HEAD
use crate::domain::job::Outcome;
use crate::service::work::{self, Claim, Done, Item};
=======
use crate::service::Ctx;
use crate::service::work::{self, Claim, Done, Item};
use crate::store::keys::ApiKey;
>>>>>>> a0c5da5
use crate::store::work::Claimed;

/// The largest completion, in bytes: many results at once.
const COMPLETE_BYTES_MAX: usize = 64 * 1024 * 1024;

pub fn router() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(complete_jobs))
        .layer(DefaultBodyLimit::max(COMPLETE_BYTES_MAX))
        .routes(routes!(claim_jobs))
        .routes(routes!(release_jobs))
}

<<<<<<< HEAD
/// What a worker asks for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "claim_id": "7a1d2c5e-3b0f-4f6a-9c58-4e2a1b3c5d7f", "max": 8, "wait_s": 25, "min": 1, "linger_s": 0}))]
struct ClaimRequest {
    worker: Uuid,
    /// A new UUID for every claim; the same again repeats it, as after a lost answer.
    claim_id: Uuid,
    /// At most this many jobs, 1…1000.
    max: Option<usize>,
    /// Wait up to this many seconds (at most 50) for the first.
    wait_s: Option<f64>,
    /// With `linger_s`: wait for this many.
    min: Option<usize>,
    /// How long to wait for `min` once there is one, at most 10 s.
    linger_s: Option<f64>,
}

/// Work.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"claim_id": "7a1d2c5e-3b0f-4f6a-9c58-4e2a1b3c5d7f", "drain": false, "jobs": [{"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "lease_no": 1,
    "attempt": 1, "max_attempts": 5, "solo": false, "lease_s": 30.0, "deadline_s": 600.0, "model": "face_detect", "params": {}, "traceparent": null,
    "image": {"md5": "9e107d9d372bb6826bd81d3542a419d6", "sha256": "d7a8…", "media_type": "image/jpeg", "bytes": 4194304, "width": 4032, "height": 3024,
        "orientation": null, "url": "/images/9e107d9d372bb6826bd81d3542a419d6/content"}}]}))]
struct ClaimOut {
    claim_id: Uuid,
    /// Take no more jobs.
    drain: bool,
    /// Empty when there was nothing to do.
    jobs: Vec<ClaimedJob>,
}

/// A claimed job.
#[derive(Serialize, ToSchema)]
struct ClaimedJob {
    id: Uuid,
    /// Send it back with whatever becomes of the job.
    lease_no: i64,
    attempt: i16,
    max_attempts: i16,
    /// It may have killed a worker: it comes alone, and nothing else comes before it has ended.
    solo: bool,
    lease_s: f64,
    /// Seconds left for this attempt.
    deadline_s: f64,
    model: String,
    #[schema(value_type = Object)]
    params: Value,
    traceparent: Option<String>,
    image: ClaimedImage,
}

/// The image of a claimed job.
#[derive(Serialize, ToSchema)]
struct ClaimedImage {
    md5: String,
    sha256: String,
    media_type: String,
    bytes: i64,
    width: i32,
    height: i32,
    orientation: Option<i16>,
    /// Relative to the server; send the key to this host only.
    url: String,
}

fn claim_out(claim_id: Uuid, answer: work::Answer, lease_s: f64) -> ClaimOut {
    let job = |c: Claimed| ClaimedJob {
        id: c.moved.status.id,
        lease_no: c.moved.lease_no,
        attempt: c.moved.status.attempt,
        max_attempts: c.moved.status.max_attempts,
        solo: c.solo,
        lease_s,
        deadline_s: c.deadline_s,
        model: c.moved.model,
        params: c.params,
        traceparent: None,
        image: ClaimedImage {
            url: format!("/images/{}/content", c.image.md5),
            md5: c.image.md5.to_string(),
            sha256: hex::encode(c.image.sha256),
            media_type: c.image.media_type,
            bytes: c.image.bytes,
            width: c.image.width,
            height: c.image.height,
            orientation: c.image.orientation,
        },
    };
    ClaimOut { claim_id, drain: answer.drain, jobs: answer.jobs.into_iter().map(job).collect() }
}

fn batch(field: &str, count: usize, least: usize) -> Result<usize, Fault> {
    if (least..=BATCH_MAX).contains(&count) {
        return Ok(count);
    }
    Err(Fault::invalid("body", format!("/{field}"), format!("{field} is {count}; it is from {least} to {BATCH_MAX}.")))
}

=======
>>>>>>> a0c5da5
/// Claims jobs
///
/// Waits up to `wait_s` for work; nothing to do is an empty list. The same `claim_id` again answers, under new leases, what that claim still holds.
#[utoipa::path(post, path = "/jobs/claim", tag = "work", security(("key" = []), ("token" = [])), request_body = ClaimRequest,
    responses((status = 200, body = ClaimOut), Problems))]
async fn claim_jobs(
    State(state): State<Arc<AppState>>,
    PredictService(key): PredictService,
    Json(ask): Json<ClaimRequest>,
) -> Answer<Json<ClaimOut>> {
    let linger_s = ask.linger_s.unwrap_or(0.0);
    if !(0.0..=10.0).contains(&linger_s) {
        return Err(Fault::invalid("body", "/linger_s", format!("linger_s is {linger_s}; it is from 0 to 10.")).into());
    }
    let claim = Claim {
        worker: ask.worker,
        claim_id: ask.claim_id,
        max: batch("max", ask.max.unwrap_or(1), 1)?,
        wait: extract::wait(ask.wait_s, "body")?,
        min: batch("min", ask.min.unwrap_or(1), 1)?,
        linger: Duration::from_secs_f64(linger_s),
    };
    let answer = work::claim(&state.ctx, &key, &claim).await?;
    Ok(Json(claim_out(ask.claim_id, answer, state.ctx.limits.lease_s)))
}

/// Completes jobs
///
/// Each item is answered alone. Only the holder of the lease ends a job; sending an accepted item again says `repeat`, and a lease that is not held says `stale_lease`.
#[utoipa::path(post, path = "/jobs/complete", tag = "work", security(("key" = []), ("token" = [])), request_body = CompleteRequest,
    responses((status = 200, body = CompleteOut), Problems))]
async fn complete_jobs(
    State(state): State<Arc<AppState>>,
    PredictService(key): PredictService,
    Json(body): Json<CompleteRequest>,
) -> Answer<Json<CompleteOut>> {
    batch("items", body.items.len(), 0)?;
    let next = body.claim.map(|c| next_claim(body.worker, &c)).transpose()?;
    let items = body.items.into_iter().map(item).collect();
    let done = work::complete(&state.ctx, &key, body.worker, items).await?;
    let claimed = match next {
        Some(ask) => Some(claim_after(&state.ctx, &key, &ask).await),
        None => None,
    };
    Ok(Json(CompleteOut { items: done.into_iter().map(ItemOut::from).collect(), claimed }))
}

fn next_claim(worker: Uuid, next: &NextClaim) -> Result<Claim, Fault> {
    let max = batch("claim/max", next.max.unwrap_or(1), 1)?;
    let (wait, linger) = (Duration::ZERO, Duration::ZERO);
    Ok(Claim { worker, claim_id: next.claim_id, max, wait, min: 1, linger })
}

/// The items are committed: nothing about the next claim may hide what became of them.
async fn claim_after(ctx: &Arc<Ctx>, key: &ApiKey, ask: &Claim) -> ClaimOut {
    let answer = work::claim(ctx, key, ask).await.unwrap_or_else(|error| {
        tracing::warn!(%error, worker = %ask.worker, "the claim after a completion failed");
        work::Answer::default()
    });
    claim_out(ask.claim_id, answer, ctx.limits.lease_s)
}

/// Gives jobs back
///
/// As on shutdown: it costs no attempt. Each item is answered alone, as in complete.
#[utoipa::path(post, path = "/jobs/release", tag = "work", security(("key" = []), ("token" = [])), request_body = ReleaseRequest,
    responses((status = 200, body = CompleteOut), Problems))]
async fn release_jobs(
    State(state): State<Arc<AppState>>,
    PredictService(key): PredictService,
    Json(body): Json<ReleaseRequest>,
) -> Answer<Json<CompleteOut>> {
    batch("items", body.items.len(), 0)?;
    let items: Vec<(Uuid, i64)> = body.items.iter().map(|i| (i.id, i.lease_no)).collect();
    let done = work::release(&state.ctx, &key, body.worker, &items).await?;
    Ok(Json(CompleteOut { items: done.into_iter().map(ItemOut::from).collect(), claimed: None }))
}

fn claim_out(claim_id: Uuid, answer: work::Answer, lease_s: f64) -> ClaimOut {
    let job = |c: Claimed| ClaimedJob {
        id: c.moved.status.id,
        lease_no: c.moved.lease_no,
        attempt: c.moved.status.attempt,
        max_attempts: c.moved.status.max_attempts,
        solo: c.solo,
        lease_s,
        deadline_s: c.deadline_s,
        model: c.moved.model,
        params: c.params,
        traceparent: None,
        image: JobImage {
            url: format!("/images/{}/content", c.image.md5),
            md5: c.image.md5.to_string(),
            sha256: hex::encode(c.image.sha256),
            media_type: c.image.media_type,
            bytes: c.image.bytes,
            width: c.image.width,
            height: c.image.height,
            orientation: c.image.orientation,
        },
    };
    ClaimOut { claim_id, drain: answer.drain, jobs: answer.jobs.into_iter().map(job).collect() }
}

fn batch(field: &str, count: usize, least: usize) -> Result<usize, Fault> {
    if (least..=BATCH_MAX).contains(&count) {
        return Ok(count);
    }
    Err(Fault::invalid("body", format!("/{field}"), format!("{field} is {count}; it is from {least} to {BATCH_MAX}.")))
}

impl From<Done> for ItemOut {
    fn from(done: Done) -> Self {
        match done.outcome {
            Ok(accepted) => {
                Self { id: done.id, status: 200, state: Some(accepted.state), repeat: accepted.repeat, problem: None }
            }
            Err(fault) => Self {
                id: done.id,
                status: fault.code.status(),
                state: None,
                repeat: false,
                problem: Some(fault.into()),
            },
        }
    }
}

<<<<<<< HEAD
/// Completes jobs
///
/// Each item is answered alone. Only the holder of the lease ends a job; sending an accepted item again says `repeat`, and a lease that is not held says `stale_lease`.
#[utoipa::path(post, path = "/jobs/complete", tag = "work", security(("key" = []), ("token" = [])), request_body = CompleteRequest,
    responses((status = 200, body = CompleteOut), Problems))]
async fn complete_jobs(
    State(state): State<Arc<AppState>>,
    PredictService(key): PredictService,
    Json(body): Json<CompleteRequest>,
) -> Answer<Json<CompleteOut>> {
    let ctx = &state.ctx;
    batch("items", body.items.len(), 0)?;
    let next =
        body.claim.map(|c| Ok::<_, Fault>((c.claim_id, batch("claim/max", c.max.unwrap_or(1), 1)?))).transpose()?;
    let items = body.items.into_iter().map(item).collect();
    let done = work::complete(ctx, &key, body.worker, items).await?;
    let claimed = match next {
        None => None,
        Some((claim_id, max)) => {
            let ask =
                Claim { worker: body.worker, claim_id, max, wait: Duration::ZERO, min: 1, linger: Duration::ZERO };
            // The items are committed: nothing about the next claim may hide what became of them.
            let answer = work::claim(ctx, &key, &ask).await.unwrap_or_else(|error| {
                tracing::warn!(%error, worker = %body.worker, "the claim after a completion failed");
                work::Answer::default()
            });
            Some(claim_out(claim_id, answer, ctx.limits.lease_s))
        }
    };
    Ok(Json(CompleteOut { items: done.into_iter().map(ItemOut::from).collect(), claimed }))
}

=======
>>>>>>> a0c5da5
fn item(item: CompleteItem) -> Item {
    let (error_type, error_message, traceback) =
        item.error.map_or((None, None, None), |e| (e.kind, e.message, e.traceback));
    Item {
        id: item.id,
        lease_no: item.lease_no,
        outcome: item.outcome,
        result: item.result,
        duration_s: item.duration_s,
        retry_after_s: item.retry_after_s,
        error_type,
        error_message,
        traceback,
    }
}
<<<<<<< HEAD

/// Jobs to give back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "items": [{"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "lease_no": 1}]}))]
struct ReleaseRequest {
    worker: Uuid,
    items: Vec<ReleaseItem>,
}

/// One job to give back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct ReleaseItem {
    id: Uuid,
    lease_no: i64,
}

/// Gives jobs back
///
/// As on shutdown: it costs no attempt. Each item is answered alone, as in complete.
#[utoipa::path(post, path = "/jobs/release", tag = "work", security(("key" = []), ("token" = [])), request_body = ReleaseRequest,
    responses((status = 200, body = CompleteOut), Problems))]
async fn release_jobs(
    State(state): State<Arc<AppState>>,
    PredictService(key): PredictService,
    Json(body): Json<ReleaseRequest>,
) -> Answer<Json<CompleteOut>> {
    batch("items", body.items.len(), 0)?;
    let items: Vec<(Uuid, i64)> = body.items.iter().map(|i| (i.id, i.lease_no)).collect();
    let done = work::release(&state.ctx, &key, body.worker, &items).await?;
    Ok(Json(CompleteOut { items: done.into_iter().map(ItemOut::from).collect(), claimed: None }))
}
=======
>>>>>>> a0c5da5
