//! What the two sides say to each other: a line of JSON, and bytes behind it.

use serde::{Deserialize, Serialize};

use crate::domain::derived::{CameraSays, Seen};

/// The longest line, in bytes; an answer has names of 100 characters and a placeholder of 64 numbers.
pub(super) const LINE_BYTES_MAX: u64 = 16 * 1024;
/// The most bytes of an image's thumbnails; they have some 300 kB.
pub(super) const THUMBS_BYTES_MAX: u32 = 16 << 20;

/// A photograph; its bytes follow.
#[derive(Debug, Serialize, Deserialize)]
pub struct Photograph {
    pub bytes: u64,
    /// What it was found to be when it came.
    pub media_type: String,
    /// How it was found to ask to be turned, 1…8.
    pub orientation: Option<u8>,
}

/// What came of it; the thumbnails follow.
#[derive(Debug, Serialize, Deserialize)]
pub struct Reply {
    pub says: CameraSays,
    /// What was seen, or why nothing was.
    pub seen: Result<Seen, String>,
}
