//! What happened to images.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::at_most;
use super::problem::Problem;
use crate::domain::job::{JobStatus, Overall};

/// The most hashes of one status request.
pub const HASHES_MAX: usize = 1000;

/// How to ask for one image.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LookupQuery {
    /// Wait up to this many seconds (at most 50) until it is done; the answer is 200 either way.
    pub wait_s: Option<f64>,
    /// Only these models, `a,b`; `done` and `status` are then over them.
    pub models: Option<String>,
}

/// What happened to an image.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({
    "md5": "9e107d9d372bb6826bd81d3542a419d6", "status": "partial", "done": true,
    "results": {"face_detect": {"version": "haar-1", "job": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "finished_at": "2026-11-22T09:00:01Z",
        "items": [{"type": "box", "box": [0.35, 0.14, 0.53, 0.33], "label": "face", "score": null}], "fields": {"faces": 1}, "summary": "1 face"}},
    "jobs": {"ocr": {"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a60", "state": "failed", "reason": "rejected", "waiting": null, "attempt": 1,
        "max_attempts": 5, "progress": null, "created_at": "2026-11-22T09:00:00Z", "started_at": "2026-11-22T09:00:00Z", "run_at": null,
        "finished_at": "2026-11-22T09:00:02Z", "error": {"type": "ValueError", "message": "cannot decode"}}}
}))]
pub struct Prediction {
    pub md5: String,
    pub status: Overall,
    /// Nothing is queued or running.
    pub done: bool,
    /// The newest success per model.
    #[schema(value_type = BTreeMap<String, ResultOut>)]
    pub results: BTreeMap<String, Box<RawValue>>,
    /// The newest job per model.
    #[schema(value_type = BTreeMap<String, JobStatus>)]
    pub jobs: BTreeMap<String, Box<RawValue>>,
}

/// A model's newest success on the image.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ResultOut {
    pub version: String,
    pub job: Uuid,
    pub finished_at: DateTime<Utc>,
    /// Boxes, labels, texts, embeddings, hashes, points, files, as the schema `ResultItem` describes them, and others. A box is
    /// `[x0, y0, x1, y1]` in fractions of the upright image.
    #[schema(value_type = Value)]
    pub items: Vec<Value>,
    #[schema(value_type = Value)]
    pub fields: Map<String, Value>,
    #[schema(value_type = Value)]
    pub summary: Option<String>,
}

/// Many hashes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"images": ["9e107d9d372bb6826bd81d3542a419d6"], "results": false}))]
pub struct StatusRequest {
    /// At most 1,000 MD5s; what is none has its problem in its place.
    #[serde(deserialize_with = "at_most::<HASHES_MAX, _, _>")]
    #[schema(max_items = 1000, value_type = Vec<Value>)]
    pub images: Vec<Box<RawValue>>,
    /// Whether to send the results as well.
    pub results: Option<bool>,
}

/// The statuses, in the order of the request, repeats kept.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"items": [{"md5": "9e107d9d372bb6826bd81d3542a419d6", "status": "succeeded", "done": true, "results": {}, "jobs": {}, "problem": null}]}))]
pub struct Statuses {
    pub items: Vec<StatusItem>,
}

/// One status, or the problem in its place.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct StatusItem {
    pub md5: String,
    pub status: Option<Overall>,
    pub done: Option<bool>,
    #[schema(value_type = BTreeMap<String, ResultOut>)]
    pub results: BTreeMap<String, Box<RawValue>>,
    #[schema(value_type = BTreeMap<String, JobStatus>)]
    pub jobs: BTreeMap<String, Box<RawValue>>,
    pub problem: Option<Problem>,
}
