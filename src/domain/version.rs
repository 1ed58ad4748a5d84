//! Several live versions of one model.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words::words;

/// Which of a model's live versions are given its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServedBy {
    /// The one that was registered last for the first time; older ones only while no live worker of it waits or has room.
    Newest,
    /// All alike.
    Any,
}

words!(ServedBy { Newest "newest", Any "any" });
