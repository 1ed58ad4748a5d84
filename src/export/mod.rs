//! What is taken away, as files: a file for each format. Pure, and bounded: each turns one image after the other into text, and keeps
//! nothing of those before but what its format must say at the end.

pub mod cell;
mod csv;
mod item;

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::domain::exhibit::Exhibit;
use crate::domain::export::ExportFormat;

/// What an export is of.
#[derive(Debug, Clone)]
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

/// A document that is being written, an image at a time.
#[derive(Debug)]
pub enum DocumentWriter {
    Csv,
    Ndjson,
}

impl DocumentWriter {
    /// Begins a document.
    pub fn begin(format: ExportFormat, _about: &ExportAbout, out: &mut Pieces) -> Self {
        match format {
            ExportFormat::Csv => {
                csv::begin(&mut out.main);
                Self::Csv
            }
            ExportFormat::Ndjson => Self::Ndjson,
        }
    }

    /// Writes all that its format tells of an image.
    ///
    /// # Errors
    /// Something of it is no JSON, as a damaged row of the database would be.
    pub fn add(&mut self, exhibit: &Exhibit, out: &mut Pieces) -> serde_json::Result<()> {
        match self {
            Self::Csv => csv::add(exhibit, &mut out.main)?,
            Self::Ndjson => {
                out.main.push_str(&serde_json::to_string(exhibit)?);
                out.main.push('\n');
            }
        }
        Ok(())
    }

    /// How the document ends.
    pub fn end(self) -> DocumentEnd {
        match self {
            Self::Csv | Self::Ndjson => DocumentEnd::default(),
        }
    }
}
