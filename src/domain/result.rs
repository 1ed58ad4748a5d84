//! The result document: what a model said of an image.

mod item;
mod pixels;
mod told;

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

pub use self::item::ItemRow;
use self::item::{NAME_CHARS_MAX, Parts, TEXT_CHARS_MAX, Wrong, is_name, read};
pub use self::pixels::Upright;
pub use self::told::ToldItem;
use super::fault::{Code, Fault};
use super::json;
use super::name::shorten;
use super::schema::below;

/// The most items one result may have; more belongs in a file of the model's own.
pub const ITEMS_MAX: usize = 10_000;
/// The most fields of one result; more is a list.
const FIELDS_MAX: usize = 1_000;
/// How many items of one result are written down to be searched: those of the highest scores. A photograph of a crowd is found by
/// its first hundred faces.
pub const ITEMS_INDEXED_MAX: usize = 100;
/// How many fields of one result are written down to be searched, by name.
pub const FIELDS_INDEXED_MAX: usize = 100;
/// The longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 1000;

/// Brings what a worker posted into the one shape in which results are kept, `{"items":[…],"fields":{…},"summary":null}`, its parts as
/// they were written, but for places in pixels, which become fractions of the `upright` image.
///
/// The upstream style `{"classes":[…],"result":{…}}` becomes labels and fields; any other JSON is kept under
/// `fields.value`. Neither what is posted nor what is made of it has more than `bytes_max` bytes. A fault says where in the
/// result it lies.
pub fn normalise(posted: &RawValue, bytes_max: usize, upright: Option<Upright>) -> Result<String, Fault> {
    let posted = posted.get();
    check_whole(posted, bytes_max)?;
    if posted.starts_with('{')
        && let Ok(normal) = serde_json::from_str::<Normal<'_>>(posted)
        && normal.holds()
    {
        return Ok(posted.to_owned());
    }
    let document = shape(posted, upright)?;
    check_size(&document, bytes_max)?;
    Ok(document)
}

/// A result as it is kept, taken apart.
#[derive(Deserialize)]
struct Kept<'a> {
    #[serde(borrow)]
    items: Vec<&'a RawValue>,
    #[serde(borrow)]
    fields: BTreeMap<String, &'a RawValue>,
}

/// What is written down of a result as it is kept, so that it is found.
pub fn said(document: &str) -> Vec<ItemRow> {
    // It held when it came.
    let Ok(Kept { items, fields }) = serde_json::from_str(document) else { return Vec::new() };
    let said = |item: &RawValue| serde_json::from_str::<Parts<'_>>(item.get()).ok()?.check().ok().flatten();
    rows(items.into_iter().map(said), check_fields("/fields", &fields).unwrap_or_default())
}

/// An item that says something, as it is kept.
#[derive(Debug)]
pub struct KnownItem<'a> {
    pub said: ItemRow,
    /// Of a box, where it lies.
    pub corners: Option<[f64; 4]>,
    pub json: &'a RawValue,
}

/// The items of a result as it is kept, but for those that say nothing by themselves, as embeddings.
pub fn items(document: &str) -> Vec<KnownItem<'_>> {
    let Ok(Kept { items, .. }) = serde_json::from_str(document) else { return Vec::new() };
    let known = |json: &'_ RawValue| {
        let parts = serde_json::from_str::<Parts<'_>>(json.get()).ok()?;
        Some((parts.check().ok().flatten()?, parts.corners()))
    };
    let items =
        items.into_iter().filter_map(|json| known(json).map(|(said, corners)| KnownItem { said, corners, json }));
    items.collect()
}

/// Whether a result may have places in pixels, so that its image's size is to be known: only then is it looked up.
pub fn may_be_in_pixels(posted: &RawValue) -> bool {
    // An escape may hide the word.
    ["\"px\"", "\\u"].iter().any(|sign| memchr::memmem::find(posted.get().as_bytes(), sign.as_bytes()).is_some())
}

/// What a training run came to: any JSON of at most `bytes_max` bytes, kept as it was posted.
pub fn as_posted(posted: &RawValue, bytes_max: usize) -> Result<String, Fault> {
    check_whole(posted.get(), bytes_max)?;
    Ok(posted.get().to_owned())
}

