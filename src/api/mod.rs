//! What goes over the wire, once: requests, answers and problem documents, with the examples of the documentation.
//!
//! For `http` and `client` alike, a file per noun. Requests refuse fields that they do not know; answers are read
//! with whatever a newer server adds to them.

pub mod accounts;
pub mod health;
pub mod images;
pub mod jobs;
pub mod keys;
pub mod models;
pub mod page;
pub mod problem;
pub mod queues;
pub mod status;
pub mod submissions;
pub mod submit;
pub mod work;
pub mod workers;

use serde::{Deserialize, Deserializer};

/// A field of a PATCH: absent, null or a value.
fn patch_field<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<Option<T>>, D::Error> {
    Deserialize::deserialize(field).map(Some)
}
