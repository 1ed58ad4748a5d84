//! A table for spreadsheets (RFC 4180, UTF-8): a row for every item of every result. A result without items, a job without a result, and an
//! image without either have a row of their own.

use std::fmt::Write;

use super::cell::text_cell;
use super::result::ToldResult;
use crate::domain::exhibit::{Exhibit, ExhibitJob, ExhibitResult};
use crate::domain::result::ToldItem;

/// The columns of an image, of a result or job, and of an item.
const TITLES: [&str; 31] = [
    "md5",
    "sha256",
    "name",
    "uploaded_at",
    "by",
    "media_type",
    "bytes",
    "width",
    "height",
    "taken_at",
    "camera",
    "latitude",
    "longitude",
    "tags",
    "model",
    "version",
    "job",
    "state",
    "finished_at",
    "why",
    "fields",
    "summary",
    "item",
    "type",
    "label",
    "score",
    "text",
    "left",
    "top",
    "right",
    "bottom",
];
/// How many of them are of an image, and how many of a result or job.
const OF_IMAGE: usize = 14;
const OF_RESULT: usize = 8;

pub(super) fn begin(out: &mut String) {
    out.push_str(&TITLES.join(","));
    out.push_str("\r\n");
}

pub(super) fn add(exhibit: &Exhibit, out: &mut String) -> serde_json::Result<()> {
    let image = of_image(exhibit);
    for result in &exhibit.results {
        let told = ToldResult::read(&result.result)?;
        let (first, rest) = (of_result(result, Some(&told)), of_result(result, None));
        let mut items = told.items().enumerate().peekable();
        if items.peek().is_none() {
            row(out, &[&image, &first]);
        }
        for (place, item) in items {
            row(out, &[&image, if place == 0 { &first } else { &rest }, &of_item(place, &item)]);
        }
    }
    for job in &exhibit.unsuccessful {
        row(out, &[&image, &of_job(job)]);
    }
    if exhibit.results.is_empty() && exhibit.unsuccessful.is_empty() {
        row(out, &[&image]);
    }
    Ok(())
}

fn text(text: &str) -> String {
    text_cell(text)
}

fn maybe(text: Option<&str>) -> String {
    text.map(text_cell).unwrap_or_default()
}

fn number(number: Option<impl ToString>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

/// The size is that of the upright image, in which places are told.
fn of_image(exhibit: &Exhibit) -> [String; OF_IMAGE] {
    let name = exhibit.names.first();
    let derived = exhibit.derived.as_ref();
    let upright = exhibit.upright();
    let tags: Vec<&str> = exhibit.tags.iter().map(|tag| tag.tag.as_str()).collect();
    [
        text(&exhibit.md5),
        text(&exhibit.sha256),
        maybe(name.map(|name| name.name.as_str())),
        name.map(|name| name.uploaded_at.to_rfc3339()).unwrap_or_default(),
        maybe(name.map(|name| name.by.as_str())),
        text(&exhibit.media_type),
        exhibit.bytes.to_string(),
        upright.width.to_string(),
        upright.height.to_string(),
        derived.and_then(|d| d.taken_at).map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string()).unwrap_or_default(),
        maybe(derived.and_then(|d| d.camera.as_deref())),
        number(derived.and_then(|d| d.latitude)),
        number(derived.and_then(|d| d.longitude)),
        text(&tags.join("; ")),
    ]
}

/// Fields and summary stand in the first row of a result only.
fn of_result(result: &ExhibitResult, told: Option<&ToldResult<'_>>) -> [String; OF_RESULT] {
    [
        text(&result.model),
        text(&result.version),
        text(&result.job.to_string()),
        text("succeeded"),
        result.finished_at.to_rfc3339(),
        String::new(),
        maybe(told.and_then(ToldResult::some_fields)),
        maybe(told.and_then(|told| told.summary.as_deref())),
    ]
}

fn of_job(job: &ExhibitJob) -> [String; OF_RESULT] {
    let why = [&job.reason, &job.error_type, &job.error_message];
    let why: Vec<&str> = why.iter().filter_map(|part| part.as_deref()).collect();
    [
        text(&job.model),
        String::new(),
        text(&job.job.to_string()),
        text(&job.state),
        job.finished_at.map(|at| at.to_rfc3339()).unwrap_or_default(),
        text(&why.join(": ")),
        String::new(),
        String::new(),
    ]
}

fn of_item(place: usize, item: &ToldItem) -> [String; TITLES.len() - OF_IMAGE - OF_RESULT] {
    let corner = |n: usize| number(item.corners.map(|corners| corners[n]));
    [
        place.to_string(),
        text(&item.kind),
        maybe(item.label.as_deref()),
        number(item.score),
        maybe(item.text.as_deref()),
        corner(0),
        corner(1),
        corner(2),
        corner(3),
    ]
}

/// A whole row: what is not given is empty.
fn row(out: &mut String, groups: &[&[String]]) {
    let mut cells = groups.iter().flat_map(|group| group.iter());
    for place in 0..TITLES.len() {
        let comma = if place > 0 { "," } else { "" };
        let _ = write!(out, "{comma}{}", cells.next().map_or("", String::as_str));
    }
    out.push_str("\r\n");
}
