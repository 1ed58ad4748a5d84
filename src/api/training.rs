//! Training runs: what is asked for, what they measure, what they bring.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::models::queue_change;
use super::objects;
use crate::domain::job::{JobError, JobState};
use crate::domain::ruling::RetryPolicy;

/// The most epochs of one report.
pub const POINTS_AT_ONCE_MAX: usize = 1_000;

/// A dataset that services train on.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"dataset": "digits", "description": "1,797 digits of 8 × 8 pixels", "owner": "rosa", "tags": ["digits"],
    "params_schema": {"type": "object", "properties": {"epochs": {"type": "integer", "default": 20}}, "additionalProperties": false},
    "version": "2f1c9e", "workers": 1, "queued": 0, "running": 1, "paused": false,
    "retry": {"max_attempts": 5, "backoff_base_s": 5.0, "backoff_cap_s": 600.0, "retry_budget_s": null, "deadline_s": 86400.0}, "retired_at": null}))]
pub struct DatasetOut {
    pub dataset: String,
    pub description: String,
    /// Whose key registered it first.
    pub owner: Option<String>,
    pub tags: Vec<String>,
    /// The JSON Schema that parameters are checked against.
    #[schema(value_type = Option<Object>)]
    pub params_schema: Option<Value>,
    /// Of the service that registered last.
    pub version: String,
    /// Live services.
    pub workers: i64,
    pub queued: i64,
    pub running: i64,
    /// A paused dataset hands out no runs.
    pub paused: bool,
    pub retry: RetryPolicy,
    pub retired_at: Option<DateTime<Utc>>,
}

queue_change! {
    /// A change of a dataset; what is left out stays.
    UpdateDataset {
        /// A paused dataset hands out no runs; the one that runs goes on.
        pub paused: Option<bool>,
        /// True: takes no more runs, and cancels those that are queued. False brings it back.
        pub retired: Option<bool>,
    }
}

/// How a run is described: every member but the first four is a parameter, and reaches the service.
#[derive(ToSchema)]
#[schema(example = json!({"dataset": "digits", "model": "mlp", "loss": "cross_entropy", "optimizer": "adam", "learning_rate": [0.1, 0.01],
    "epochs": 20, "seed": 123, "split": 0.25, "batch_size": 64, "save": true}))]
#[expect(dead_code, reason = "it only describes")]
pub struct TrainParameters {
    #[schema(pattern = "^[a-z0-9][a-z0-9_.-]{0,63}$")]
    dataset: String,
    /// A UUID of yours: makes the request safe to repeat.
    #[schema(required = false)]
    submission: Option<Uuid>,
    /// −100…100; higher is sooner.
    #[schema(required = false, minimum = -100, maximum = 100)]
    priority: Option<i16>,
    /// Refuse unless a service is live.
    #[schema(required = false)]
    require_live: Option<bool>,
    /// The name of an algorithm, or a structure as JSON.
    #[schema(required = false, value_type = Value)]
    model: Value,
    #[schema(required = false)]
    loss: String,
    /// A name, or an object.
    #[schema(required = false, value_type = Value)]
    optimizer: Value,
    /// A number above 0, or 1 to 100 of them.
    #[schema(required = false, value_type = Value)]
    learning_rate: Value,
    #[schema(required = false, minimum = 1, maximum = 1_000_000)]
    epochs: u32,
    #[schema(required = false, minimum = 0)]
    seed: u64,
    /// The part of the images that is held out, above 0 and below 1.
    #[schema(required = false)]
    split: f64,
    #[schema(required = false, minimum = 1, maximum = 1_000_000)]
    batch_size: u32,
    /// Whether a model is to be kept.
    #[schema(required = false)]
    save: bool,
}

/// A run to start.
#[derive(Deserialize)]
pub struct TrainRequest {
    pub dataset: String,
    pub submission: Option<Uuid>,
    pub priority: Option<i16>,
    pub require_live: Option<bool>,
    /// Its parameters.
    #[serde(flatten)]
    pub params: Map<String, Value>,
}

/// A run that was started.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-6000-7d00-8a11-0c5a2b7f0a5f", "dataset": "digits", "state": "queued", "params": {"epochs": 20}, "workers": 1}))]
pub struct RunStartedOut {
    pub id: Uuid,
    pub dataset: String,
    pub state: JobState,
    #[schema(value_type = Object)]
    pub params: Value,
    /// Live services of the dataset; 0 means that the run waits for one.
    pub workers: i64,
}

/// Which runs.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunsQuery {
    /// Of this dataset.
    pub dataset: Option<String>,
    /// In this state.
    pub state: Option<JobState>,
    /// The most items, 1 to 500; 100 when left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// How to wait for a run.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct RunQuery {
    /// Wait up to this many seconds for something new.
    pub wait_s: Option<f64>,
    /// The `revision` that you have seen; that of now when left out.
    pub after: Option<i32>,
}

/// A checkpoint of a run.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct CheckpointOut {
    pub bytes: i64,
    pub sha256: String,
    /// After which epoch it was saved.
    pub epoch: Option<i32>,
    /// The attempt that saved it.
    pub attempt: i16,
    pub at: DateTime<Utc>,
}

/// The model of a run.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct RunModelOut {
    /// As its service calls it.
    pub name: String,
    pub bytes: i64,
    pub sha256: String,
    /// Relative to the server.
    pub url: String,
}

/// A version of a model that a run became.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct PromotedOut {
    pub model: String,
    pub version: String,
    pub at: DateTime<Utc>,
}

