//! Workers: their sessions and beats.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::objects;
use super::work::BATCH_MAX;
use crate::domain::key::Service;

/// What a microservice says of itself when it starts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"service": "predict", "model": "face_detect", "version": "haar-1", "instance": "0b9f8a2e-8f3c-4d0e-9a53-2f6f3b1c7d11",
    "description": "Frontal faces", "tags": ["faces"], "labels": ["face"], "params_schema": null, "result_schema": null, "batch_max": 8, "host": "gpu1", "sdk": "curl"}))]
pub struct Register {
    pub service: Service,
    #[schema(pattern = "^[a-z0-9][a-z0-9_.-]{0,63}$")]
    pub model: Option<String>,
    /// Of a training service, in place of `model`.
    pub dataset: Option<String>,
    /// Results are kept by it.
    #[schema(min_length = 1, max_length = 100)]
    pub version: String,
    /// A UUID made when the process starts.
    pub instance: Uuid,
    #[schema(max_length = 2000)]
    pub description: Option<String>,
    #[schema(max_items = 10_000)]
    pub tags: Option<Vec<String>>,
    /// What it can say, if that is a fixed list.
    #[schema(max_items = 10_000)]
    pub labels: Option<Vec<String>>,
    /// A JSON Schema (2020-12) of its params, for people and clients to read. It is an object whose keywords have the form that they
    /// must have; params of training runs are checked against it, those of jobs on images are not.
    #[schema(value_type = Option<Object>)]
    pub params_schema: Option<Box<RawValue>>,
    /// A JSON Schema (2020-12) that the results of this version must hold to, each as it is kept: `{"items", "fields", "summary"}`. Other
    /// schemas, and itself, it refers to only by `#/…`, never in a circle. It counts for sessions that begin from then on.
    #[schema(value_type = Option<Object>)]
    pub result_schema: Option<Box<RawValue>>,
    /// How many jobs it likes at once.
    #[schema(minimum = 1, maximum = 1000)]
    pub batch_max: Option<i32>,
    #[schema(max_length = 200)]
    pub host: Option<String>,
    #[schema(max_length = 200)]
    pub sdk: Option<String>,
}

/// A session.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "service": "predict", "model": "face_detect", "dataset": null, "version": "haar-1",
    "heartbeat_s": 10.0, "lease_s": 30.0, "max_result_bytes": 1048576}))]
pub struct Registered {
    /// The session's id.
    pub worker: Uuid,
    pub service: Service,
    /// Null of a training service.
    pub model: Option<String>,
    /// Of a training service.
    pub dataset: Option<String>,
    pub version: String,
    /// Beat this often.
    pub heartbeat_s: f64,
    /// Without a sign of life for this long, the session is given up.
    pub lease_s: f64,
    pub max_result_bytes: usize,
}

/// A sign of life.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"draining": false, "jobs": [{"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "lease_no": 1, "progress": 0.4, "note": null}]}))]
#[schema(as = Beat)]
pub struct BeatRequest {
    /// It takes no more jobs.
    pub draining: Option<bool>,
    /// Why it serves old code, or none, for people to read: of this the first 2,000 characters are kept. Null or left out, all is well.
    pub trouble: Option<String>,
    /// All that it holds.
    #[serde(deserialize_with = "objects::<BATCH_MAX, _, _>")]
    #[schema(max_items = 1000)]
    pub jobs: Vec<HeldJob>,
}

/// A job that a worker holds.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HeldJob {
    pub id: Uuid,
    pub lease_no: i64,
    /// 0…1
    pub progress: Option<f64>,
    /// At most 500 characters.
    pub note: Option<String>,
}

/// What the worker is to do.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"next_s": 10.0, "lease_s": 30.0, "drain": false, "stop": []}))]
pub struct BeatOut {
    /// Beat again in this many seconds.
    pub next_s: f64,
    pub lease_s: f64,
    /// Take no more jobs.
    pub drain: bool,
    /// Jobs that it does not hold any more: cancelled or lost.
    pub stop: Vec<Uuid>,
}

/// A worker.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"worker": "019aac9e-4e00-7a00-9000-000000000001", "service": "predict", "model": "face_detect", "dataset": null, "version": "haar-1",
    "instance": "0b9f8a2e-8f3c-4d0e-9a53-2f6f3b1c7d11", "host": "gpu1", "sdk": "curl", "batch_max": 8, "running": 2, "draining": false, "trouble": null, "alive": true, "owner": "rosa",
    "registered_at": "2026-11-22T09:00:00Z", "beat_at": "2026-11-22T09:00:10Z"}))]
pub struct WorkerOut {
    pub worker: Uuid,
    pub service: Service,
    /// Null of a training service.
    pub model: Option<String>,
    /// Of a training service.
    pub dataset: Option<String>,
    pub version: String,
    pub instance: Uuid,
    pub host: Option<String>,
    pub sdk: Option<String>,
    pub batch_max: i32,
    /// Jobs it holds by our books.
    pub running: i64,
    /// It takes no more: it said so, or was asked to.
    pub draining: bool,
    /// Why it serves old code, or none, as it says itself.
    pub trouble: Option<String>,
    /// False when it is overdue and about to be given up.
    pub alive: bool,
    /// Whose its key is; null of what came with the installation.
    pub owner: Option<String>,
    pub registered_at: DateTime<Utc>,
    /// Its last sign of life.
    pub beat_at: DateTime<Utc>,
}

/// What a worker is asked to do.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"draining": true}))]
pub struct UpdateWorker {
    /// To finish what it holds and take no more; the packages' workers then end. False takes that back, as long as the worker has not heard it.
    pub draining: bool,
}

/// Which workers to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WorkersQuery {
    /// Of this model.
    pub model: Option<String>,
    /// The most items, 1 to 500; 100 when left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}
