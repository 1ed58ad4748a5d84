//! The items of a result, as the document describes them.

use serde::Serialize;
use utoipa::ToSchema;

/// One item of a result: what was found. Places are fractions 0…1 of the upright image, that is, after its EXIF orientation; with `"unit": "px"`
/// they come in its pixels, and are kept as fractions. An item of another `type` is kept as it is, and not searched; so are members
/// that have no meaning here.
#[derive(Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ResultItem {
    Box(BoxItem),
    Label(LabelItem),
    Text(TextItem),
    Embedding(EmbeddingItem),
    Hash(HashItem),
    Points(PointsItem),
    File(FileItem),
}

/// Something that lies in a rectangle.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "box", "box": [0.35, 0.14, 0.53, 0.33], "label": "face", "score": 0.98}))]
pub struct BoxItem {
    /// `[x0, y0, x1, y1]` with x0 < x1 and y0 < y1.
    #[serde(rename = "box")]
    #[schema(min_items = 4, max_items = 4)]
    pub corners: Vec<f64>,
    #[schema(min_length = 1, max_length = 200)]
    pub label: Option<String>,
    /// How sure the model is, or null where it does not say.
    #[schema(minimum = 0, maximum = 1)]
    pub score: Option<f64>,
}

/// What the whole image is, or has.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "label", "label": "cat", "score": 0.91}))]
pub struct LabelItem {
    #[schema(min_length = 1, max_length = 200)]
    pub label: String,
    #[schema(minimum = 0, maximum = 1)]
    pub score: Option<f64>,
}

/// A text that can be read in it.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "text", "text": "JINLI STREET", "score": 0.99, "polygon": [[0.89, 0.09], [0.99, 0.09], [0.99, 0.12], [0.89, 0.12]]}))]
pub struct TextItem {
    #[schema(max_length = 10_000)]
    pub text: String,
    #[schema(minimum = 0, maximum = 1)]
    pub score: Option<f64>,
    /// Points `[x, y]`, at most 1,000.
    pub polygon: Option<Vec<Vec<f64>>>,
}

/// A vector that is near to those of similar images, or of similar parts of images.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "embedding", "space": "dlib-face-128", "dim": 3, "values": [0.1, -0.2, 0.3]}))]
pub struct EmbeddingItem {
    /// What the vector can be compared with: those of the same space.
    #[schema(min_length = 1, max_length = 200)]
    pub space: String,
    #[schema(min_items = 1, max_items = 4_096)]
    pub values: Vec<f64>,
    /// As many as there are values.
    pub dim: Option<usize>,
}

/// A hash of what is to be seen.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "hash", "algo": "phash64", "value": "a0fd6ec4373284c7"}))]
pub struct HashItem {
    #[schema(min_length = 1, max_length = 200)]
    pub algo: String,
    #[schema(max_length = 256)]
    pub value: String,
}

/// Places.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "points", "points": [[0.4, 0.2], [0.5, 0.2]], "label": "eyes"}))]
pub struct PointsItem {
    /// `[x, y]`, 1 to 1,000 of them.
    pub points: Vec<Vec<f64>>,
    #[schema(min_length = 1, max_length = 200)]
    pub label: Option<String>,
    #[schema(minimum = 0, maximum = 1)]
    pub score: Option<f64>,
}

/// A file that the model keeps elsewhere. Its name is told, and never used as a path.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"type": "file", "name": "mask.png", "media_type": "image/png"}))]
pub struct FileItem {
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    #[schema(max_length = 200)]
    pub media_type: Option<String>,
}
