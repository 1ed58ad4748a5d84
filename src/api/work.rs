//! Claims, and what became of claimed jobs.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::problem::Problem;
use super::training::CheckpointOut;
use super::{object, objects};
use crate::domain::job::Outcome;

/// The most jobs that one claim takes, one completion ends, or one beat lists.
pub const BATCH_MAX: usize = 1000;

/// What a worker asks for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "claim_id": "7a1d2c5e-3b0f-4f6a-9c58-4e2a1b3c5d7f", "max": 8, "wait_s": 25, "min": 1, "linger_s": 0}))]
pub struct ClaimRequest {
    pub worker: Uuid,
    /// A new UUID for every claim; the same again repeats it, as after a lost answer.
    pub claim_id: Uuid,
    /// At most this many jobs; 1 when left out.
    #[schema(minimum = 1, maximum = 1000)]
    pub max: Option<usize>,
    /// Wait up to this many seconds (at most 50) for the first.
    #[schema(minimum = 0, maximum = 50)]
    pub wait_s: Option<f64>,
    /// With `linger_s`: wait for this many.
    #[schema(minimum = 1, maximum = 1000)]
    pub min: Option<usize>,
    /// How long to wait for `min` once there is one, at most 10 s.
    #[schema(minimum = 0, maximum = 10)]
    pub linger_s: Option<f64>,
}

/// Work.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"claim_id": "7a1d2c5e-3b0f-4f6a-9c58-4e2a1b3c5d7f", "drain": false, "jobs": [{"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "lease_no": 1,
    "attempt": 1, "max_attempts": 5, "solo": false, "lease_s": 30.0, "deadline_s": 600.0, "model": "face_detect", "params": {}, "traceparent": null,
    "image": {"md5": "9e107d9d372bb6826bd81d3542a419d6", "sha256": "d7a8…", "media_type": "image/jpeg", "bytes": 4194304, "width": 4032, "height": 3024,
        "orientation": null, "url": "/images/9e107d9d372bb6826bd81d3542a419d6/content"}, "dataset": null, "run": null}]}))]
pub struct ClaimOut {
    pub claim_id: Uuid,
    /// Take no more jobs.
    pub drain: bool,
    /// Empty when there was nothing to do.
    pub jobs: Vec<ClaimedJob>,
}

/// A claimed job.
#[derive(Serialize, ToSchema)]
pub struct ClaimedJob {
    pub id: Uuid,
    /// Send it back with whatever becomes of the job.
    pub lease_no: i64,
    pub attempt: i16,
    pub max_attempts: i16,
    /// It may have killed a worker: it comes alone, and nothing else comes before it has ended.
    pub solo: bool,
    pub lease_s: f64,
    /// Seconds left for this attempt.
    pub deadline_s: f64,
    /// Null of a training run.
    #[schema(value_type = Option<String>)]
    pub model: Option<Arc<str>>,
    #[schema(value_type = Object)]
    pub params: Arc<RawValue>,
    pub traceparent: Option<String>,
    /// Null of a training run.
    pub image: Option<JobImage>,
    /// Of a training run.
    pub dataset: Option<String>,
    /// Of a training run: where it reports to.
    pub run: Option<ClaimedRun>,
}

/// Where the worker of a training run reports to, relative to the server; send the key to this host only.
#[derive(Serialize, ToSchema)]
pub struct ClaimedRun {
    pub metrics_url: String,
    pub checkpoint_url: String,
    pub model_url: String,
    /// From which it goes on, if there is one.
    pub checkpoint: Option<CheckpointOut>,
    /// The largest checkpoint or model.
    pub artifact_bytes_max: u64,
}

/// The image of a claimed job.
#[derive(Serialize, ToSchema)]
#[schema(as = ClaimedImage)]
pub struct JobImage {
    pub md5: String,
    pub sha256: String,
    pub media_type: String,
    pub bytes: i64,
    pub width: i32,
    pub height: i32,
    pub orientation: Option<i16>,
    /// Relative to the server; send the key to this host only.
    pub url: String,
}

/// What became of jobs.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "items": [
    {"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "lease_no": 1, "outcome": "succeeded", "duration_s": 0.16,
     "result": {"items": [{"type": "box", "box": [0.35, 0.14, 0.53, 0.33], "label": "face"}], "fields": {"faces": 1}, "summary": "1 face"}}]}))]
pub struct CompleteRequest {
    pub worker: Uuid,
    /// At most 1,000; of several for one job the first counts.
    #[serde(deserialize_with = "objects::<BATCH_MAX, _, _>")]
    #[schema(max_items = 1000)]
    pub items: Vec<CompleteItem>,
    /// Claim the next jobs in the same call; it never waits.
    #[serde(default, deserialize_with = "object")]
    pub claim: Option<NextClaim>,
}

/// What became of one job.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompleteItem {
    pub id: Uuid,
    pub lease_no: i64,
    pub outcome: Outcome,
    /// With `succeeded`: `{"items": […], "fields": {…}, "summary": null}`; other JSON is kept under `fields.value`. The schema `ResultItem`
    /// describes the items. One that does not hold is answered 422 `invalid_result` with its place, and ends the job as `rejected`. Of a training
    /// run any JSON, kept as it is.
    #[schema(value_type = Value, required = false)]
    pub result: Option<Box<RawValue>>,
    /// How long the model worked.
    pub duration_s: Option<f64>,
    /// With `retry`: not before this many seconds.
    pub retry_after_s: Option<f64>,
    /// With `retry` and `rejected`.
    #[serde(default, deserialize_with = "object")]
    pub error: Option<ItemError>,
}

/// What went wrong in the model.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ItemError {
    #[serde(rename = "type")]
    pub kind: Option<String>,
    pub message: Option<String>,
    pub traceback: Option<String>,
}

/// The next claim.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NextClaim {
    pub claim_id: Uuid,
    #[schema(minimum = 1, maximum = 1000)]
    pub max: Option<usize>,
}

/// What became of the items, in their order.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"items": [{"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "status": 200, "state": "succeeded", "repeat": false, "problem": null}], "claimed": null}))]
pub struct CompleteOut {
    pub items: Vec<ItemOut>,
    pub claimed: Option<ClaimOut>,
}

/// What became of one item.
#[derive(Serialize, ToSchema)]
pub struct ItemOut {
    pub id: Uuid,
    /// As an HTTP status: 200, or the problem's.
    pub status: u16,
    /// The job's state after it.
    pub state: Option<String>,
    /// It had been accepted before; nothing changed now.
    pub repeat: bool,
    pub problem: Option<Problem>,
}

/// Jobs to give back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "items": [{"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "lease_no": 1}]}))]
pub struct ReleaseRequest {
    pub worker: Uuid,
    #[serde(deserialize_with = "objects::<BATCH_MAX, _, _>")]
    #[schema(max_items = 1000)]
    pub items: Vec<ReleaseItem>,
}

/// One job to give back.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseItem {
    pub id: Uuid,
    pub lease_no: i64,
}
