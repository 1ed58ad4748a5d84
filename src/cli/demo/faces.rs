//! Whether the detector found the faces that are marked on the demo's photographs.

use std::collections::HashMap;
use std::path::Path;

use anyhow::Context;
use serde::Deserialize;

use crate::client::outcome::Photo;

/// The faces marked in `expected.json`, as boxes in fractions of the upright image.
#[derive(Deserialize)]
struct Expected {
    faces: Vec<[f64; 4]>,
}

/// The marked faces that the detector did not find (IoU ≥ 0.5), as sentences.
pub(super) fn missed(marked: &Path, photos: &[Photo]) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(marked)?;
    let expected: HashMap<String, Expected> = serde_json::from_str(&text).context("expected.json")?;
    let mut missed = Vec::new();
    for (file, marks) in &expected {
        let Some(photo) = photos.iter().find(|photo| photo.path.file_name().is_some_and(|name| name == file.as_str()))
        else {
            missed.push(format!("{file} was not submitted"));
            continue;
        };
        let said = photo.jobs.iter().filter(|job| job.model == "face_detect").filter_map(|job| job.result.as_ref());
        let items = said.flat_map(|result| &result.items);
        let boxes: Vec<[f64; 4]> =
            items.filter_map(|item| serde_json::from_value(item.get("box")?.clone()).ok()).collect();
        for face in &marks.faces {
            if !boxes.iter().any(|found| overlap(face, found) >= 0.5) {
                missed.push(format!("{file}: the face at {face:?}"));
            }
        }
    }
    Ok(missed)
}

/// Intersection over union of two boxes.
fn overlap(a: &[f64; 4], b: &[f64; 4]) -> f64 {
    let side = |low: usize, high: usize| (a[high].min(b[high]) - a[low].max(b[low])).max(0.0);
    let area = |r: &[f64; 4]| (r[2] - r[0]) * (r[3] - r[1]);
    let shared = side(0, 2) * side(1, 3);
    shared / (area(a) + area(b) - shared)
}
