//! What every format is given, and what it gives.

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

/// What an export is of.
#[derive(Debug, Clone, Serialize)]
pub struct ExportAbout {
    pub export: Uuid,
    pub case: Uuid,
    pub case_name: String,
    pub description: String,
    /// Who asked for it, and when.
    pub by: String,
    pub asked_at: DateTime<Utc>,
    /// The filter; empty for all images of the case.
    pub filter: String,
}

/// Text that was written. What must stand behind all the rest of what is written is collected aside.
#[derive(Debug, Default)]
pub struct Pieces {
    pub main: String,
    pub aside: String,
}

/// How a document ends: what comes between what was written and what was collected aside, and what comes last.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct DocumentEnd {
    pub between: String,
    pub last: String,
}
