//! Work: claim, complete, release.

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::Microservice;
use super::budget;
use super::extract::{self, Batch, BodyMax, Json};
use super::problem::{Answer, status};
use super::{AppState, Shared};
use crate::api::training::CheckpointOut;
use crate::api::work::{
    BATCH_MAX, ClaimOut, ClaimRequest, ClaimedJob, ClaimedRun, CompleteItem, CompleteOut, CompleteRequest, ItemOut,
    JobImage, NextClaim, ReleaseRequest,
};
use crate::domain::fault::Fault;
use crate::service::Limits;
use crate::service::work::{self, Claim, Done, GivenJob, Item, Matter};
use crate::store::images::KnownImage;
use crate::store::keys::ApiKey;
use crate::store::training::RunFile;

/// The largest completion, in bytes: many results at once, and what one account may have in flight by default.
const COMPLETE_BYTES_MAX: usize = 16 * 1024 * 1024;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(complete_jobs))
        .layer(Extension(BodyMax(COMPLETE_BYTES_MAX)))
        .routes(routes!(claim_jobs))
        .routes(routes!(release_jobs))
}

/// Claims jobs
///
/// Waits up to `wait_s` for work; nothing to do is an empty list. The same `claim_id` again answers, under new leases, what that claim still holds.
#[utoipa::path(post, path = "/jobs/claim", tag = "work", security(("key" = []), ("token" = [])), request_body = ClaimRequest,
    responses((status = 200, body = ClaimOut)))]
async fn claim_jobs(
    State(state): AppState,
    Microservice(key): Microservice,
    Json(ask): Json<ClaimRequest>,
) -> Answer<Json<ClaimOut>> {
    let linger_s = extract::within("body", "linger_s", ask.linger_s.unwrap_or(0.0), 0.0..=10.0)?;
    let claim = Claim {
        worker: ask.worker,
        claim_id: ask.claim_id,
        max: batch("max", ask.max.unwrap_or(1))?,
        wait: extract::wait(ask.wait_s, "body")?,
        min: batch("min", ask.min.unwrap_or(1))?,
        linger: Duration::from_secs_f64(linger_s),
    };
    budget::hold_claim(claim.wait).await?;
    let answer = state.claims.claim(&key, &claim).await?;
    Ok(Json(claim_out(ask.claim_id, answer, &state.ctx.limits)))
}

/// Completes jobs
///
/// Each item is answered alone. Only the holder of the lease ends a job; sending an accepted item again says `repeat`, and a lease that is not held says `stale_lease`.
#[utoipa::path(post, path = "/jobs/complete", tag = "work", security(("key" = []), ("token" = [])), request_body = CompleteRequest,
    responses((status = 200, body = CompleteOut)))]
async fn complete_jobs(
    State(state): AppState,
    Microservice(key): Microservice,
    Batch(body): Batch<CompleteRequest>,
) -> Answer<Json<CompleteOut>> {
    check_count(body.items.len())?;
    let next = body.claim.map(|c| next_claim(body.worker, &c)).transpose()?;
    let items = body.items.into_iter().map(item).collect();
    let done = state.completions.complete(&key, body.worker, items).await?;
    let claimed = match next {
        Some(ask) => Some(claim_after(&state, &key, &ask).await),
        None => None,
    };
    Ok(Json(CompleteOut { items: done.into_iter().map(ItemOut::from).collect(), claimed }))
}

fn next_claim(worker: Uuid, next: &NextClaim) -> Result<Claim, Fault> {
    let max = batch("claim/max", next.max.unwrap_or(1))?;
    let (wait, linger) = (Duration::ZERO, Duration::ZERO);
    Ok(Claim { worker, claim_id: next.claim_id, max, wait, min: 1, linger })
}

