//! What the server sends, as far as the client reads it; members it does not know are ignored.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::problem::{Problem, or_default};

/// Answer of `POST /predict`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SubmitAnswer {
    pub(super) images: Vec<AcceptedImage>,
    #[serde(deserialize_with = "or_default")]
    pub(super) rejected: Vec<RejectedFile>,
    #[serde(deserialize_with = "or_default")]
    pub(super) models: BTreeMap<String, ModelLoad>,
}

/// A file that was taken; `index` counts the files of its request.
#[derive(Debug, Deserialize)]
pub(super) struct AcceptedImage {
    pub(super) index: usize,
    pub(super) md5: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) new: bool,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) warnings: Vec<Value>,
    pub(super) jobs: Vec<AcceptedJob>,
}

/// The job of a taken file for one model.
#[derive(Debug, Deserialize)]
pub(super) struct AcceptedJob {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) state: String,
    pub(super) outcome: String,
}

/// A file that was not taken; `index` counts the files of its request.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RejectedFile {
    /// Position among the request's files.
    pub index: usize,
    /// Why it was not taken.
    pub problem: Problem,
}

/// How busy a model is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct ModelLoad {
    pub(super) workers: Option<u64>,
}

/// Answer of `GET /submissions/{id}`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SubmissionAnswer {
    pub(super) done: bool,
    #[serde(deserialize_with = "or_default")]
    pub(super) images: Vec<SubmissionImage>,
    #[serde(deserialize_with = "or_default")]
    pub(super) counts: SubmissionCounts,
}

/// One image of a submission.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SubmissionImage {
    pub(super) md5: String,
    pub(super) name: Option<String>,
}

/// Jobs of a submission by state.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct SubmissionCounts {
    pub(super) jobs: u64,
    pub(super) running: u64,
    pub(super) failed: u64,
    pub(super) ended: u64,
}

/// Answer of `POST /predict/status`.
#[derive(Debug, Deserialize)]
pub(super) struct LookupAnswer {
    pub(super) items: Vec<LookupItem>,
}

/// What is known of one image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LookupItem {
    /// 32 lower-case hex digits.
    pub md5: String,
    /// The image's status over its newest job per model.
    pub status: Option<String>,
    /// Whether all its jobs have ended.
    #[serde(deserialize_with = "or_default")]
    pub done: bool,
    /// The newest job per model.
    #[serde(deserialize_with = "or_default")]
    pub jobs: BTreeMap<String, JobView>,
    /// The newest success per model.
    #[serde(deserialize_with = "or_default")]
    pub results: BTreeMap<String, ResultView>,
    /// Why nothing is known.
    pub problem: Option<Problem>,
}

/// State of one job.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct JobView {
    /// The job's id.
    pub id: Option<String>,
    /// `queued`, `running`, `succeeded`, `failed` or `cancelled`.
    #[serde(deserialize_with = "or_default")]
    pub state: String,
    /// Why it failed: `rejected`, `exhausted`, `poisoned`, `expired`.
    pub reason: Option<String>,
    /// Why it is still queued: `no_live_worker`, `paused`, `backoff`, `limit`.
    pub waiting: Option<String>,
    /// The present or last attempt, from 1.
    pub attempt: Option<u32>,
    /// How many attempts it may take.
    pub max_attempts: Option<u32>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What the worker said went wrong.
    pub error: Option<WorkerError>,
}

/// An error as the worker told it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct WorkerError {
    /// The error's class, e.g. `ValueError`.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// The error in words.
    pub message: Option<String>,
}

/// What a version of a model said of an image.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ResultView {
    /// The model's version.
    pub version: Option<String>,
    /// The job that made it.
    pub job: Option<String>,
    /// When that job ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// Boxes, labels, texts and so on; each an object with a `type`.
    #[serde(deserialize_with = "or_default")]
    pub items: Vec<Value>,
    /// Named values.
    #[serde(deserialize_with = "or_default")]
    pub fields: Map<String, Value>,
    /// The result in one sentence.
    pub summary: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nulls_and_unknown_members_are_taken() {
        let text = r#"{"items":[{"md5":"9e","status":null,"done":null,"jobs":null,"results":
            {"m":{"version":"1","items":null,"fields":null,"later":1}},"problem":{"status":404,"errors":null}}]}"#;
        let answer: LookupAnswer = serde_json::from_str(text).unwrap();
        assert!(answer.items[0].jobs.is_empty() && answer.items[0].results["m"].items.is_empty());
    }
}
