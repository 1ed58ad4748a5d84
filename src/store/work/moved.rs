//! A job after a transition.

use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use uuid::Uuid;

use crate::domain::image::ContentMd5;
use crate::domain::job::JobStatus;
use crate::store::row::{job_status, md5};

/// A job after a transition: what the mirror, the queue and the waiting are told.
#[derive(Debug, Clone)]
pub struct Moved {
    pub status: JobStatus,
    pub image_id: i64,
    pub md5: ContentMd5,
    pub model: String,
    /// The lease that it was moved under, or that it now has; 0 before the first.
    pub lease_no: i64,
    /// The session that the lease is of, if there is one.
    pub session: Option<Uuid>,
    pub rank: i64,
    pub due: bool,
    /// Waits to be claimed alone, and is never in the index.
    pub suspect: bool,
    /// The version that made the result, when this transition is a success.
    pub version: Option<String>,
    /// The result, when this transition is a success.
    pub document: Option<Box<RawValue>>,
}

impl FromRow<'_, PgRow> for Moved {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            status: job_status(row)?,
            image_id: row.try_get("image_id")?,
            md5: md5(row, "md5")?,
            model: row.try_get("model")?,
            lease_no: row.try_get("lease_no")?,
            session: row.try_get("session_id")?,
            rank: row.try_get("rank")?,
            due: row.try_get("due")?,
            suspect: row.try_get("suspect")?,
            version: row.try_get("version")?,
            document: row.try_get::<Option<sqlx::types::Json<Box<RawValue>>>, _>("document")?.map(|json| json.0),
        })
    }
}
