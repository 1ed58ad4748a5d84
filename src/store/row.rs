//! Readers of the columns that many rows share.

use sqlx::Row;
use sqlx::postgres::PgRow;

use crate::domain::image::ContentMd5;
use crate::domain::job::{JobError, JobState, JobStatus};

/// Reads the columns that make a [`JobStatus`].
pub fn job_status(row: &PgRow) -> sqlx::Result<JobStatus> {
    let kind: Option<String> = row.try_get("error_type")?;
    let message: Option<String> = row.try_get("error_message")?;
    Ok(JobStatus {
        id: row.try_get("id")?,
        event: row.try_get("event_id")?,
        state: state(row, "state")?,
        reason: row.try_get("reason")?,
        waiting: None,
        attempt: row.try_get("attempt")?,
        max_attempts: row.try_get("max_attempts")?,
        progress: row.try_get("progress")?,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        run_at: row.try_get("run_at")?,
        finished_at: row.try_get("finished_at")?,
        error: (kind.is_some() || message.is_some()).then_some(JobError { kind, message }),
    })
}

/// Reads a `job_state` selected as text.
pub fn state(row: &PgRow, column: &str) -> sqlx::Result<JobState> {
    let text: String = row.try_get(column)?;
    JobState::parse(&text).ok_or_else(|| sqlx::Error::Decode(format!("{column} holds the unknown state {text}").into()))
}

/// Reads an MD5 of 16 bytes.
pub fn md5(row: &PgRow, column: &str) -> sqlx::Result<ContentMd5> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let bytes = bytes.try_into().map_err(|_| sqlx::Error::Decode(format!("{column} is no MD5").into()))?;
    Ok(ContentMd5(bytes))
}
