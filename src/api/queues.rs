//! Queues of models.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A model's queue.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"model": "face_detect", "queued": 12, "running": 8, "backlog": 20, "workers": 1, "oldest_due_at": null, "oldest_wait_s": null}))]
pub struct Queue {
    pub model: String,
    pub queued: i64,
    pub running: i64,
    /// Queued and running: what an autoscaler follows.
    pub backlog: i64,
    pub workers: i64,
    /// Since when the first in line has been due.
    pub oldest_due_at: Option<DateTime<Utc>>,
    pub oldest_wait_s: Option<f64>,
}
