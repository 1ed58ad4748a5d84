//! What has been: the tries at a job, its events, and what was said of an image. As they are read, so they are told.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

/// One try at a job.
#[derive(Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Attempt {
    #[schema(value_type = i64)]
    pub lease_no: i32,
    pub attempt: i16,
    pub worker: Uuid,
    pub version: Option<String>,
    /// `succeeded`, `retry`, `rejected`, `released`, `lost`, `deadline` or `cancelled`.
    pub outcome: String,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    pub traceback: Option<String>,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
}

/// One line of a job's history.
#[derive(Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct Event {
    /// Sorts by time, job and the job's version.
    pub id: String,
    pub at: DateTime<Utc>,
    /// `created`, `attached`, `claimed`, `reclaimed`, `requeued`, `released`, `rescued`, `withdrawn`, `succeeded`, `failed` or `cancelled`.
    pub code: String,
    pub lease_no: Option<i64>,
    pub attempt: Option<i16>,
    pub worker: Option<Uuid>,
    pub reason: Option<String>,
}

/// What a version of a model said.
#[derive(Debug, Serialize, ToSchema, sqlx::FromRow)]
pub struct ImageResult {
    pub model: String,
    pub version: String,
    /// Null where only others asked with them.
    #[schema(value_type = Option<Object>)]
    pub params: Option<Value>,
    pub job: Uuid,
    pub finished_at: DateTime<Utc>,
    // As it is stored: nothing here looks into it.
    #[sqlx(json)]
    #[schema(value_type = Object)]
    pub result: Box<RawValue>,
}
