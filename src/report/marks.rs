//! Marks over a photograph: boxes, polygons of text and points, in fractions of the upright image.

use std::collections::HashMap;
use std::fmt::Write;

use serde::Serialize;
use serde_json::Value;

use crate::client::outcome::Photo;
use crate::client::text;

/// Colours of the style sheet, classes `c0`, `c1`, …
const COLOURS: usize = 8;
/// With more marks than this their labels would hide the photograph; they show on hovering.
const TAGS_MAX: usize = 14;
/// Longest label at a mark, in columns.
pub(super) const LABEL_MAX: usize = 28;

/// One colour per label, the same all over the page.
#[derive(Default)]
pub(super) struct Palette(HashMap<String, usize>);

impl Palette {
    pub(super) fn class(&mut self, label: &str) -> String {
        let next = self.0.len() % COLOURS;
        format!("c{}", self.0.entry(label.to_owned()).or_insert(next))
    }
}

/// A shape in the 1000 × 1000 units of the overlay, and what is said of it.
#[derive(Serialize)]
pub(super) struct Mark {
    class: String,
    shape: String,
    dots: bool,
    said: String,
    /// Where the label stands, if it does; where there is no room outside the photograph it lies inside.
    place: Option<String>,
    inside: bool,
}

/// The marks of a photograph, in the order of its results.
pub(super) fn marks(photo: &Photo, palette: &mut Palette) -> Vec<Mark> {
    let items = photo.jobs.iter().filter_map(|job| job.result.as_ref()).flat_map(|r| &r.items);
    let mut marks: Vec<Mark> = items.filter_map(|item| mark(item, palette)).collect();
    if marks.len() > TAGS_MAX {
        marks.iter_mut().for_each(|mark| mark.place = None);
    }
    marks
}

fn mark(item: &Value, palette: &mut Palette) -> Option<Mark> {
    let kind = member(item, "type")?;
    let corners = match kind {
        "box" | "face" => box_corners(item.get("box")?)?,
        "text" => match item.get("polygon") {
            Some(polygon) => points(polygon)?,
            None => box_corners(item.get("box")?)?,
        },
        "points" => points(item.get("points")?)?,
        _ => return None,
    };
    let dots = kind == "points";
    let label = text::one_line(member(item, "label").or(member(item, "text")).unwrap_or_default(), LABEL_MAX);
    // What has the same colour: equal labels, and all recognised text.
    let class = palette.class(if kind == "text" { kind } else { &label });
    let score = item_score(item).filter(|_| kind != "text" && label != "text");
    let left = corners.iter().map(|point| point.0).fold(1.0, f64::min);
    let right = corners.iter().map(|point| point.0).fold(0.0, f64::max);
    let top = corners.iter().map(|point| point.1).fold(1.0, f64::min);
    let side = if left > 0.6 { ("right", 1.0 - right) } else { ("left", left) };
    let place = format!("{}:{:.2}%;top:{:.2}%", side.0, side.1 * 100.0, top * 100.0);
    Some(Mark {
        class,
        shape: path(&corners, dots),
        dots,
        place: (!label.is_empty() && !dots).then_some(place),
        said: score.map_or_else(|| label.clone(), |score| format!("{label} {score:.2}")),
        inside: top < 0.07,
    })
}

fn path(corners: &[(f64, f64)], dots: bool) -> String {
    let mut path = String::new();
    for (index, (x, y)) in corners.iter().enumerate() {
        let step = if dots || index == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{step}{:.1} {:.1}", x * 1_000.0, y * 1_000.0);
        if dots {
            // A line of no length with round ends is a dot however the overlay is stretched.
            path.push_str("h.01");
        }
    }
    if !dots {
        path.push('Z');
    }
    path
}

fn box_corners(value: &Value) -> Option<Vec<(f64, f64)>> {
    let sides: Vec<f64> = value.as_array()?.iter().filter_map(fraction).collect();
    let [x0, y0, x1, y1] = sides.try_into().ok()?;
    Some(vec![(x0, y0), (x1, y0), (x1, y1), (x0, y1)])
}

fn points(value: &Value) -> Option<Vec<(f64, f64)>> {
    let point = |pair: &Value| Some((fraction(pair.get(0)?)?, fraction(pair.get(1)?)?));
    let all: Option<Vec<_>> = value.as_array()?.iter().map(point).collect();
    all.filter(|points| !points.is_empty())
}

/// A number within the photograph; models overshoot its edge a little.
fn fraction(value: &Value) -> Option<f64> {
    value.as_f64().filter(|number| number.is_finite()).map(|number| number.clamp(0.0, 1.0))
}

/// A text of an item.
pub(super) fn member<'i>(item: &'i Value, key: &str) -> Option<&'i str> {
    item.get(key).and_then(Value::as_str)
}

/// The score of an item, if it has one.
pub(super) fn item_score(item: &Value) -> Option<f64> {
    item.get("score").and_then(Value::as_f64).filter(|score| score.is_finite())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn boxes_become_closed_paths_within_the_photograph() {
        let item = json!({"type": "box", "box": [0.25, -0.1, 0.5, 1.2], "label": "cat", "score": 0.9});
        let mark = mark(&item, &mut Palette::default()).unwrap();
        assert_eq!(mark.shape, "M250.0 0.0L500.0 0.0L500.0 1000.0L250.0 1000.0Z");
        assert_eq!((mark.said.as_str(), mark.place.as_deref()), ("cat 0.90", Some("left:25.00%;top:0.00%")));
    }

    #[test]
    fn malformed_items_are_passed_over() {
        for item in [
            json!({"type": "box", "box": [0.1, 0.2, 0.3]}),
            json!({"type": "box", "box": ["\"/><script>", 0, 1, 1]}),
            json!({"type": "points", "points": [[0.1]]}),
            json!({"type": "points", "points": []}),
            json!({"label": "no type"}),
            json!(7),
        ] {
            assert!(mark(&item, &mut Palette::default()).is_none(), "{item}");
        }
    }

    #[test]
    fn labels_keep_their_colour() {
        let mut palette = Palette::default();
        let first = palette.class("cat");
        assert_ne!(palette.class("dog"), first);
        assert_eq!(palette.class("cat"), first);
    }
}
