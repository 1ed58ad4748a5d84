//! What goes over the wire, once: requests, answers and problem documents, with the examples of the documentation.
//!
//! For `http` and `client` alike, a file per noun. Requests refuse fields that they do not know; answers are read
//! with whatever a newer server adds to them.

pub mod accounts;
pub mod acts;
pub mod cases;
pub mod changes;
pub mod derived;
pub mod events;
pub mod exports;
pub mod health;
pub mod images;
pub mod jobs;
pub mod keys;
pub mod models;
pub mod page;
pub mod problem;
pub mod queues;
pub mod result;
pub mod search;
pub mod status;
pub mod submissions;
pub mod submit;
pub mod training;
pub mod work;
pub mod workers;

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use utoipa::ToSchema;

/// How an MD5 is described: 32 hexadecimal digits, in either case.
#[derive(ToSchema)]
#[schema(pattern = "^[0-9A-Fa-f]{32}$", example = "9e107d9d372bb6826bd81d3542a419d6")]
pub struct Md5Text(#[expect(dead_code, reason = "it only describes")] String);

/// How a glob of names is described: a name of which `*` stands for any part.
#[derive(ToSchema)]
#[schema(pattern = "^[a-z0-9*][a-z0-9_.*-]{0,63}$", example = "face_*")]
pub struct GlobText(#[expect(dead_code, reason = "it only describes")] String);

/// The most names of models, or globs, in one request.
pub const NAMES_MAX: usize = 1000;

/// A field of a PATCH: absent, null or a value.
fn patch_field<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<Option<T>>, D::Error> {
    Deserialize::deserialize(field).map(Some)
}

/// What only a JSON object is read as: serde would take an array of a struct's fields in their order as well.
pub struct Object<T>(pub T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(object: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(members))
            }
        }

        object.deserialize_map(Members(PhantomData)).map(Object)
    }
}

/// An object, or null.
fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(field: D) -> Result<Option<T>, D::Error> {
    Option::<Object<T>>::deserialize(field).map(|object| object.map(|Object(members)| members))
}

/// A list of objects, kept like [`at_most`].
fn objects<'de, const MAX: usize, T: Deserialize<'de>, D: Deserializer<'de>>(list: D) -> Result<Vec<T>, D::Error> {
    at_most::<MAX, Object<T>, D>(list).map(|list| list.into_iter().map(|Object(members)| members).collect())
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