/// A training run.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-6000-7d00-8a11-0c5a2b7f0a5f", "dataset": "digits", "account": "rosa", "state": "running", "reason": null, "attempt": 1,
    "max_attempts": 5, "progress": 0.4, "note": null, "params": {"epochs": 20}, "result": null, "error": null, "created_at": "2026-11-22T09:00:00Z",
    "started_at": "2026-11-22T09:00:00Z", "finished_at": null, "retry_of": null, "revision": 9, "checkpoint": null, "model": null, "promoted": []}))]
pub struct RunOut {
    pub id: Uuid,
    pub dataset: String,
    /// Who started it.
    pub account: String,
    pub state: JobState,
    /// Of a failure: `rejected`, `exhausted`, `poisoned` or `expired`.
    pub reason: Option<String>,
    pub attempt: i16,
    pub max_attempts: i16,
    /// 0…1, as its service last said.
    pub progress: Option<f64>,
    pub note: Option<String>,
    /// Null in a list where they are large.
    #[schema(value_type = Option<Object>)]
    pub params: Option<Value>,
    /// Whatever its service returned; null in a list where it is large.
    pub result: Option<Value>,
    pub error: Option<JobError>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub retry_of: Option<Uuid>,
    /// Rises with whatever is new of it but its progress: send it as `after`.
    pub revision: i32,
    /// The newest.
    pub checkpoint: Option<CheckpointOut>,
    /// Once it has succeeded, if its service uploaded one.
    pub model: Option<RunModelOut>,
    pub promoted: Vec<PromotedOut>,
}

/// What a run measured after an epoch.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"attempt": 1, "epoch": 1, "values": {"loss": 0.5, "val_accuracy": 0.81}}))]
pub struct MetricOut {
    pub attempt: i16,
    pub epoch: i32,
    #[schema(value_type = Object)]
    pub values: Box<RawValue>,
}

/// A training run with all that it measured.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-6000-7d00-8a11-0c5a2b7f0a5f", "dataset": "digits", "account": "rosa", "state": "running", "attempt": 1, "revision": 9,
    "metrics": [{"attempt": 1, "epoch": 1, "values": {"loss": 0.5}}], "older_left_out": false}))]
pub struct RunDetail {
    #[serde(flatten)]
    pub run: RunOut,
    /// By attempt and epoch.
    pub metrics: Vec<MetricOut>,
    /// Whether the oldest metrics are left out, being too much.
    pub older_left_out: bool,
}

/// What a run measured, from its worker.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "lease_no": 1, "points": [{"epoch": 1, "values": {"loss": 0.5, "val_accuracy": 0.81}}]}))]
pub struct MetricsRequest {
    pub worker: Uuid,
    pub lease_no: i64,
    /// At most 1,000.
    #[serde(deserialize_with = "objects::<POINTS_AT_ONCE_MAX, _, _>")]
    #[schema(max_items = 1000)]
    pub points: Vec<PointIn>,
}

/// What was measured after one epoch.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PointIn {
    #[schema(minimum = 0, maximum = 1_000_000)]
    pub epoch: i32,
    /// 1 to 32 finite numbers by name: letters, digits, `_`, `.`, `/` and `-`, beginning with a letter or `_`.
    pub values: BTreeMap<String, f64>,
}

/// How much a run has measured.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"points": 12}))]
pub struct Measured {
    /// Epochs in all, of all attempts.
    pub points: i64,
}

/// The lease of whoever asks.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LeaseQuery {
    /// The session.
    pub worker: Uuid,
    /// Of the claimed run.
    pub lease_no: i64,
}

/// What is said of a checkpoint.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CheckpointUpload {
    /// The session.
    pub worker: Uuid,
    /// Of the claimed run.
    pub lease_no: i64,
    /// After which epoch it is.
    pub epoch: Option<i32>,
    /// What the body must hash to, 64 hexadecimal digits.
    pub sha256: Option<String>,
}

/// What is said of a model.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ModelUpload {
    /// The session.
    pub worker: Uuid,
    /// Of the claimed run.
    pub lease_no: i64,
    /// What a download is called: a plain name of at most 255 bytes.
    pub name: String,
    /// What the body must hash to, 64 hexadecimal digits.
    pub sha256: Option<String>,
}

/// A file that came whole.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"bytes": 4096, "sha256": "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592", "kept": true}))]
pub struct FileKept {
    pub bytes: u64,
    pub sha256: String,
    /// False where another came before whose upload began later: that one stays.
    pub kept: bool,
}

/// What a run's model is to be a version of.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"model": "digits_onnx", "version": null}))]
pub struct PromoteRequest {
    #[schema(pattern = "^[a-z0-9][a-z0-9_.-]{0,63}$")]
    pub model: String,
    /// `run-` and 12 digits of the file's SHA-256 when left out.
    #[schema(max_length = 100)]
    pub version: Option<String>,
}

/// The version of a model that a run became.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"model": "digits_onnx", "version": "run-d7a8fbb307d7", "run": "019aac9e-6000-7d00-8a11-0c5a2b7f0a5f",
    "sha256": "d7a8fbb307d7809469ca9abcb0082e4f8d5651e46d3cdb762d02d0bf37c9e592", "bytes": 4096,
    "url": "/training/results/019aac9e-6000-7d00-8a11-0c5a2b7f0a5f/model"}))]
pub struct PromotedVersion {
    pub model: String,
    pub version: String,
    /// That brought the file: where the same bytes had been promoted before, the run of then.
    pub run: Uuid,
    pub sha256: String,
    pub bytes: i64,
    /// Relative to the server.
    pub url: String,
}
