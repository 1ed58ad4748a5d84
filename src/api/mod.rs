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

use std::fmt;
use std::marker::PhantomData;

use serde::de::{IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A field of a PATCH: absent, null or a value.
fn patch_field<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<Option<T>>, D::Error> {
    Deserialize::deserialize(field).map(Some)
}

/// A list of which at most one item more than `MAX` is kept: enough to see that it is too long, however long it is.
fn at_most<'de, const MAX: usize, T: Deserialize<'de>, D: Deserializer<'de>>(list: D) -> Result<Vec<T>, D::Error> {
    struct AtMost<const MAX: usize, T>(PhantomData<T>);

    impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for AtMost<MAX, T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while kept.len() <= MAX {
                match items.next_element()? {
                    Some(item) => kept.push(item),
                    None => return Ok(kept),
                }
            }
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(kept)
        }
    }

    list.deserialize_seq(AtMost::<MAX, T>(PhantomData))
}
