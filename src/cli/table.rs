//! Results as a table for a terminal.

use std::collections::BTreeMap;
use std::fmt::Write;

use console::{Alignment, Style, measure_text_width, pad_str};

use crate::client::outcome::{Photo, PhotoJob, SkipReason, SkippedFile};
use crate::client::submit::SubmitReport;
use crate::client::text;
use crate::domain::job::JobState;

/// Width of columns at most.
pub(super) const NAME_MAX: usize = 44;
const MODEL_MAX: usize = 24;
const SUMMARY_MAX: usize = 90;
/// Skipped files named for each reason.
const SKIPPED_TOLD: usize = 10;

/// One line: what a model made of a file.
pub(super) struct TableRow {
    pub(super) file: String,
    pub(super) model: String,
    /// In its colour, if the terminal takes colours.
    pub(super) state: (String, Style),
    pub(super) summary: String,
}

impl TableRow {
    /// The row of a job under the name of its file.
    pub(super) fn of_job(file: &str, job: &PhotoJob) -> Self {
        let plain = Style::new();
        let style = match job.job.state {
            JobState::Succeeded => plain.green(),
            JobState::Failed => plain.red(),
            JobState::Cancelled => plain.magenta(),
            JobState::Running => plain.cyan(),
            JobState::Queued => plain.yellow(),
        };
        Self {
            file: text::middle_cut(file, NAME_MAX),
            model: text::one_line(&job.model, MODEL_MAX),
            state: (job.job.state.as_str().to_owned(), style),
            summary: text::one_line(&job.summary(), SUMMARY_MAX),
        }
    }
}

/// The whole answer to a submission: rows, rejected files, numbers.
pub(super) fn of_report(report: &SubmitReport) -> String {
    let of_photo = |photo: &Photo| match &photo.duplicate_of {
        Some(first) => vec![TableRow {
            file: text::middle_cut(&photo.name, NAME_MAX),
            model: "-".to_owned(),
            state: ("duplicate".to_owned(), Style::new().dim()),
            summary: format!("the same bytes as {}", text::middle_cut(first, NAME_MAX)),
        }],
        None => photo.jobs.iter().map(|job| TableRow::of_job(&photo.name, job)).collect::<Vec<_>>(),
    };
    let rows: Vec<TableRow> = report.photos.iter().flat_map(of_photo).collect();
    let mut out = of_rows(&rows);
    if !report.rejected.is_empty() {
        out.push_str("\nRejected:\n");
    }
    for file in &report.rejected {
        let why = text::one_line(&file.problem.sentence(), 240);
        let _ = writeln!(out, "  {}  {why}", text::middle_cut(&file.name, NAME_MAX));
    }
    out.push_str(&skipped(&report.skipped));
    if !out.is_empty() {
        out.push('\n');
    }
    out.push_str(&report.counts.lines());
    out.push('\n');
    out
}

/// Which files were not sent, by reason; of many the first.
fn skipped(files: &[SkippedFile]) -> String {
    let mut by_reason: BTreeMap<SkipReason, Vec<&str>> = BTreeMap::new();
    for file in files {
        by_reason.entry(file.reason).or_default().push(&file.name);
    }
    let mut out = if files.is_empty() { String::new() } else { "\nSkipped:\n".to_owned() };
    for (reason, names) in by_reason {
        let _ = writeln!(out, "  {}: {}", text::count(names.len(), "file"), reason.told());
        for name in names.iter().take(SKIPPED_TOLD) {
            let _ = writeln!(out, "    {}", text::middle_cut(name, SUMMARY_MAX));
        }
        if names.len() > SKIPPED_TOLD {
            let _ = writeln!(out, "    and {} more: --json and --report name all", names.len() - SKIPPED_TOLD);
        }
    }
    out
}

/// The rows under their titles; a file's name stands on its first row only.
pub(super) fn of_rows(rows: &[TableRow]) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let mut lines = vec![["FILE", "MODEL", "STATE", "SUMMARY"].map(str::to_owned)];
    let mut before = None;
    for row in rows {
        let name = if before == Some(&row.file) { String::new() } else { row.file.clone() };
        before = Some(&row.file);
        lines.push([name, row.model.clone(), row.state.0.clone(), row.summary.clone()]);
    }
    let styles: Vec<&Style> = rows.iter().map(|row| &row.state.1).collect();
    aligned(&lines, |line, column, padded| match (line.checked_sub(1), column) {
        (Some(row), 2) => styles[row].apply_to(padded).to_string(),
        _ => padded,
    })
}

/// Lines with columns as wide as their content, two blanks apart; a column that only its title fills is left out. `paint` may colour a
/// padded cell of a line and column.
pub(super) fn aligned<const N: usize>(lines: &[[String; N]], paint: impl Fn(usize, usize, String) -> String) -> String {
    let widths: [usize; N] =
        std::array::from_fn(|column| lines.iter().map(|l| measure_text_width(&l[column])).max().unwrap_or(0));
    let filled = |column: &usize| lines.len() < 2 || lines[1..].iter().any(|cells| !cells[*column].is_empty());
    let shown: Vec<usize> = (0..N).filter(filled).collect();
    let mut out = String::new();
    for (number, cells) in lines.iter().enumerate() {
        let cell = |column: usize| {
            let padded = pad_str(&cells[column], widths[column], Alignment::Left, None).into_owned();
            // Padded before it is coloured, and not behind the last one.
            paint(number, column, padded)
        };
        let line = shown.iter().copied().map(cell).collect::<Vec<_>>().join("  ");
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(file: &str, state: &str) -> TableRow {
        let state = (state.to_owned(), Style::new().red().force_styling(state == "failed"));
        TableRow { file: file.into(), model: "m".into(), state, summary: "s".into() }
    }

    #[test]
    fn columns_line_up_and_names_are_not_repeated() {
        let rows = [row("a.jpg", "succeeded"), row("a.jpg", "failed"), row("長い.jpg", "queued")];
        let expected = "\
FILE      MODEL  STATE      SUMMARY
a.jpg     m      succeeded  s
          m      \u{1b}[31mfailed   \u{1b}[0m  s
長い.jpg  m      queued     s
";
        assert_eq!(of_rows(&rows), expected);
        assert_eq!(of_rows(&[]), "");
        let lines = [["NAME", "TAGS", "SIZE"], ["a", "", "1"], ["b", "", ""]].map(|line| line.map(str::to_owned));
        assert_eq!(aligned(&lines, |_, _, cell| cell), "NAME  SIZE\na     1\nb\n", "no row has a tag");
    }
}
