//! What changed between two versions of a model, over the wire.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::result::ResultItem;
use super::search::{Hit, ImagesCounted};
use crate::domain::compare::ChangeKind;

/// Which changes, and which page of them.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangesQuery {
    /// The model's name.
    #[param(example = "face_detect")]
    pub model: String,
    /// The version that is compared with.
    #[param(example = "haar-1")]
    pub from: String,
    /// The version whose changes are told.
    #[param(example = "haar-2")]
    pub to: String,
    /// Only images of which something was gained, lost or moved, or of which nothing changed (`same`). Left out, those of which anything changed.
    pub kind: Option<ChangeKind>,
    /// Only items that are labelled so.
    pub label: Option<String>,
    /// The filter that images must fit: terms joined by AND, `-` negates one. Left out, every image fits.
    #[param(example = "after:2026-01-01")]
    pub q: Option<String>,
    /// Only images of this case, by its id.
    pub case: Option<Uuid>,
    /// The most items, 1 to 500; 100 when left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// Which changes are counted.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ChangeCountsQuery {
    /// The model's name.
    #[param(example = "face_detect")]
    pub model: String,
    /// The version that is compared with.
    #[param(example = "haar-1")]
    pub from: String,
    /// The version whose changes are counted.
    #[param(example = "haar-2")]
    pub to: String,
    /// The filter that images must fit: terms joined by AND, `-` negates one. Left out, every image fits.
    #[param(example = "after:2026-01-01")]
    pub q: Option<String>,
    /// Only images of this case, by its id.
    pub case: Option<Uuid>,
}

/// An image, and what changed from one version's result to the other's. Items are told as the results have them.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"md5": "9e107d9d372bb6826bd81d3542a419d6", "name": "holiday/beach.jpg", "case": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f",
    "uploaded_at": "2026-11-22T09:00:00Z", "by": "anna", "media_type": "image/jpeg", "bytes": 4194304, "width": 4032, "height": 3024, "orientation": 6,
    "tags": ["sea"], "taken_at": "2026-08-01T18:30:00", "camera": "Canon EOS 5D", "placeholder": "1QcSHQRnh493V4dIh4eXh1h4kJUI", "distance": null,
    "gained": [{"type": "box", "box": [0.35, 0.14, 0.53, 0.33], "label": "face", "score": 0.98}], "lost": [], "moved": [], "same": 2, "incomplete": false}))]
pub struct Change {
    #[serde(flatten)]
    pub hit: Hit,
    #[serde(flatten)]
    pub changed: ChangedItems,
}

/// Which two results of an image are compared.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ImageChangesQuery {
    /// The job of the result that is compared with, as the image's record names it.
    #[param(example = "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f")]
    pub from: Uuid,
    /// The job of the result whose changes are told.
    #[param(example = "019aac9e-9b10-7d00-8a11-0c5a2b7f0a60")]
    pub to: Uuid,
}

/// What changed from one result of an image to another. Items are told as the results have them.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"gained": [{"type": "box", "box": [0.35, 0.14, 0.53, 0.33], "label": "face", "score": 0.98}], "lost": [], "moved": [],
    "same": 2, "incomplete": false}))]
pub struct ChangedItems {
    /// What only the result `to` says.
    #[schema(value_type = Vec<ResultItem>)]
    pub gained: Vec<Box<RawValue>>,
    /// What only the result `from` said.
    #[schema(value_type = Vec<ResultItem>)]
    pub lost: Vec<Box<RawValue>>,
    /// Boxes of one label that overlap, but not by nearly all.
    pub moved: Vec<MovedItem>,
    /// How many items both say.
    pub same: usize,
    /// There are more items than were compared, or have room here.
    pub incomplete: bool,
}

/// A box that moved.
#[derive(Serialize, ToSchema)]
pub struct MovedItem {
    #[schema(value_type = ResultItem)]
    pub from: Box<RawValue>,
    #[schema(value_type = ResultItem)]
    pub to: Box<RawValue>,
    /// How much of what both cover they share, from 0.3 to below 0.9.
    pub overlap: f64,
}

/// What changed, in numbers.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"images": {"count": 2000, "at_least": true}, "gained": 120, "lost": 31, "moved": 12, "same": 1850, "incomplete": 0,
    "labels": [{"type": "box", "label": "face", "gained": 140, "lost": 35, "moved": 12, "same": 5210}]}))]
pub struct ChangeCountsOut {
    /// How many were compared.
    pub images: ImagesCounted,
    /// Of how many of them something was gained; an image may be counted here and there.
    pub gained: usize,
    pub lost: usize,
    pub moved: usize,
    /// Of how many nothing changed.
    pub same: usize,
    /// Of how many more items were said than were compared: what is counted of them may only be left out.
    pub incomplete: usize,
    /// By type and label, those that changed most first.
    pub labels: Vec<LabelChanged>,
}

/// How many items of a type and label changed.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct LabelChanged {
    /// `box`, `label`, `text`, `hash` or `points`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Null of those without one; of a hash its algorithm.
    pub label: Option<String>,
    pub gained: usize,
    pub lost: usize,
    pub moved: usize,
    pub same: usize,
}
