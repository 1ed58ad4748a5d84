//! One item of a result: what each type must hold, and what of it is written down to be searched.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::domain::text::check_line;

/// The longest label, name of a space, of an algorithm or of a file, in characters: they stand in lists.
pub(super) const NAME_CHARS_MAX: usize = 200;
/// The longest text of an item, in characters: a page of small print.
pub(super) const TEXT_CHARS_MAX: usize = 10_000;
/// The longest hash, in characters: 1,024 bits in hexadecimal.
const HASH_CHARS_MAX: usize = 256;
/// The most points of a polygon or of an item of points: an outline by the pixel belongs in a file.
const POINTS_MAX: usize = 1_000;
/// The most numbers of an embedding: more than today's models give.
const DIMENSIONS_MAX: usize = 4_096;

/// What is written down of an item or a field of a result, so that it is found without looking into the document.
#[derive(Debug, Clone, PartialEq)]
pub struct ItemRow {
    /// Its place among the items; of a field, one below 0.
    pub place: i16,
    /// The item's type, or `field`.
    pub kind: &'static str,
    /// What the item is labelled, the algorithm of a hash, or the field's name.
    pub label: Option<String>,
    /// The item's score, or the field's number.
    pub value: Option<f64>,
    /// The text that was read, the hash, or a field's text.
    pub text: Option<String>,
}

impl ItemRow {
    /// Whether its label says what is to be seen.
    pub fn is_labelled(&self) -> bool {
        self.label.is_some() && !matches!(self.kind, "field" | "hash")
    }
}

/// What is wrong with an item: in which member, if in one, and what that should be.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) member: &'static str,
    pub(super) why: String,
}

/// The members that have a meaning; an item may have others, which are the model's own.
#[derive(Clone, Copy, Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
pub(super) enum Member {
    Type,
    Box,
    Polygon,
    Points,
    Unit,
    Label,
    Score,
    Text,
    Space,
    Dim,
    Values,
    Algo,
    Value,
    Name,
    MediaType,
    #[serde(other)]
    Other,
}

/// An item taken apart once; a member that is null is not there.
#[derive(Default)]
pub(super) struct Parts<'a>([Option<&'a RawValue>; Member::Other as usize]);

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(item: D) -> Result<Self, D::Error> {
        item.deserialize_map(PartsVisitor)
    }
}

struct PartsVisitor;

impl<'de> Visitor<'de> for PartsVisitor {
    type Value = Parts<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an item")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut item: A) -> Result<Self::Value, A::Error> {
        let mut parts = Parts::default();
        while let Some(member) = item.next_key()? {
            match member {
                Member::Other => drop(item.next_value::<IgnoredAny>()?),
                known => parts.0[known as usize] = Some(item.next_value()?).filter(|v: &&RawValue| v.get() != "null"),
            }
        }
        Ok(parts)
    }
}

