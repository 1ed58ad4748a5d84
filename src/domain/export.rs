//! Exports: in which formats a case is taken away, and what of how many there may be.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words::words;

/// How what is taken away is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// A table: a row for every item of every result.
    Csv,
    /// A line of JSON for every image, with all that is told of it.
    Ndjson,
    /// Images, annotations and categories (COCO), in pixels of the upright images.
    Coco,
    /// A graph (CASE/UCO as JSON-LD): files, tools, actions and their results.
    Case,
    /// An archive: the photographs as they came, a manifest of hashes, what people wrote, the audit, and all the other formats.
    Zip,
}

words!(ExportFormat { Csv "csv", Ndjson "ndjson", Coco "coco", Case "case", Zip "zip" });

impl ExportFormat {
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Csv => "text/csv; charset=utf-8",
            Self::Ndjson => "application/x-ndjson",
            Self::Coco => "application/json",
            Self::Case => "application/ld+json",
            Self::Zip => "application/zip",
        }
    }

    /// What a file of it ends in.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Ndjson => "ndjson",
            Self::Coco => "json",
            Self::Case => "jsonld",
            Self::Zip => "zip",
        }
    }
}

/// How far an export is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExportState {
    Queued,
    Running,
    /// It can be fetched.
    Succeeded,
    Failed,
}

words!(ExportState { Queued "queued", Running "running", Succeeded "succeeded", Failed "failed" });

/// The most exports of one account that are kept, in whatever state: each may fill a disk.
pub const ACCOUNT_EXPORTS_MAX: i64 = 20;
/// The most of one case.
pub const CASE_EXPORTS_MAX: i64 = 50;
/// The most images of one export: their numbers are in memory while it is made, some 2 MB.
pub const EXPORT_IMAGES_MAX: usize = 250_000;
/// The longest filter of an export, in bytes, as it stands in its row.
pub const EXPORT_FILTER_BYTES_MAX: usize = super::filter::FILTER_BYTES_MAX;
