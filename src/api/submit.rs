//! Photographs for models, and what was taken of them.

use std::borrow::Cow;
use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::Md5Text;
use super::problem::Problem;
use super::status::HASHES_MAX;
use super::{NAMES_MAX, at_most};
use crate::domain::job::JobState;

/// The upload form. What may be left out may also be sent empty.
#[derive(ToSchema)]
pub struct UploadForm {
    /// The photographs: JPEG, PNG, GIF, BMP, TIFF, WebP, HEIC or AVIF.
    #[schema(value_type = Vec<String>, format = Binary, min_items = 1)]
    pub images: Vec<Vec<u8>>,
    /// The models to run on each; repeated, or `a,b`.
    #[schema(example = json!(["face_detect", "image_stats"]), min_items = 1)]
    pub models: Vec<String>,
    /// −100…100; higher is sooner.
    #[schema(required = false, default = 0, minimum = -100, maximum = 100)]
    pub priority: i16,
    /// Compute again even where a result is known.
    #[schema(required = false, default = false)]
    pub rerun: bool,
    /// An object keyed by model, as JSON.
    #[schema(required = false, default = "{}")]
    pub params: String,
    /// A UUID of yours: makes the request safe to repeat, and lets many requests be one submission.
    #[schema(required = false, example = "")]
    pub submission: String,
    /// The case that is to hold the images; your own when left out.
    #[schema(required = false, example = "")]
    pub case: String,
    /// Refuse unless every model has a live worker.
    #[schema(required = false, default = false)]
    pub require_live: bool,
    /// Refuse all if one file is bad.
    #[schema(required = false, default = false)]
    pub strict: bool,
    /// Not before this time, as `2026-11-22T09:00:00Z`.
    #[schema(required = false, example = "")]
    pub run_at: String,
    /// Give up this many seconds after `run_at`.
    #[schema(required = false, default = 2_592_000, minimum = 1, maximum = 31_622_400)]
    pub finish_within_s: f64,
}

/// The same for images that are stored already.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"images": ["9e107d9d372bb6826bd81d3542a419d6"], "models": ["face_detect"], "rerun": true}))]
pub struct SubmitHashes {
    /// MD5s of images that a case of yours holds.
    #[serde(deserialize_with = "at_most::<HASHES_MAX, _, _>")]
    #[schema(value_type = Vec<Md5Text>, min_items = 1, max_items = 1000)]
    pub images: Vec<String>,
    #[serde(deserialize_with = "at_most::<NAMES_MAX, _, _>")]
    #[schema(min_items = 1, max_items = 1000)]
    pub models: Vec<String>,
    /// Higher is sooner.
    #[schema(minimum = -100, maximum = 100)]
    pub priority: Option<i16>,
    /// Compute again even where a result is known.
    pub rerun: Option<bool>,
    /// Keyed by model.
    #[schema(value_type = Option<BTreeMap<String, Value>>)]
    pub params: Option<Box<RawValue>>,
    pub submission: Option<Uuid>,
    /// The case that is to hold the images; your own when left out.
    pub case: Option<Uuid>,
    pub require_live: Option<bool>,
    pub strict: Option<bool>,
    pub run_at: Option<DateTime<Utc>>,
    /// Seconds after `run_at`.
    #[schema(minimum = 1, maximum = 31_622_400)]
    pub finish_within_s: Option<f64>,
}

/// What was taken and what was not.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "submission": "019aac9e-4e3b-7c11-9d5f-2b7f0a5f3a11", "case": "019aac9e-0000-7000-8000-00000000c001",
    "images": [{"index": 0, "name": "a.jpg", "md5": "9e107d9d372bb6826bd81d3542a419d6", "sha256": "d7a8…", "bytes": 4194304, "new": true,
        "warnings": [], "jobs": [{"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "model": "face_detect", "state": "queued", "outcome": "created"}]}],
    "rejected": [], "models": {"face_detect": {"workers": 1, "queued": 12}}
}))]
pub struct Submitted {
    pub submission: Uuid,
    /// Where the images went.
    pub case: Uuid,
    pub images: Vec<SubmittedImage>,
    pub rejected: Vec<RejectedImage>,
    pub models: BTreeMap<String, ModelLoad>,
}

/// An image that was taken.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SubmittedImage {
    /// Its place in the request.
    pub index: usize,
    pub name: Option<String>,
    pub md5: String,
    pub sha256: String,
    pub bytes: u64,
    /// Whether the case did not hold these bytes before; of other cases nothing is said.
    pub new: bool,
    pub warnings: Vec<String>,
    pub jobs: Vec<SubmittedJob>,
}

/// The job that answers an image and model.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SubmittedJob {
    pub id: Uuid,
    pub model: String,
    pub state: JobState,
    /// `created`, `attached` to one that is under way, or `finished` (a result is known).
    pub outcome: Cow<'static, str>,
}

/// An image that was not taken.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct RejectedImage {
    pub index: usize,
    pub name: String,
    pub problem: Problem,
}

/// What a model has to do.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ModelLoad {
    /// Live workers; with none, jobs wait.
    pub workers: i64,
    /// Jobs in line before this request.
    pub queued: i64,
}
