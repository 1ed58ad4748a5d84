//! Exports over the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::domain::export::{ExportFormat, ExportState};

/// What is to be taken away.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"case": "019aac9e-0000-7000-8000-00000000c001", "q": "label:person>=0.6", "format": "ndjson"}))]
pub struct CreateExport {
    /// The case, by its id.
    pub case: Uuid,
    /// A filter, as searches take it; left out, all images of the case.
    #[serde(default)]
    #[schema(max_length = 4096)]
    pub q: Option<String>,
    pub format: ExportFormat,
}

/// An export.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(as = Export, example = json!({"id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0e01", "case": "019aac9e-0000-7000-8000-00000000c001", "by": "anna",
    "q": "label:person>=0.6", "format": "ndjson", "state": "succeeded", "images": 412, "images_done": 412, "bytes": 918233,
    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "error": null, "created_at": "2026-11-22T09:00:00Z",
    "finished_at": "2026-11-22T09:00:04Z", "expires_at": "2026-11-23T09:00:04Z"}))]
pub struct ExportOut {
    pub id: Uuid,
    pub case: Uuid,
    /// Who asked for it.
    pub by: String,
    /// The filter; empty for all images of the case.
    pub q: String,
    pub format: ExportFormat,
    pub state: ExportState,
    /// How many images fit; null before that is known.
    pub images: Option<i32>,
    pub images_done: i32,
    /// Of the file; null before it can be fetched, as its SHA-256 is.
    pub bytes: Option<i64>,
    pub sha256: Option<String>,
    /// Why it failed.
    pub error: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
    /// When it goes; null before it has ended.
    pub expires_at: Option<DateTime<Utc>>,
}
