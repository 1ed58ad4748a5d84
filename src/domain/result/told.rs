//! One item of a result, as it is told to whoever takes it away.

use serde_json::value::RawValue;

use super::item::{Member, Parts, known, read};

/// What is told of an item; of a type that has no meaning here nothing but that: what its places are measured in, nobody knows.
#[derive(Debug, Default)]
pub struct ToldItem {
    pub kind: String,
    /// What it is labelled, the algorithm of a hash, or the space of an embedding.
    pub label: Option<String>,
    pub score: Option<f64>,
    /// A text that was read, a hash, or the name of a file.
    pub text: Option<String>,
    /// Left, top, right, bottom, in fractions of the upright image, as all places are.
    pub corners: Option<[f64; 4]>,
    pub polygon: Option<Vec<[f64; 2]>>,
    pub points: Option<Vec<[f64; 2]>>,
}

impl ToldItem {
    /// Reads an item leniently: a member that is not what it should be is not told.
    pub fn read(item: &RawValue) -> Self {
        let parts: Parts<'_> = serde_json::from_str(item.get()).unwrap_or_default();
        let kind = parts.kind().unwrap_or_default().into_owned();
        let text = |member| parts.get(member).and_then(read);
        let (label, said) = match known(&kind) {
            None => return Self { kind, ..Self::default() },
            Some("hash") => (text(Member::Algo), text(Member::Value)),
            Some("embedding") => (text(Member::Space), None),
            Some("file") => (None, text(Member::Name)),
            Some(_) => (text(Member::Label), text(Member::Text)),
        };
        Self {
            kind,
            label,
            score: parts.get(Member::Score).and_then(read),
            text: said,
            corners: parts.get(Member::Box).and_then(read),
            polygon: parts.get(Member::Polygon).and_then(read),
            points: parts.get(Member::Points).and_then(read),
        }
    }
}
