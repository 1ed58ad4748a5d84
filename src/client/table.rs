//! Results as a table for a terminal.

use std::fmt::Write;

use super::outcome::{Outcome, PhotoJob};
use super::text;

const NAME_MAX: usize = 44;
const MODEL_MAX: usize = 24;
const SUMMARY_MAX: usize = 90;

/// One line: what a model made of a file.
pub(super) struct Row {
    pub(super) file: String,
    pub(super) model: String,
    pub(super) state: String,
    pub(super) summary: String,
}

impl Row {
    /// The row of a job under the name of its file.
    pub(super) fn of_job(file: &str, job: &PhotoJob) -> Self {
        Self {
            file: text::middle_cut(file, NAME_MAX),
            model: text::one_line(&job.model, MODEL_MAX),
            state: text::one_line(&job.job.state, 12),
            summary: text::one_line(&job.summary(), SUMMARY_MAX),
        }
    }
}

/// The whole answer to a submission: rows, rejected files, numbers; colours are ANSI escapes.
pub fn of_outcome(outcome: &Outcome, colours: bool) -> String {
    let rows: Vec<Row> =
        outcome.photos.iter().flat_map(|photo| photo.jobs.iter().map(|job| Row::of_job(&photo.name, job))).collect();
    let mut out = render(&rows, colours);
    if !outcome.rejected.is_empty() {
        out.push_str("\nRejected:\n");
    }
    for file in &outcome.rejected {
        let why = text::one_line(&file.problem.sentence(), 240);
        let _ = writeln!(out, "  {}  {why}", text::middle_cut(&file.name, NAME_MAX));
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&outcome.counts.lines());
    out.push('\n');
    out
}

/// Columns as wide as their content; a file's name stands on its first row only.
pub(super) fn render(rows: &[Row], colours: bool) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let width = |title: &str, cell: fn(&Row) -> &str| {
        rows.iter().map(|row| cell(row).chars().count()).max().unwrap_or(0).max(title.len())
    };
    let file = width("FILE", |row| &row.file);
    let model = width("MODEL", |row| &row.model);
    let state = width("STATE", |row| &row.state);
    let mut out = String::new();
    let _ = writeln!(out, "{:file$}  {:model$}  {:state$}  SUMMARY", "FILE", "MODEL", "STATE");
    let mut before = None;
    for row in rows {
        let name = if before == Some(&row.file) { "" } else { &row.file };
        before = Some(&row.file);
        // Padded before it is coloured: escapes would count as characters.
        let padded = format!("{:state$}", row.state);
        let shown = if colours { coloured(&row.state, &padded) } else { padded };
        let line = format!("{name:file$}  {:model$}  {shown}  {}", row.model, row.summary);
        let _ = writeln!(out, "{}", line.trim_end());
    }
    out
}

fn coloured(state: &str, padded: &str) -> String {
    let code = match state {
        "succeeded" => 32,
        "failed" => 31,
        "cancelled" => 35,
        "running" => 36,
        _ => 33,
    };
    format!("\u{1b}[{code}m{padded}\u{1b}[0m")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(file: &str, state: &str) -> Row {
        Row { file: file.into(), model: "m".into(), state: state.into(), summary: "s".into() }
    }

    #[test]
    fn columns_line_up_and_names_are_not_repeated() {
        let rows = [row("a.jpg", "succeeded"), row("a.jpg", "failed"), row("longer.jpg", "queued")];
        let expected = "\
FILE        MODEL  STATE      SUMMARY
a.jpg       m      succeeded  s
            m      failed     s
longer.jpg  m      queued     s
";
        assert_eq!(render(&rows, false), expected);
        assert!(render(&rows, true).contains("\u{1b}[31mfailed   \u{1b}[0m"));
        assert_eq!(render(&[], true), "");
    }
}
