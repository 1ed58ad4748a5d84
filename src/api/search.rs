//! Searches over the wire.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// What is searched for, and which page of it.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchQuery {
    /// The filter: terms joined by AND, `-` negates one. Left out, every image fits.
    #[param(example = "label:person>=0.6 -label:car")]
    pub q: Option<String>,
    /// Only images of this case, by its id.
    pub case: Option<Uuid>,
    /// The most items, 1 to 500; 100 when left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// What is counted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct CountsQuery {
    /// The filter: terms joined by AND, `-` negates one. Left out, every image fits.
    #[param(example = "label:person>=0.6 -label:car")]
    pub q: Option<String>,
    /// Only images of this case, by its id.
    pub case: Option<Uuid>,
}

/// An image that fits, by its newest title that does.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"md5": "9e107d9d372bb6826bd81d3542a419d6", "name": "holiday/beach.jpg", "case": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f",
    "uploaded_at": "2026-11-22T09:00:00Z", "by": "anna", "media_type": "image/jpeg", "bytes": 4194304, "width": 4032, "height": 3024, "orientation": 6,
    "tags": ["sea"], "taken_at": "2026-08-01T18:30:00", "camera": "Canon EOS 5D", "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI", "distance": null}))]
pub struct Hit {
    pub md5: String,
    pub name: String,
    /// The case that has the title.
    pub case: Uuid,
    pub uploaded_at: DateTime<Utc>,
    /// Who brought it.
    pub by: String,
    pub media_type: String,
    pub bytes: i64,
    /// As it is stored, as the height is; `orientation` says how it is turned.
    pub width: i32,
    pub height: i32,
    /// EXIF orientation 1…8; null where the file says none.
    pub orientation: Option<i16>,
    /// Those of its case.
    pub tags: Vec<String>,
    /// By the camera's own clock, which knows no zone.
    pub taken_at: Option<NaiveDateTime>,
    pub camera: Option<String>,
    /// A ThumbHash in Base64.
    pub placeholder: Option<String>,
    /// How far it is from the image that the filter compares with: for `similar:` the bits in which their hashes differ, for `like:` 0 (the
    /// same) to 2 (opposite); null for other filters.
    pub distance: Option<f64>,
}

/// How many images fit, and what there is among them.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"images": {"count": 5000, "at_least": true}, "labels": [{"label": "person", "images": 3120}],
    "models": [{"model": "object_detect", "images": 4987}], "tags": [{"tag": "sea", "images": 12}]}))]
pub struct CountsOut {
    pub images: ImagesCounted,
    /// Of the images that were counted: those of the most images, as the other lists.
    pub labels: Vec<LabelCounted>,
    pub models: Vec<ModelCounted>,
    pub tags: Vec<TagCounted>,
}

/// How many images fit.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ImagesCounted {
    pub count: usize,
    /// There may be more: as many were counted, or looked at, as one request may.
    pub at_least: bool,
}

/// How many images the newest results give a label.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LabelCounted {
    pub label: String,
    pub images: i64,
}

/// Of how many images a model has a result.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct ModelCounted {
    pub model: String,
    pub images: i64,
}

/// How many images have a tag.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct TagCounted {
    pub tag: String,
    pub images: i64,
}
