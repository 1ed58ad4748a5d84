//! A result as formats tell it.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::domain::result::ToldItem;

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
