//! COCO: images, and what was seen in them, in pixels of the upright image. What COCO has no place for stands beside it: names, hashes, and of
//! annotations the model and its version, which give several of the same thing where several models see it.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::pieces::{DocumentEnd, ExportAbout, Pieces};
use super::result::ToldResult;
use crate::domain::exhibit::Exhibit;
use crate::domain::result::ToldItem;
use crate::domain::result::Upright;

/// The most categories, which are in memory while it is written: further labels are of one more, and told beside.
const CATEGORIES_MAX: usize = 10_000;
/// What those are called.
const OTHER: &str = "(other)";

/// A document that is being written.
#[derive(Debug, Default)]
pub struct Coco {
    /// Their numbers by name, from 1.
    categories: HashMap<String, usize>,
    images: u64,
    annotations: u64,
}

impl Coco {
    pub(super) fn begin(about: &ExportAbout, out: &mut Pieces) -> Self {
        let info = json!({
            "description": about.case_name, "version": env!("CARGO_PKG_VERSION"), "year": about.asked_at.format("%Y").to_string().parse::<i32>().ok(),
            "contributor": about.by, "date_created": about.asked_at, "export": about.export, "case": about.case, "filter": about.filter,
        });
        out.main.push_str(&format!("{{\"info\":{info},\n\"licenses\":[],\n\"images\":[\n"));
        Self::default()
    }

    pub(super) fn add(&mut self, exhibit: &Exhibit, out: &mut Pieces) -> serde_json::Result<()> {
        let upright = exhibit.upright();
        self.images += 1;
        let (image_id, mut labels) = (self.images, Vec::new());
        for result in &exhibit.results {
            for item in ToldResult::read(&result.result)?.items() {
                let said = (result.model.as_str(), result.version.as_str());
                match Outline::of(&item, upright) {
                    Some(outline) => {
                        self.annotations += 1;
                        let comma = if self.annotations > 1 { ",\n" } else { "" };
                        let annotation = self.annotation(image_id, &item, said, outline);
                        out.aside.push_str(comma);
                        out.aside.push_str(&serde_json::to_string(&annotation)?);
                    }
                    None if item.label.is_some() && item.kind == "label" => labels
                        .push(json!({"label": item.label, "score": item.score, "model": said.0, "version": said.1})),
                    None => {}
                }
            }
        }
        let comma = if image_id > 1 { ",\n" } else { "" };
        out.main.push_str(comma);
        out.main.push_str(&image(exhibit, image_id, upright, labels).to_string());
        Ok(())
    }

    fn annotation<'a>(
        &mut self,
        image_id: u64,
        item: &'a ToldItem,
        (model, version): (&'a str, &'a str),
        outline: Outline,
    ) -> Annotation<'a> {
        let category_id = self.category(item.label.as_deref().unwrap_or(&item.kind));
        let keypoints: Option<Vec<f64>> =
            item.points.is_some().then(|| outline.points.iter().flat_map(|[x, y]| [*x, *y, 2.0]).collect());
        let ring = if item.points.is_some() { Vec::new() } else { vec![outline.points.concat()] };
        Annotation {
            id: self.annotations,
            image_id,
            category_id,
            bbox: outline.bbox,
            area: outline.area,
            segmentation: ring,
            iscrowd: 0,
            num_keypoints: keypoints.as_ref().map(|points| points.len() / 3),
            keypoints,
            score: item.score,
            label: item.label.as_deref(),
            text: item.text.as_deref(),
            model,
            version,
        }
    }

    fn category(&mut self, name: &str) -> usize {
        if let Some(known) = self.categories.get(name) {
            return *known;
        }
        let name = if self.categories.len() < CATEGORIES_MAX { name } else { OTHER };
        let next = self.categories.len() + 1;
        *self.categories.entry(name.to_owned()).or_insert(next)
    }

    pub(super) fn end(self) -> DocumentEnd {
        let mut categories: Vec<(String, usize)> = self.categories.into_iter().collect();
        categories.sort_by_key(|(_, id)| *id);
        let told: Vec<Value> =
            categories.iter().map(|(name, id)| json!({"id": id, "name": name, "supercategory": ""})).collect();
        DocumentEnd {
            between: "\n],\n\"annotations\":[\n".to_owned(),
            last: format!("\n],\n\"categories\":{}}}\n", Value::from(told)),
        }
    }
}

