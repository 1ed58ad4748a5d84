//! Jobs with their history, and the acts on them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::domain::history::{Attempt, Event};
use crate::domain::job::{JobState, JobStatus};

/// Which jobs.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct JobsQuery {
    /// Of this model.
    pub model: Option<String>,
    /// In this state.
    pub state: Option<JobState>,
    /// Of this image.
    pub md5: Option<String>,
    /// Of this submission.
    pub submission: Option<Uuid>,
    /// The most items, 1 to 500; 100 when left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// A job.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "state": "succeeded", "reason": null, "waiting": null, "attempt": 1, "max_attempts": 5,
    "progress": null, "created_at": "2026-11-22T09:00:00Z", "started_at": "2026-11-22T09:00:00Z", "run_at": null, "finished_at": "2026-11-22T09:00:01Z",
    "error": null, "model": "face_detect", "dataset": null, "md5": "9e107d9d372bb6826bd81d3542a419d6", "params": {}, "priority": 0, "finish_by": "2026-12-22T09:00:00Z",
    "lease_no": 1, "deaths": 0, "worker": "019aac9e-4e00-7a00-9000-000000000001", "version": "haar-1", "duration_s": 0.16, "retry_of": null}))]
pub struct JobDetail {
    #[serde(flatten)]
    pub job: JobStatus,
    /// Null of a training run.
    pub model: Option<String>,
    /// Of a training run.
    pub dataset: Option<String>,
    /// Null for those who see it only as owner of the model, and of a training run.
    pub md5: Option<String>,
    #[schema(value_type = Object)]
    pub params: Value,
    pub priority: i16,
    pub finish_by: DateTime<Utc>,
    /// How often it was claimed.
    pub lease_no: i64,
    /// How often its worker died.
    pub deaths: i16,
    pub worker: Option<Uuid>,
    pub version: Option<String>,
    /// How long the model worked, as the worker says.
    pub duration_s: Option<f32>,
    pub retry_of: Option<Uuid>,
}

/// A job with its tries and its history.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "state": "succeeded", "model": "face_detect", "attempts": [], "events": [
    {"id": "20261122090000000000-019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f-0000000001", "at": "2026-11-22T09:00:00Z", "code": "created", "lease_no": null, "attempt": null, "worker": null, "reason": null}]}))]
pub struct JobHistory {
    #[serde(flatten)]
    pub job: JobDetail,
    pub attempts: Vec<Attempt>,
    pub events: Vec<Event>,
}

/// A job's state after an act.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "state": "cancelled"}))]
pub struct JobStateOut {
    pub id: Uuid,
    pub state: JobState,
}

/// How an ended job is tried again.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"fresh": false}))]
pub struct Retry {
    /// Of a training run: begin from the start, not from its last checkpoint.
    pub fresh: Option<bool>,
}

/// The job that was made.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-5000-7d00-8a11-0c5a2b7f0a5f", "retry_of": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f"}))]
pub struct Retried {
    /// The new job, or the live one of the same image, model and params.
    pub id: Uuid,
    pub retry_of: Uuid,
}

/// Which ended jobs to try again.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"model": "face_detect", "state": "failed", "reason": "exhausted", "dry_run": true}))]
pub struct Redrive {
    pub model: Option<String>,
    /// Only what ended without success is tried again.
    #[schema(value_type = String, pattern = "^(failed|cancelled)$")]
    pub state: JobState,
    /// Of failed jobs.
    #[schema(pattern = "^(rejected|exhausted|poisoned|expired)$")]
    pub reason: Option<String>,
    pub submission: Option<Uuid>,
    /// True when left out: only say which jobs it would be.
    pub dry_run: Option<bool>,
    /// `next_cursor` of the redrive before.
    pub cursor: Option<String>,
}

/// What a redrive found and made.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"dry_run": true, "matched": 1, "items": [{"id": null, "retry_of": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f"}],
    "next_cursor": null}))]
pub struct Redriven {
    pub dry_run: bool,
    pub matched: usize,
    pub items: Vec<RedrivenJob>,
    /// Where the next one goes on; null when all were looked at.
    pub next_cursor: Option<String>,
}

/// One ended job and what became of it.
#[derive(Serialize, ToSchema)]
pub struct RedrivenJob {
    /// The new job; null in a dry run.
    pub id: Option<Uuid>,
    pub retry_of: Uuid,
}