/// The items are committed: nothing about the next claim may hide what became of them.
async fn claim_after(state: &Shared, key: &ApiKey, ask: &Claim) -> ClaimOut {
    let answer = state.claims.claim(key, ask).await.unwrap_or_else(|error| {
        tracing::warn!(%error, worker = %ask.worker, "the claim after a completion failed");
        work::ClaimAnswer::default()
    });
    claim_out(ask.claim_id, answer, &state.ctx.limits)
}

/// Gives jobs back
///
/// As on shutdown: it costs no attempt. Each item is answered alone, as in complete.
#[utoipa::path(post, path = "/jobs/release", tag = "work", security(("key" = []), ("token" = [])), request_body = ReleaseRequest,
    responses((status = 200, body = CompleteOut)))]
async fn release_jobs(
    State(state): AppState,
    Microservice(key): Microservice,
    Json(body): Json<ReleaseRequest>,
) -> Answer<Json<CompleteOut>> {
    check_count(body.items.len())?;
    let items: Vec<(Uuid, i64)> = body.items.iter().map(|i| (i.id, i.lease_no)).collect();
    let done = work::release(&state.ctx, &state.workers, &key, body.worker, &items).await?;
    Ok(Json(CompleteOut { items: done.into_iter().map(ItemOut::from).collect(), claimed: None }))
}

fn claim_out(claim_id: Uuid, answer: work::ClaimAnswer, limits: &Limits) -> ClaimOut {
    let job = |GivenJob { job, path, max_attempts, params, matter }: GivenJob| {
        let (model, image, dataset, run) = match matter {
            Matter::Image(image) => (Some(path), Some(job_image(&image)), None, None),
            Matter::Run(checkpoint) => {
                let dataset = path.strip_prefix("dataset/").unwrap_or(&path).to_owned();
                (None, None, Some(dataset), Some(claimed_run(job.id, checkpoint, limits)))
            }
        };
        ClaimedJob {
            id: job.id,
            lease_no: job.lease_no.into(),
            attempt: job.attempt,
            max_attempts,
            solo: job.suspect,
            lease_s: limits.lease_s,
            deadline_s: job.deadline_s,
            model,
            params,
            traceparent: None,
            image,
            dataset,
            run,
        }
    };
    ClaimOut { claim_id, drain: answer.drain, jobs: answer.jobs.into_iter().map(job).collect() }
}

fn job_image(image: &KnownImage) -> JobImage {
    JobImage {
        url: format!("/images/{}/content", image.md5),
        md5: image.md5.to_string(),
        sha256: hex::encode(&image.sha256),
        media_type: image.media_type.clone(),
        bytes: image.bytes,
        width: image.width,
        height: image.height,
        orientation: image.orientation,
    }
}

fn claimed_run(id: Uuid, checkpoint: Option<RunFile>, limits: &Limits) -> ClaimedRun {
    let url = |what| format!("/training/results/{id}/{what}");
    ClaimedRun {
        metrics_url: url("metrics"),
        checkpoint_url: url("checkpoint"),
        model_url: url("model"),
        checkpoint: checkpoint.map(CheckpointOut::from),
        artifact_bytes_max: limits.artifact_bytes_max,
    }
}

fn check_count(items: usize) -> Result<(), Fault> {
    if items <= BATCH_MAX {
        return Ok(());
    }
    Err(Fault::invalid("body", "/items", format!("items has more than {BATCH_MAX} items.")))
}

fn batch(field: &str, count: usize) -> Result<usize, Fault> {
    extract::within("body", field, count, 1..=BATCH_MAX)
}

impl From<Done> for ItemOut {
    fn from(done: Done) -> Self {
        match done.outcome {
            Ok(accepted) => Self {
                id: done.id,
                status: 200,
                state: Some(accepted.state.as_str().to_owned()),
                repeat: accepted.repeat,
                problem: None,
            },
            Err(fault) => Self {
                id: done.id,
                status: status(fault.code),
                state: None,
                repeat: false,
                problem: Some(fault.within("body").into()),
            },
        }
    }
}

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
