//! Stored images and what was said of them.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::derived::DerivedOut;
use crate::domain::history::ImageResult;

/// A stored image.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"md5": "9e107d9d372bb6826bd81d3542a419d6", "sha256": "d7a8…", "name": "a.jpg",
    "case": "019aac9e-0000-7000-8000-00000000c001", "bytes": 4194304, "media_type": "image/jpeg",
    "width": 4032, "height": 3024, "frames": 1, "orientation": null, "warnings": [], "uploaded_at": "2026-11-22T09:00:00Z", "url": "/images/9e107d9d372bb6826bd81d3542a419d6/content"}))]
pub struct ImageOut {
    pub md5: String,
    pub sha256: String,
    /// The newest name under which it came to a case of yours.
    pub name: Option<String>,
    /// That case.
    pub case: Option<Uuid>,
    pub bytes: i64,
    pub media_type: String,
    pub width: i32,
    pub height: i32,
    pub frames: i32,
    /// EXIF orientation 1…8; null where the file says none.
    pub orientation: Option<i16>,
    pub warnings: Vec<String>,
    pub uploaded_at: DateTime<Utc>,
    /// Where its bytes are.
    pub url: String,
}

/// A stored image with all that was said of it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"md5": "9e107d9d372bb6826bd81d3542a419d6", "sha256": "d7a8…", "name": "a.jpg",
    "case": "019aac9e-0000-7000-8000-00000000c001", "bytes": 4194304, "media_type": "image/jpeg",
    "width": 4032, "height": 3024, "frames": 1, "orientation": null, "warnings": [], "uploaded_at": "2026-11-22T09:00:00Z", "url": "/images/9e107d9d372bb6826bd81d3542a419d6/content",
    "tags": ["sea"], "derived": {"state": "done", "error": null, "taken_at": "2026-08-01T14:03:22", "camera": "Canon EOS 5D", "lens": null, "latitude": null, "longitude": null,
        "phash": "a0fd6ec4373284c7", "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI", "at": "2026-11-22T09:00:03Z"},
    "results": [{"model": "face_detect", "version": "haar-1", "params": {}, "job": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f", "finished_at": "2026-11-22T09:00:01Z",
        "result": {"items": [], "fields": {"faces": 0}, "summary": "no face"}}], "older_left_out": false}))]
pub struct ImageRecordOut {
    #[serde(flatten)]
    pub image: ImageOut,
    /// Its tags in `case`, in order.
    pub tags: Vec<String>,
    /// What is known of it without any model; null until that is worked out.
    pub derived: Option<DerivedOut>,
    /// Every model × version × params, newest first, as many as have room.
    pub results: Vec<ImageResult>,
    /// Whether older results had no room. GET /predict/{md5} shows the newest of any model.
    pub older_left_out: bool,
}