/// Refuses a result that is too large, or that could not be kept.
fn check_whole(posted: &str, bytes_max: usize) -> Result<(), Fault> {
    check_size(posted, bytes_max)?;
    json::check(posted).map_err(|fault| match fault.code {
        // It came in JSON that could be read: what is wrong is this result alone.
        Code::MalformedJson | Code::InvalidField => invalid("", fault.detail),
        _ => fault.on(""),
    })
}

fn check_size(text: &str, bytes_max: usize) -> Result<(), Fault> {
    if text.len() <= bytes_max {
        return Ok(());
    }
    let detail = format!("The result has {} bytes of JSON; the limit is {bytes_max}.", text.len());
    Err(Fault::new(Code::ResultTooLarge, detail).on(""))
}

fn invalid(pointer: impl Into<String>, why: impl Into<String>) -> Fault {
    Fault::new(Code::InvalidResult, why).on(pointer)
}

/// A whole document with nothing to mend, read once; whatever fails here is looked at again, part by part.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Normal<'a> {
    items: Vec<GoodItem>,
    #[serde(borrow)]
    fields: BTreeMap<String, &'a RawValue>,
    #[serde(borrow)]
    summary: &'a RawValue,
}

impl Normal<'_> {
    fn holds(&self) -> bool {
        self.items.len() <= ITEMS_MAX && is_summary(self.summary.get()) && check_fields("/fields", &self.fields).is_ok()
    }
}

/// An item in fractions that holds.
struct GoodItem;

impl<'de> Deserialize<'de> for GoodItem {
    fn deserialize<D: Deserializer<'de>>(item: D) -> Result<Self, D::Error> {
        let parts = Parts::deserialize(item)?;
        let holds = !parts.has_unit() && parts.check().is_ok();
        if holds { Ok(Self) } else { Err(D::Error::custom("an item to be looked at again")) }
    }
}

/// The document's parts, of which one at least is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Loose<'a> {
    #[serde(borrow)]
    items: Option<&'a RawValue>,
    #[serde(borrow)]
    fields: Option<&'a RawValue>,
    #[serde(borrow)]
    summary: Option<&'a RawValue>,
}

/// The parts of the upstream style.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Upstream<'a> {
    #[serde(borrow)]
    classes: Option<&'a RawValue>,
    #[serde(borrow)]
    result: Option<&'a RawValue>,
}

fn shape(posted: &str, upright: Option<Upright>) -> Result<String, Fault> {
    let is_map = posted.starts_with('{');
    let is_empty = is_map && posted[1..].trim_start().starts_with('}');
    if !is_map || is_empty {
        return value(posted);
    }
    if let Ok(document) = serde_json::from_str::<Loose<'_>>(posted) {
        return read_document(&document, upright);
    }
    match serde_json::from_str::<Upstream<'_>>(posted) {
        Ok(upstream) => read_upstream(&upstream),
        Err(_) => value(posted),
    }
}

fn write(items: &str, fields: &str, summary: &str) -> String {
    ["{\"items\":", items, ",\"fields\":", fields, ",\"summary\":", summary, "}"].concat()
}

fn value(other: &str) -> Result<String, Fault> {
    let fields = ["{\"value\":", other, "}"].concat();
    read_fields("/fields", &fields)?;
    Ok(write("[]", &fields, "null"))
}

fn read_document(document: &Loose<'_>, upright: Option<Upright>) -> Result<String, Fault> {
    let mut items = Vec::new();
    for (index, item) in list("/items", document.items.map_or("[]", RawValue::get))?.into_iter().enumerate() {
        let item = read_item(item.get(), upright).map_err(|Wrong { member, why }| {
            let within = if member.is_empty() { "" } else { "/" };
            let pointer = format!("/items/{index}{within}{member}");
            let why = format!("{pointer} {why}.");
            invalid(pointer, why)
        })?;
        items.push(item);
    }
    let fields = document.fields.map_or("{}", RawValue::get);
    read_fields("/fields", fields)?;
    let summary = document.summary.map_or("null", RawValue::get);
    if !is_summary(summary) {
        let why = format!("/summary is not a text of at most {SUMMARY_CHARS_MAX} characters.");
        return Err(invalid("/summary", why));
    }
    Ok(write(&["[", &items.join(","), "]"].concat(), fields, summary))
}