fn image(exhibit: &Exhibit, id: u64, upright: Upright, labels: Vec<Value>) -> Value {
    json!({
        "id": id, "file_name": exhibit.path(), "width": upright.width as u64, "height": upright.height as u64,
        "date_captured": exhibit.derived.as_ref().and_then(|derived| derived.taken_at),
        "md5": exhibit.md5, "sha256": exhibit.sha256, "name": exhibit.names.first().map(|name| &name.name),
        "tags": exhibit.tags.iter().map(|tag| &tag.tag).collect::<Vec<_>>(), "labels": labels,
    })
}

#[derive(Serialize)]
struct Annotation<'a> {
    id: u64,
    image_id: u64,
    category_id: usize,
    /// Left, top, width, height.
    bbox: [f64; 4],
    area: f64,
    segmentation: Vec<Vec<f64>>,
    iscrowd: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    keypoints: Option<Vec<f64>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    num_keypoints: Option<usize>,
    score: Option<f64>,
    label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    model: &'a str,
    version: &'a str,
}

/// Where an item lies, in pixels.
struct Outline {
    /// Its corners, one after the other; of points these.
    points: Vec<[f64; 2]>,
    bbox: [f64; 4],
    area: f64,
}

impl Outline {
    /// Nothing of an item without a place.
    fn of(item: &ToldItem, upright: Upright) -> Option<Self> {
        let corners = item.corners.map(|[x0, y0, x1, y1]| vec![[x0, y0], [x1, y0], [x1, y1], [x0, y1]]);
        let whole = item.polygon.clone().filter(|polygon| polygon.len() >= 3);
        let points = item.points.clone().or(whole).or(corners.clone())?;
        let pixels = |points: Vec<[f64; 2]>| -> Vec<[f64; 2]> {
            points.into_iter().map(|[x, y]| [rounded(x * upright.width), rounded(y * upright.height)]).collect()
        };
        let points = pixels(points);
        // Where it says both, the box is what its model drew.
        let bbox = around(&corners.map_or_else(|| points.clone(), pixels));
        let area = if item.points.is_some() { bbox[2] * bbox[3] } else { area(&points) };
        Some(Self { points, bbox, area: rounded(area) })
    }
}

/// To a hundredth of a pixel.
fn rounded(pixels: f64) -> f64 {
    (pixels * 100.0).round() / 100.0
}

fn around(points: &[[f64; 2]]) -> [f64; 4] {
    let least = |axis: usize| points.iter().map(|point| point[axis]).fold(f64::INFINITY, f64::min);
    let most = |axis: usize| points.iter().map(|point| point[axis]).fold(f64::NEG_INFINITY, f64::max);
    [least(0), least(1), rounded(most(0) - least(0)), rounded(most(1) - least(1))]
}

/// Of a polygon (the shoelace formula).
fn area(points: &[[f64; 2]]) -> f64 {
    let next = points.iter().cycle().skip(1);
    points.iter().zip(next).map(|([x0, y0], [x1, y1])| x0 * y1 - x1 * y0).sum::<f64>().abs() / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_become_pixels_of_the_upright_image() {
        let upright = Upright { width: 200.0, height: 100.0 };
        let item = |corners, polygon, points| ToldItem { corners, polygon, points, ..ToldItem::default() };
        let outline = Outline::of(&item(Some([0.1, 0.2, 0.6, 0.7]), None, None), upright).unwrap();
        assert_eq!((outline.bbox, outline.area, outline.points.len()), ([20.0, 20.0, 100.0, 50.0], 5000.0, 4));
        let triangle = Some(vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]);
        let outline = Outline::of(&item(None, triangle.clone(), None), upright).unwrap();
        assert_eq!((outline.bbox, outline.area), ([0.0, 0.0, 200.0, 100.0], 10_000.0));
        let outline = Outline::of(&item(Some([0.0, 0.0, 0.5, 0.5]), triangle, None), upright).unwrap();
        assert_eq!((outline.bbox, outline.area), ([0.0, 0.0, 100.0, 50.0], 10_000.0));
        let outline = Outline::of(&item(None, None, Some(vec![[0.5, 0.5], [0.75, 0.5]])), upright).unwrap();
        assert_eq!(outline.bbox, [100.0, 50.0, 50.0, 0.0]);
        assert!(Outline::of(&item(None, None, None), upright).is_none());
    }

    #[test]
    fn labels_beyond_the_most_share_a_category() {
        let mut coco = Coco::default();
        let ids: Vec<usize> = (0..CATEGORIES_MAX + 5).map(|n| coco.category(&n.to_string())).collect();
        assert_eq!(ids[..3], [1, 2, 3]);
        assert_eq!((ids[CATEGORIES_MAX], ids[CATEGORIES_MAX + 4]), (CATEGORIES_MAX + 1, CATEGORIES_MAX + 1));
        assert_eq!(coco.category("7"), 8);
    }
}
