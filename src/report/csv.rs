//! A submission as a table for spreadsheets: a row for every file and model.

use std::fmt::Write;

use crate::client::outcome::{Photo, PhotoJob};
use crate::client::submit::SubmitReport;
use crate::export::cell::text_cell;

const TITLES: [&str; 12] = [
    "file",
    "md5",
    "bytes",
    "file_state",
    "why",
    "model",
    "version",
    "state",
    "outcome",
    "finished_at",
    "labels",
    "summary",
];

/// All files of a submission as CSV (RFC 4180, UTF-8): those taken with what each model said, those rejected or skipped with the
/// reason. A cell that a spreadsheet would take for a formula begins with an apostrophe.
pub fn csv(report: &SubmitReport) -> String {
    let mut rows = TITLES.join(",") + "\r\n";
    for photo in &report.photos {
        if photo.jobs.is_empty() {
            row(&mut rows, &of_photo(photo));
        }
        for job in &photo.jobs {
            let mut cells = of_photo(photo);
            cells.extend(of_job(job));
            row(&mut rows, &cells);
        }
    }
    for file in &report.rejected {
        row(&mut rows, &[&file.name, "", "", "rejected", &file.problem.sentence()].map(str::to_owned));
    }
    for file in &report.skipped {
        row(&mut rows, &[&file.name, "", "", "skipped", file.reason.told()].map(str::to_owned));
    }
    rows
}

fn of_photo(photo: &Photo) -> Vec<String> {
    let (state, why) = match &photo.duplicate_of {
        Some(first) => ("duplicate", format!("the same bytes as {first}")),
        None => ("taken", photo.warnings.join("; ")),
    };
    vec![photo.name.clone(), photo.md5.clone(), photo.bytes.to_string(), state.to_owned(), why]
}

fn of_job(job: &PhotoJob) -> [String; 7] {
    let result = job.result.as_ref();
    let items = result.map(|result| result.items.as_slice()).unwrap_or_default();
    let labels: Vec<&str> = items.iter().filter_map(|item| item.get("label")?.as_str()).collect();
    let finished_at = job.job.finished_at.or(result.map(|result| result.finished_at));
    [
        job.model.clone(),
        result.map(|result| result.version.clone()).unwrap_or_default(),
        job.job.state.as_str().to_owned(),
        job.outcome.clone().unwrap_or_default(),
        finished_at.map(|at| at.to_rfc3339()).unwrap_or_default(),
        labels.join("; "),
        job.summary(),
    ]
}

/// A whole row: what is not given is empty.
fn row(rows: &mut String, cells: &[String]) {
    for place in 0..TITLES.len() {
        let comma = if place > 0 { "," } else { "" };
        let _ = write!(rows, "{comma}{}", text_cell(cells.get(place).map_or("", String::as_str)));
    }
    rows.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_no_formula() {
        let mut rows = String::new();
        row(&mut rows, &["=HYPERLINK(\"x\")".to_owned(), "a,b\nc".to_owned()]);
        assert!(rows.starts_with("\"'=HYPERLINK(\"\"x\"\")\",\"a,b\nc\",\"\""), "{rows}");
    }
}