/// An item that holds, in fractions.
fn read_item(item: &str, upright: Option<Upright>) -> Result<Cow<'_, str>, Wrong> {
    let parts =
        |item| serde_json::from_str::<Parts<'_>>(item).map_err(|_| item::wrong("", "an object with a text `type`"));
    let converted = pixels::convert(item, &parts(item)?, upright)?;
    parts(&converted)?.check()?;
    Ok(converted)
}

fn read_upstream(upstream: &Upstream<'_>) -> Result<String, Fault> {
    let mut items = Vec::new();
    for (index, class) in list("/classes", upstream.classes.map_or("[]", RawValue::get))?.into_iter().enumerate() {
        let item = ["{\"type\":\"label\",\"label\":", class.get(), "}"].concat();
        read_item(&item, None).map_err(|wrong| {
            let pointer = format!("/classes/{index}");
            let why = format!("{pointer} {}.", wrong.why);
            invalid(pointer, why)
        })?;
        items.push(item);
    }
    let result = upstream.result.map_or("{}", RawValue::get);
    let is_map = result.starts_with('{');
    let fields = if is_map { Cow::Borrowed(result) } else { Cow::Owned(["{\"value\":", result, "}"].concat()) };
    read_fields(if is_map { "/result" } else { "" }, &fields)?;
    Ok(write(&["[", &items.join(","), "]"].concat(), &fields, "null"))
}

fn list<'a>(place: &str, text: &'a str) -> Result<Vec<&'a RawValue>, Fault> {
    let list: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|_| invalid(place, format!("{place} is not a list.")))?;
    if list.len() > ITEMS_MAX {
        return Err(invalid(place, format!("{place} has {} items; the limit is {ITEMS_MAX}.", list.len())));
    }
    Ok(list)
}

fn read_fields(place: &str, fields: &str) -> Result<Vec<ItemRow>, Fault> {
    let fields: BTreeMap<String, &RawValue> =
        serde_json::from_str(fields).map_err(|_| invalid(place, format!("{place} is not an object.")))?;
    check_fields(place, &fields)
}

/// What is written down of fields: numbers, texts and flags. What is nested, or too long, is kept and not searched.
fn check_fields(place: &str, fields: &BTreeMap<String, &RawValue>) -> Result<Vec<ItemRow>, Fault> {
    if fields.len() > FIELDS_MAX {
        return Err(invalid(place, format!("{place} has {} fields; the limit is {FIELDS_MAX}.", fields.len())));
    }
    if let Some(name) = fields.keys().find(|name| !is_name(name)) {
        let name = shorten(name);
        let why = format!("{name:?} is no name of a field: a line of 1 to {NAME_CHARS_MAX} characters.");
        return Err(invalid(below(place, &name), why));
    }
    Ok(fields.iter().filter_map(|(name, value)| field(name, value)).take(FIELDS_INDEXED_MAX).collect())
}

fn field(name: &str, value: &RawValue) -> Option<ItemRow> {
    let (text, number) = match value.get().as_bytes().first()? {
        b'"' => (read(value).filter(|text: &String| text.chars().count() <= TEXT_CHARS_MAX), None),
        b't' | b'f' => (Some(value.get().to_owned()), None),
        b'-' | b'0'..=b'9' => (None, read(value)),
        _ => (None, None),
    };
    let row = ItemRow { place: 0, kind: "field", label: Some(name.to_owned()), value: number, text };
    (row.text.is_some() || row.value.is_some()).then_some(row)
}

/// What is written down: of the items, those of the highest scores.
fn rows(items: impl IntoIterator<Item = Option<ItemRow>>, fields: Vec<ItemRow>) -> Vec<ItemRow> {
    let places = 0_i16..;
    let mut rows: Vec<ItemRow> =
        places.zip(items).filter_map(|(place, item)| Some(ItemRow { place, ..item? })).collect();
    if rows.len() > ITEMS_INDEXED_MAX {
        let score = |row: &ItemRow| row.value.unwrap_or(-1.0);
        rows.sort_by(|a, b| score(b).total_cmp(&score(a)));
        rows.truncate(ITEMS_INDEXED_MAX);
    }
    rows.extend((1_i16..).zip(fields).map(|(place, field)| ItemRow { place: -place, ..field }));
    rows
}

fn is_summary(summary: &str) -> bool {
    serde_json::from_str::<Option<Cow<'_, str>>>(summary)
        .is_ok_and(|text| text.is_none_or(|text| text.chars().count() <= SUMMARY_CHARS_MAX))
}

#[cfg(test)]
mod tests;