impl<'a> Parts<'a> {
    /// Its type, if it has one.
    pub(super) fn kind(&self) -> Option<Cow<'a, str>> {
        self.get(Member::Type).and_then(read)
    }

    /// Whether it says in which unit its places are.
    pub(super) fn has_unit(&self) -> bool {
        self.get(Member::Unit).is_some()
    }

    /// Whether that is pixels.
    pub(super) fn is_in_pixels(&self) -> bool {
        self.get(Member::Unit).and_then(read::<Cow<'_, str>>).is_some_and(|unit| unit == "px")
    }

    /// Where a box lies.
    pub(super) fn corners(&self) -> Option<[f64; 4]> {
        self.get(Member::Box).filter(|_| self.kind().is_some_and(|kind| kind == "box")).and_then(read)
    }

    pub(super) fn get(&self, member: Member) -> Option<&'a RawValue> {
        self.0[member as usize]
    }

    /// What is written down of it, which is nothing of a type that is not searched. Every member that its type gives a meaning to
    /// is checked; of a type that is not known nothing is.
    pub(super) fn check(&self) -> Result<Option<ItemRow>, Wrong> {
        let kind = self.kind().ok_or_else(|| wrong("", "an object with a text `type`"))?;
        let Some(kind) = known(&kind) else { return Ok(None) };
        self.places(kind)?;
        let (label, value) = (self.name(Member::Label, "label", kind == "label")?, self.score()?);
        let row = |label, text| Some(ItemRow { place: 0, kind, label, value, text });
        Ok(match kind {
            "text" => row(label, self.text(Member::Text, "text", TEXT_CHARS_MAX)?),
            "hash" => {
                let algo = self.name(Member::Algo, "algo", true)?;
                row(algo, self.text(Member::Value, "value", HASH_CHARS_MAX)?)
            }
            "embedding" => {
                self.embedding()?;
                None
            }
            "file" => {
                self.name(Member::Name, "name", true)?;
                self.name(Member::MediaType, "media_type", false)?;
                None
            }
            _ => row(label, None),
        })
    }

    /// Where it lies: of a box its corners, of points its points; other types may have a box or a polygon.
    fn places(&self, kind: &str) -> Result<(), Wrong> {
        let corners = self.get(Member::Box);
        if (kind == "box" || corners.is_some()) && !corners.and_then(read).is_some_and(is_box) {
            return Err(wrong(
                "box",
                "[x0, y0, x1, y1] in fractions 0…1 of the upright image with x0 < x1 and y0 < y1",
            ));
        }
        let (polygon, points) = (self.get(Member::Polygon), self.get(Member::Points));
        for (member, there, needed) in [("polygon", polygon, false), ("points", points, kind == "points")] {
            if (needed || there.is_some()) && !there.and_then(read).is_some_and(|points: Vec<_>| are_points(&points)) {
                let what = format!("1 to {POINTS_MAX} points [x, y] in fractions 0…1 of the upright image");
                return Err(wrong(member, &what));
            }
        }
        Ok(())
    }

    fn score(&self) -> Result<Option<f64>, Wrong> {
        let Some(score) = self.get(Member::Score) else { return Ok(None) };
        let score = read(score).filter(|score| (0.0..=1.0).contains(score));
        score.map(Some).ok_or_else(|| wrong("score", "a number 0…1 or null"))
    }

    /// A short text of one line.
    fn name(&self, member: Member, called: &'static str, needed: bool) -> Result<Option<String>, Wrong> {
        let name = self.get(member);
        if name.is_none() && !needed {
            return Ok(None);
        }
        let name = name.and_then(read).filter(|name: &Cow<'_, str>| is_name(name));
        let name = name.ok_or_else(|| wrong(called, &format!("a line of 1 to {NAME_CHARS_MAX} characters")))?;
        Ok(Some(name.into_owned()))
    }

    fn text(&self, member: Member, called: &'static str, most: usize) -> Result<Option<String>, Wrong> {
        let text = self.get(member).and_then(read).filter(|text: &Cow<'_, str>| text.chars().count() <= most);
        let text = text.ok_or_else(|| wrong(called, &format!("a text of at most {most} characters")))?;
        Ok(Some(text.into_owned()))
    }

    fn embedding(&self) -> Result<(), Wrong> {
        self.name(Member::Space, "space", true)?;
        let values: Option<Vec<f64>> = self.get(Member::Values).and_then(read);
        let count = values.filter(|values| (1..=DIMENSIONS_MAX).contains(&values.len())).map(|values| values.len());
        let count = count.ok_or_else(|| wrong("values", &format!("1 to {DIMENSIONS_MAX} numbers")))?;
        match self.get(Member::Dim) {
            Some(dim) if read(dim) != Some(count) => {
                Err(wrong("dim", &format!("{count}, as many as there are values")))
            }
            _ => Ok(()),
        }
    }
}

/// The types that have a meaning.
const KINDS: [&str; 7] = ["box", "label", "text", "embedding", "hash", "points", "file"];

/// A type that has a meaning, if this is one.
pub(super) fn known(kind: &str) -> Option<&'static str> {
    KINDS.into_iter().find(|known| *known == kind)
}

pub(super) fn read<'a, T: Deserialize<'a>>(part: &'a RawValue) -> Option<T> {
    serde_json::from_str(part.get()).ok()
}

/// Whether it can be a name: one line, neither empty nor long.
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.chars().count() <= NAME_CHARS_MAX && check_line(name).is_ok()
}

pub(super) fn wrong(member: &'static str, what: &str) -> Wrong {
    Wrong { member, why: format!("is not {what}") }
}

fn is_box([x0, y0, x1, y1]: [f64; 4]) -> bool {
    x0 < x1 && y0 < y1 && [x0, y0, x1, y1].iter().all(is_inside)
}

fn are_points(points: &[[f64; 2]]) -> bool {
    (1..=POINTS_MAX).contains(&points.len()) && points.iter().flatten().all(is_inside)
}

fn is_inside(fraction: &f64) -> bool {
    (0.0..=1.0).contains(fraction)
}
