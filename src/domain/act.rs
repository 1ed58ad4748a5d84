//! What people do that is told in sums: how often within a short while, and not each time.

use super::words::words;

/// An act of a person of which there may be many in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrequentAct {
    /// A password was wrong, or its account unknown or disabled.
    LogInFailed,
    /// An image's bytes were sent to a person.
    ImageViewed,
}

words!(FrequentAct { LogInFailed "log_in_failed", ImageViewed "image_viewed" });
