//! An image with all that is told of it to who takes it away. What is serialised here is a line of NDJSON.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::result::Upright;

/// An image, as a case holds it.
#[derive(Debug, Serialize)]
pub struct Exhibit {
    /// In hexadecimal digits, as the SHA-256 is.
    pub md5: String,
    pub sha256: String,
    pub bytes: i64,
    pub media_type: String,
    /// As it is stored, as the height is; `orientation` says how it is turned.
    pub width: i32,
    pub height: i32,
    pub frames: i32,
    /// EXIF orientation 1…8; nothing where the file says none.
    pub orientation: Option<i16>,
    pub warnings: Vec<String>,
    /// The names under which it came to the case, the newest first.
    pub names: Vec<ExhibitName>,
    /// Whether there are older names, which are too many to be told.
    pub older_names_left_out: bool,
    pub tags: Vec<ExhibitTag>,
    /// The newest first.
    pub notes: Vec<ExhibitNote>,
    pub older_notes_left_out: bool,
    /// What its file says of itself, true or not; nothing before that was worked out.
    pub derived: Option<ExhibitDerived>,
    /// Every model × version × params that has answered, the newest first.
    pub results: Vec<ExhibitResult>,
    /// The newest job of each model whose newest did not succeed, or not yet.
    pub unsuccessful: Vec<ExhibitJob>,
}

/// A name under which an image came.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExhibitName {
    pub name: String,
    /// The account that brought it.
    pub by: String,
    pub submission: Uuid,
    pub uploaded_at: DateTime<Utc>,
}

/// What members of the case call it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExhibitTag {
    pub tag: String,
    pub by: String,
    pub at: DateTime<Utc>,
}

/// What a member of the case wrote of it.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExhibitNote {
    pub id: Uuid,
    pub by: String,
    pub text: String,
    pub at: DateTime<Utc>,
}

/// What is known of an image without any model.
#[derive(Debug, Serialize, Deserialize)]
pub struct ExhibitDerived {
    /// By the camera's own clock, which knows no zone.
    pub taken_at: Option<NaiveDateTime>,
    pub camera: Option<String>,
    pub lens: Option<String>,
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    /// Perceptual hash, 16 hexadecimal digits.
    pub phash: Option<String>,
}

/// What a version of a model said of it.
#[derive(Debug, Serialize)]
pub struct ExhibitResult {
    pub model: String,
    pub version: String,
    /// Nothing where no submission to the case asked with them.
    pub params: Option<Box<RawValue>>,
    pub job: Uuid,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: DateTime<Utc>,
    /// The result as it is kept: items, fields, summary.
    pub result: Box<RawValue>,
}

/// A job without a result.
#[derive(Debug, Serialize)]
pub struct ExhibitJob {
    pub model: String,
    pub job: Uuid,
    pub state: String,
    pub reason: Option<String>,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    pub created_at: DateTime<Utc>,
    pub finished_at: Option<DateTime<Utc>>,
}

impl Exhibit {
    /// Its size as people see it.
    pub fn upright(&self) -> Upright {
        Upright::new(self.width, self.height, self.orientation)
    }

    /// Where its bytes lie beside what is told of it. No name that somebody gave it becomes part of a path.
    pub fn path(&self) -> String {
        let extension = match self.media_type.strip_prefix("image/") {
            Some("jpeg") => "jpg",
            Some(kind @ ("png" | "gif" | "bmp" | "tiff" | "webp" | "heic" | "avif")) => kind,
            _ => "bin",
        };
        format!("originals/{}/{}.{extension}", self.md5.get(..2).unwrap_or("xx"), self.md5)
    }
}
