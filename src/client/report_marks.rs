//! Marks over a photograph: boxes, polygons of text and points, in fractions of the upright image.

use std::collections::HashMap;
use std::fmt::Write;

use serde_json::Value;

use super::outcome::Photo;
use super::report_text::{esc, prose, score};
use super::text;

/// Colours of the style sheet, classes `c0`, `c1`, …
const COLOURS: usize = 8;
/// With more marks than this their labels would hide the photograph; they show on hovering.
const TAGS_MAX: usize = 14;
/// Longest label at a mark, in characters.
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
struct Mark {
    shape: String,
    label: String,
    /// What has the same colour: equal labels, and all recognised text.
    family: String,
    score: Option<f64>,
    /// Left, top and right edge in fractions.
    edges: [f64; 3],
    dots: bool,
}

/// The overlay of a photograph; empty if there is nothing to mark.
pub(super) fn overlay(photo: &Photo, palette: &mut Palette) -> String {
    let items = photo.jobs.iter().filter_map(|job| job.result.as_ref()).flat_map(|r| &r.items);
    let marks: Vec<Mark> = items.filter_map(mark).collect();
    if marks.is_empty() {
        return String::new();
    }
    let mut svg = String::new();
    let mut tags = String::new();
    for mark in &marks {
        let class = palette.class(&mark.family);
        let said = said(mark);
        let kind = if mark.dots { " dots" } else { "" };
        // Twice: a dark line beneath keeps the coloured one visible on any photograph.
        let _ = write!(
            svg,
            "<g class=\"{class}{kind}\"><title>{said}</title><path class=\"under\" d=\"{0}\"/>\
             <path class=\"over\" d=\"{0}\"/></g>",
            mark.shape
        );
        if marks.len() <= TAGS_MAX && !mark.label.is_empty() && !mark.dots {
            tags.push_str(&tag(mark, &class, &said));
        }
    }
    format!("<svg class=\"marks\" viewBox=\"0 0 1000 1000\" preserveAspectRatio=\"none\">{svg}</svg>{tags}")
}

fn said(mark: &Mark) -> String {
    match mark.score.filter(|_| mark.family != "text") {
        Some(value) => format!("{} {}", esc(&mark.label), score(value)),
        None => esc(&mark.label),
    }
}

/// The label of a mark; where there is no room outside the photograph it lies inside.
fn tag(mark: &Mark, class: &str, said: &str) -> String {
    let [left, top, right] = mark.edges;
    let inside = if top < 0.07 { " in" } else { "" };
    let side =
        if left > 0.6 { format!("right:{:.2}%", (1.0 - right) * 100.0) } else { format!("left:{:.2}%", left * 100.0) };
    format!("<span class=\"tag {class}{inside}\" style=\"{side};top:{:.2}%\">{said}</span>", top * 100.0)
}

fn mark(item: &Value) -> Option<Mark> {
    let member = |key: &str| item.get(key).and_then(Value::as_str);
    let kind = member("type")?;
    let label = member("label").or_else(|| member("text")).unwrap_or_default();
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
    let edge = |pick: fn(&(f64, f64)) -> f64, fold: fn(f64, f64) -> f64| corners.iter().map(pick).reduce(fold);
    let edges = [edge(|point| point.0, f64::min)?, edge(|point| point.1, f64::min)?, edge(|point| point.0, f64::max)?];
    let family = text::one_line(if kind == "text" { kind } else { label }, LABEL_MAX);
    let label = text::one_line(label, LABEL_MAX);
    Some(Mark { shape: path(&corners, dots), label, family, score: item_score(item), edges, dots })
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

/// The score of an item, if it has one.
pub(super) fn item_score(item: &Value) -> Option<f64> {
    item.get("score").and_then(Value::as_f64).filter(|score| score.is_finite())
}

/// What an item says in the list below the photograph: (name, text) of those that are not tallied.
pub(super) fn spoken(item: &Value) -> Option<(&'static str, String)> {
    let text = |key: &str| item.get(key).and_then(Value::as_str).unwrap_or_default();
    let joined = |a: &str, b: &str| prose(&[a, b].join(" "));
    match text("type") {
        "embedding" => {
            let dim = item.get("dim").and_then(Value::as_u64).unwrap_or_default();
            Some(("embedding", joined(text("space"), &format!("({dim} values)"))))
        }
        "hash" => Some(("hash", joined(text("algo"), text("value")))),
        "file" => Some(("file", joined(text("name"), text("media_type")))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn boxes_become_closed_paths_within_the_photograph() {
        let item = json!({"type": "box", "box": [0.25, -0.1, 0.5, 1.2], "label": "cat", "score": 0.9});
        let mark = mark(&item).unwrap();
        assert_eq!(mark.shape, "M250.0 0.0L500.0 0.0L500.0 1000.0L250.0 1000.0Z");
        assert_eq!(said(&mark), "cat 0.90");
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
            assert!(mark(&item).is_none(), "{item}");
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
