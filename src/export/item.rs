//! A result as formats tell it: its items, read leniently. What a model calls its own may be anything.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

/// A result as it is kept.
#[derive(Deserialize)]
pub(super) struct ToldResult<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    #[serde(borrow)]
    pub(super) fields: &'a RawValue,
    pub(super) summary: Option<Cow<'a, str>>,
}

impl<'a> ToldResult<'a> {
    pub(super) fn read(document: &'a RawValue) -> serde_json::Result<Self> {
        serde_json::from_str(document.get())
    }

    /// Its items in order.
    pub(super) fn items(&self) -> impl Iterator<Item = ToldItem> {
        self.items.iter().map(|item| ToldItem::read(item))
    }

    /// Its fields, if it has some.
    pub(super) fn some_fields(&self) -> Option<&'a str> {
        Some(self.fields.get()).filter(|fields| *fields != "{}")
    }
}

/// What is told of an item; of a type that is not known nothing but that.
#[derive(Debug, Default)]
pub(super) struct ToldItem {
    pub(super) kind: String,
    pub(super) label: Option<String>,
    pub(super) score: Option<f64>,
    /// A text that was read, a hash, or the name of a file.
    pub(super) text: Option<String>,
    /// Left, top, right, bottom, in fractions of the upright image.
    pub(super) corners: Option<[f64; 4]>,
    pub(super) polygon: Option<Vec<[f64; 2]>>,
    pub(super) points: Option<Vec<[f64; 2]>>,
}

#[derive(Default, Deserialize)]
struct ItemMembers<'a> {
    #[serde(borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(borrow)]
    label: Option<&'a RawValue>,
    #[serde(borrow)]
    algo: Option<&'a RawValue>,
    #[serde(borrow)]
    space: Option<&'a RawValue>,
    #[serde(borrow)]
    score: Option<&'a RawValue>,
    #[serde(borrow)]
    text: Option<&'a RawValue>,
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow, rename = "box")]
    corners: Option<&'a RawValue>,
    #[serde(borrow)]
    polygon: Option<&'a RawValue>,
    #[serde(borrow)]
    points: Option<&'a RawValue>,
}

impl ToldItem {
    fn read(item: &RawValue) -> Self {
        let members: ItemMembers<'_> = serde_json::from_str(item.get()).unwrap_or_default();
        let kind: String = value(members.kind).unwrap_or_default();
        let (label, text) = match kind.as_str() {
            "hash" => (members.algo, members.value),
            "embedding" => (members.space, None),
            "file" => (None, members.name),
            "box" | "label" | "points" | "text" => (members.label, members.text),
            // What its places are measured in, nobody knows.
            _ => return Self { kind, ..Self::default() },
        };
        Self {
            kind,
            label: value(label),
            score: value(members.score),
            text: value(text),
            corners: value(members.corners),
            polygon: value(members.polygon),
            points: value(members.points),
        }
    }
}

fn value<T: DeserializeOwned>(member: Option<&RawValue>) -> Option<T> {
    serde_json::from_str(member?.get()).ok()
}
