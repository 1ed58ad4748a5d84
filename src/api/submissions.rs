//! Submissions and how far they are.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use crate::domain::job::{JobState, Overall};

/// A submission and how far it is.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({
    "id": "019aac9e-4e3b-7c11-9d5f-2b7f0a5f3a11", "case": "019aac9e-0000-7000-8000-00000000c001", "status": "running", "done": false,
    "created_at": "2026-11-22T09:00:00Z",
    "images": [{"md5": "9e107d9d372bb6826bd81d3542a419d6", "name": "a/1.jpg", "names": ["a/1.jpg", "b/1.jpg"], "status": "running"}],
    "models": {"face_detect": {"queued": 0, "running": 1, "succeeded": 0, "failed": 0, "cancelled": 0}},
    "next_cursor": null,
    "counts": {"images": 1, "jobs": 1, "ended": 0, "queued": 0, "running": 1, "succeeded": 0, "failed": 0, "cancelled": 0}
}))]
pub struct SubmissionOut {
    pub id: Uuid,
    /// Where its images went.
    pub case: Uuid,
    pub status: Overall,
    pub done: bool,
    pub created_at: DateTime<Utc>,
    /// A page of its images; the counts are always whole.
    pub images: Vec<SubmissionImage>,
    /// Where its next images begin: `GET /submissions/{id}?cursor=…`.
    pub next_cursor: Option<String>,
    pub models: BTreeMap<String, StateCounts>,
    pub counts: Counts,
}

/// An image of a submission.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SubmissionImage {
    pub md5: String,
    /// The first of `names`; of an image named by its hash, the newest under which it came to the case.
    pub name: Option<String>,
    /// Every name, with its path, under which it came in this submission; of more than 100 the first.
    pub names: Vec<String>,
    pub status: Overall,
}

/// Jobs by state.
#[derive(Debug, Serialize, Deserialize, ToSchema, Default, Clone, Copy)]
pub struct StateCounts {
    pub queued: usize,
    pub running: usize,
    pub succeeded: usize,
    pub failed: usize,
    pub cancelled: usize,
}

impl StateCounts {
    /// Counts so many more.
    pub fn add(&mut self, state: JobState, jobs: usize) {
        match state {
            JobState::Queued => self.queued += jobs,
            JobState::Running => self.running += jobs,
            JobState::Succeeded => self.succeeded += jobs,
            JobState::Failed => self.failed += jobs,
            JobState::Cancelled => self.cancelled += jobs,
        }
    }
}

/// All jobs of a submission.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct Counts {
    pub images: usize,
    pub jobs: usize,
    pub ended: usize,
    #[serde(flatten)]
    pub states: StateCounts,
}

/// How to ask for one submission.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WaitQuery {
    /// Wait up to this many seconds (at most 50) until it is done.
    pub wait_s: Option<f64>,
    /// At most this many images, 1…1000 (1000).
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<i64>,
    /// The `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// What a cancel ended.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-4e3b-7c11-9d5f-2b7f0a5f3a11", "cancelled": 3}))]
pub struct Cancelled {
    pub id: Uuid,
    /// Jobs that ended by it. Those for which somebody else waits go on.
    pub cancelled: usize,
}
