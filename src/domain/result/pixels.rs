//! Places in pixels of the upright image become fractions of it.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::item::{Parts, Wrong, known, read, wrong};

/// The size of an image as people see it, in pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Upright {
    pub width: f64,
    pub height: f64,
}

impl Upright {
    /// Of an image that is stored so, with its EXIF orientation: from 5 on it lies on its side.
    pub fn new(width: i32, height: i32, orientation: Option<i16>) -> Self {
        let (width, height) = (f64::from(width), f64::from(height));
        if orientation.is_some_and(|orientation| orientation >= 5) {
            return Self { width: height, height: width };
        }
        Self { width, height }
    }
}

/// The item without its unit, in fractions; one without a unit, or of a type that is not known, as it is.
pub(super) fn convert<'i>(item: &'i str, parts: &Parts<'_>, upright: Option<Upright>) -> Result<Cow<'i, str>, Wrong> {
    if !parts.has_unit() || parts.kind().is_none_or(|kind| known(&kind).is_none()) {
        return Ok(Cow::Borrowed(item));
    }
    if !parts.is_in_pixels() {
        return Err(wrong("unit", "\"px\"; without a unit, places are fractions of the upright image"));
    }
    let upright = upright.ok_or_else(|| wrong("unit", "convertible: the image is not known any more"))?;
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(item).map_err(|_| wrong("", "an object with a text `type`"))?;
    let mut written = Vec::with_capacity(members.len());
    for (name, value) in members.iter().filter(|(name, _)| *name != "unit") {
        let converted = match name.as_str() {
            "box" => read(value).map(|corners: [f64; 4]| fractions("box", &corners, upright)),
            "polygon" => read(value).map(|points: Vec<_>| all_fractions("polygon", &points, upright)),
            "points" => read(value).map(|points: Vec<_>| all_fractions("points", &points, upright)),
            _ => None,
        };
        // What could not be read is told with what it should be by the check that follows.
        let value = converted.transpose()?.map_or(Cow::Borrowed(value.get()), Cow::Owned);
        written.push([&serde_json::json!(name).to_string(), ":", &value].concat());
    }
    Ok(Cow::Owned(["{", &written.join(","), "}"].concat()))
}

fn all_fractions(member: &'static str, points: &[[f64; 2]], upright: Upright) -> Result<String, Wrong> {
    let points: Result<Vec<String>, Wrong> = points.iter().map(|point| fractions(member, point, upright)).collect();
    Ok(["[", &points?.join(","), "]"].concat())
}

/// Numbers that go by turns along the width and the height.
fn fractions(member: &'static str, pixels: &[f64], upright: Upright) -> Result<String, Wrong> {
    let Upright { width, height } = upright;
    let sides = [width, height].into_iter().cycle();
    if !pixels.iter().zip(sides.clone()).all(|(at, side)| (0.0..=side).contains(at)) {
        return Err(wrong(member, &format!("within the {width} × {height} pixels of the upright image")));
    }
    let fractions: Vec<f64> = pixels.iter().zip(sides).map(|(at, side)| at / side).collect();
    Ok(serde_json::json!(fractions).to_string())
}
