//! What is asked of a submission, and what it is answered with.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use uuid::Uuid;

use crate::blob::Staged;
use crate::domain::fault::Fault;
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;

/// What is asked for, the same for uploads and for stored images.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Names as sent, free of repeats.
    pub models: Vec<String>,
    /// Params by model.
    pub params: BTreeMap<String, Value>,
    pub priority: i16,
    pub rerun: bool,
    pub submission: Option<Uuid>,
    /// Where its images go; the user's own case when absent.
    pub case: Option<Uuid>,
    pub require_live: bool,
    pub strict: bool,
    pub run_at: Option<DateTime<Utc>>,
    pub finish_within_s: Option<f64>,
}

/// A file of a request, staged or refused while it streamed.
pub struct File {
    pub name: String,
    pub staged: std::result::Result<Staged, Fault>,
}

/// What a submission is answered with.
#[derive(Debug)]
pub struct Receipt {
    pub submission: Uuid,
    pub case: Uuid,
    pub images: Vec<TakenImage>,
    pub rejected: Vec<RefusedImage>,
    pub models: BTreeMap<String, Workload>,
}

/// An image that was taken.
#[derive(Debug)]
pub struct TakenImage {
    pub index: usize,
    pub name: Option<String>,
    pub md5: ContentMd5,
    pub sha256: Vec<u8>,
    pub bytes: u64,
    pub new: bool,
    pub warnings: Vec<String>,
    pub jobs: Vec<AnsweringJob>,
}

/// The job that answers one image and model.
#[derive(Debug, Clone)]
pub struct AnsweringJob {
    pub id: Uuid,
    pub model: String,
    pub state: JobState,
    /// `created`, `attached` or `finished`.
    pub outcome: &'static str,
}

/// An image that was not taken.
#[derive(Debug)]
pub struct RefusedImage {
    pub index: usize,
    pub name: String,
    pub fault: Fault,
}

/// What a model has to do.
#[derive(Debug, Clone, Copy)]
pub struct Workload {
    pub workers: i64,
    pub queued: i64,
}
