//! What a submission wants.

/// One (image, model, params) that a submission wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    pub image_id: i64,
    pub model: String,
    pub params_hash: Vec<u8>,
}
