//! The result document: what a model said of an image.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::fault::{Code, Fault};
use super::json;

/// The most items one result may have; more belongs in a file of the model's own.
pub const ITEMS_MAX: usize = 10_000;
/// The longest summary, in characters.
const SUMMARY_CHARS_MAX: usize = 1000;

/// Brings what a worker posted into the one shape `{"items":[…],"fields":{…},"summary":null}`, its parts as they were written.
///
/// The upstream style `{"classes":[…],"result":{…}}` becomes labels and fields; any other JSON is kept under
/// `fields.value`. Neither what is posted nor what is made of it has more than `bytes_max` bytes. A fault says where in the
/// result it lies.
pub fn normalise(posted: &RawValue, bytes_max: usize) -> Result<String, Fault> {
    let posted = posted.get();
    check_size(posted, bytes_max)?;
    json::check(posted).map_err(|fault| match fault.code {
        // It came in JSON that could be read: what is wrong is this result alone.
        Code::MalformedJson | Code::InvalidField => invalid("", fault.detail),
        _ => fault.on(""),
    })?;
    if posted.starts_with('{') && serde_json::from_str::<Normal<'_>>(posted).is_ok_and(|normal| normal.holds()) {
        return Ok(posted.to_owned());
    }
    let document = shape(posted)?;
    check_size(&document, bytes_max)?;
    Ok(document)
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
    fields: &'a RawValue,
    #[serde(borrow)]
    summary: &'a RawValue,
}

impl Normal<'_> {
    fn holds(&self) -> bool {
        self.items.len() <= ITEMS_MAX && self.fields.get().starts_with('{') && is_summary(self.summary.get())
    }
}

/// An item that [`check_item`] lets pass. Reading nothing else is what makes the usual result cheap.
struct GoodItem;

impl<'de> Deserialize<'de> for GoodItem {
    fn deserialize<D: Deserializer<'de>>(item: D) -> Result<Self, D::Error> {
        item.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for GoodItem {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut item: A) -> Result<Self, A::Error> {
        #[derive(Deserialize)]
        #[serde(field_identifier, rename_all = "snake_case")]
        enum Member {
            Type,
            Box,
            #[serde(other)]
            Other,
        }
        let (mut kind, mut corners) = (None, None);
        while let Some(key) = item.next_key()? {
            match key {
                Member::Type => kind = Some(item.next_value::<&str>()?),
                Member::Box => corners = Some(item.next_value::<&RawValue>()?),
                Member::Other => drop(item.next_value::<IgnoredAny>()?),
            }
        }
        match kind {
            Some("box") if !corners.is_some_and(|corners| is_box(corners.get())) => Err(A::Error::custom("no box")),
            Some(_) => Ok(self),
            None => Err(A::Error::missing_field("type")),
        }
    }
}

/// The document's parts, of which one at least is there.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
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

fn shape(posted: &str) -> Result<String, Fault> {
    let is_map = posted.starts_with('{');
    let is_empty = is_map && posted[1..].trim_start().starts_with('}');
    if !is_map || is_empty {
        return Ok(value(posted));
    }
    if let Ok(document) = serde_json::from_str::<Document<'_>>(posted) {
        return read_document(&document);
    }
    match serde_json::from_str::<Upstream<'_>>(posted) {
        Ok(upstream) => read_upstream(&upstream),
        Err(_) => Ok(value(posted)),
    }
}

fn write(items: &str, fields: &str, summary: &str) -> String {
    ["{\"items\":", items, ",\"fields\":", fields, ",\"summary\":", summary, "}"].concat()
}

fn value(other: &str) -> String {
    write("[]", &["{\"value\":", other, "}"].concat(), "null")
}

fn read_document(document: &Document<'_>) -> Result<String, Fault> {
    let items = document.items.map_or("[]", RawValue::get);
    for (index, item) in list("/items", items)?.into_iter().enumerate() {
        check_item(index, item.get())?;
    }
    let fields = document.fields.map_or("{}", RawValue::get);
    if !fields.starts_with('{') {
        return Err(invalid("/fields", "/fields is not an object."));
    }
    let summary = document.summary.map_or("null", RawValue::get);
    if !is_summary(summary) {
        let why = format!("/summary is not a text of at most {SUMMARY_CHARS_MAX} characters.");
        return Err(invalid("/summary", why));
    }
    Ok(write(items, fields, summary))
}

fn read_upstream(upstream: &Upstream<'_>) -> Result<String, Fault> {
    let classes = list("/classes", upstream.classes.map_or("[]", RawValue::get))?;
    let labels: Vec<String> =
        classes.iter().map(|class| ["{\"type\":\"label\",\"label\":", class.get(), "}"].concat()).collect();
    let items = ["[", &labels.join(","), "]"].concat();
    match upstream.result.map_or("{}", RawValue::get) {
        fields if fields.starts_with('{') => Ok(write(&items, fields, "null")),
        other => Ok(write(&items, &["{\"value\":", other, "}"].concat(), "null")),
    }
}

fn list<'a>(place: &str, text: &'a str) -> Result<Vec<&'a RawValue>, Fault> {
    let list: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|_| invalid(place, format!("{place} is not a list.")))?;
    if list.len() > ITEMS_MAX {
        return Err(invalid(place, format!("{place} has {} items; the limit is {ITEMS_MAX}.", list.len())));
    }
    Ok(list)
}

/// What is looked at of an item; the rest is the model's own.
#[derive(Deserialize)]
struct TypeAndBox<'a> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'a, str>,
    #[serde(rename = "box", borrow)]
    corners: Option<&'a RawValue>,
}

