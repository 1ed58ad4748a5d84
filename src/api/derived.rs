//! What is known of an image without any model.

use chrono::{DateTime, Utc};
use serde::Serialize;
use utoipa::ToSchema;

/// What is known of an image without any model.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"state": "done", "error": null, "taken_at": "2026-08-01T14:03:22", "camera": "Canon EOS 5D", "lens": null, "latitude": null,
    "longitude": null, "phash": "a0fd6ec4373284c7", "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI", "at": "2026-11-22T09:00:03Z"}))]
pub struct DerivedOut {
    /// `done`, or `failed`: then it has no thumbnail, though its EXIF may be known.
    pub state: String,
    /// Why it failed.
    pub error: Option<String>,
    /// When it was taken, by the camera's own clock, which knows no zone. This and what follows is what the file says, true or not.
    pub taken_at: Option<String>,
    pub camera: Option<String>,
    pub lens: Option<String>,
    /// In degrees; null also where the operator does not keep places.
    pub latitude: Option<f64>,
    pub longitude: Option<f64>,
    /// Perceptual hash: 16 hexadecimal digits, of whose 64 bits few differ between pictures that look alike.
    pub phash: Option<String>,
    /// A ThumbHash in Base64: a blurred picture to show until the thumbnail is there.
    pub placeholder: Option<String>,
    /// When it was worked out.
    pub at: DateTime<Utc>,
}