/// An item is an object with a `type`; the geometry of a box is checked, other types are kept as they are.
fn check_item(index: usize, item: &str) -> Result<(), Fault> {
    let read = serde_json::from_str::<TypeAndBox<'_>>(item).ok().filter(|_| item.starts_with('{'));
    let Some(TypeAndBox { kind, corners }) = read else {
        let pointer = format!("/items/{index}");
        let why = format!("{pointer} is not an object with a text `type`.");
        return Err(invalid(pointer, why));
    };
    if kind == "box" && !corners.is_some_and(|corners| is_box(corners.get())) {
        let pointer = format!("/items/{index}/box");
        let what = "[x0, y0, x1, y1] in fractions 0…1 of the upright image with x0 < x1 and y0 < y1";
        let why = format!("{pointer} is not {what}.");
        return Err(invalid(pointer, why));
    }
    Ok(())
}

fn is_summary(summary: &str) -> bool {
    serde_json::from_str::<Option<Cow<'_, str>>>(summary)
        .is_ok_and(|text| text.is_none_or(|text| text.chars().count() <= SUMMARY_CHARS_MAX))
}

fn is_box(corners: &str) -> bool {
    let inside = |v: &f64| (0.0..=1.0).contains(v);
    serde_json::from_str::<[f64; 4]>(corners)
        .is_ok_and(|[x0, y0, x1, y1]| x0 < x1 && y0 < y1 && [x0, y0, x1, y1].iter().all(inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normal(posted: &str) -> Result<String, Fault> {
        let posted: &RawValue = serde_json::from_str(posted).expect("JSON");
        normalise(posted, 4096)
    }

    #[test]
    fn every_posted_shape_becomes_the_document() {
        let cases = [
            (r#"{"items": [], "summary": "x"}"#, r#"{"items":[],"fields":{},"summary":"x"}"#),
            (
                r#"{"fields":{"n":18446744073709551617},"items":null,"summary":null}"#,
                r#"{"items":[],"fields":{"n":18446744073709551617},"summary":null}"#,
            ),
            (
                r#"{"classes": ["cat"], "result": {"n": 1}}"#,
                r#"{"items":[{"type":"label","label":"cat"}],"fields":{"n": 1},"summary":null}"#,
            ),
            (r#"{"classes":["a","b"],"result":3}"#, {
                r#"{"items":[{"type":"label","label":"a"},{"type":"label","label":"b"}],"fields":{"value":3},"summary":null}"#
            }),
            (r#""text""#, r#"{"items":[],"fields":{"value":"text"},"summary":null}"#),
            (r#"{"a":1}"#, r#"{"items":[],"fields":{"value":{"a":1}},"summary":null}"#),
            (r#"{"items":3,"a":1}"#, r#"{"items":[],"fields":{"value":{"items":3,"a":1}},"summary":null}"#),
            ("{ }", r#"{"items":[],"fields":{"value":{ }},"summary":null}"#),
            ("[[]]", r#"{"items":[],"fields":{"value":[[]]},"summary":null}"#),
            ("[[],{},null]", r#"{"items":[],"fields":{"value":[[],{},null]},"summary":null}"#),
        ];
        for (posted, kept) in cases {
            assert_eq!(normal(posted).as_deref(), Ok(kept), "{posted}");
        }
        let written = r#"{"items":[{"box":[0,0.1,0.5,1],"type":"box","\u0061":[{}]}],"fields":{},"summary":"\"é\""}"#;
        assert_eq!(normal(written).as_deref(), Ok(written));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        let long = format!("{{\"summary\":\"{}\"}}", "é".repeat(SUMMARY_CHARS_MAX + 1));
        let large = format!("{{\"fields\":{{\"a\":\"{}\"}}}}", "x".repeat(5000));
        let grown = format!("{{\"classes\":[{}0]}}", "0,".repeat(1000));
        for (posted, code, pointer) in [
            (
                r#"{"items":[{"type":"label"},{"type":"box","box":[0.5,0.1,0.4,0.2]}]}"#,
                "invalid_result",
                "/items/1/box",
            ),
            (r#"{"items":[{"type":"box","box":[0.1,0.1,1.4,0.2]}]}"#, "invalid_result", "/items/0/box"),
            (r#"{"items":[{"type":"box","box":[0.1,0.1,0.4,0.2,1]}]}"#, "invalid_result", "/items/0/box"),
            (r#"{"items":[{"type":"box"}]}"#, "invalid_result", "/items/0/box"),
            (r#"{"items":[{"type":3}]}"#, "invalid_result", "/items/0"),
            (r#"{"items":[["box",[0,0,1,1]]]}"#, "invalid_result", "/items/0"),
            (r#"{"items":[3]}"#, "invalid_result", "/items/0"),
            (r#"{"items":{}}"#, "invalid_result", "/items"),
            (r#"{"fields":[]}"#, "invalid_result", "/fields"),
            (r#"{"summary":7}"#, "invalid_result", "/summary"),
            (&long, "invalid_result", "/summary"),
            (&large, "result_too_large", ""),
            (&grown, "result_too_large", ""),
            (r#"{"fields":{"a":"\u0000"}}"#, "nul_character", ""),
            (r#"{"fields":{"a":1,"a":2}}"#, "duplicate_key", ""),
            (r#"{"items":[],"items":[]}"#, "duplicate_key", ""),
            (r#""\udc00""#, "invalid_result", ""),
            ("1e999", "invalid_result", ""),
            (&"[".repeat(33).chars().chain("]".repeat(33).chars()).collect::<String>(), "too_deep", ""),
        ] {
            let fault = normal(posted).expect_err(posted);
            let at: Vec<&str> = fault.errors.iter().map(|e| e.pointer.as_str()).collect();
            assert_eq!((fault.code.as_str(), at), (code, vec![pointer]), "{posted}");
        }
    }
}
