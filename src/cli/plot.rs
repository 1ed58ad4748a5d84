//! Curves in the characters of a terminal.

use console::{Alignment, pad_str};

use crate::client::text;
use crate::client::training::RunPoint;
use crate::report::curves::{Curve, Panel, number, panels};

/// Of the drawing, without its axes.
const COLUMNS: usize = 60;
const ROWS: usize = 10;
/// One for each curve, in turn.
const MARKS: [char; 8] = ['*', 'o', '+', 'x', '#', '@', '%', '~'];

/// Loss and accuracy, or what else was measured first; nothing where there is no second epoch.
pub(super) fn of_points(points: &[RunPoint]) -> String {
    let drawn: Vec<Panel> = panels(points).into_iter().filter(|panel| panel.epochs.0 < panel.epochs.1).collect();
    let usual = drawn.iter().filter(|panel| matches!(panel.title.as_str(), "loss" | "accuracy")).count();
    drawn.iter().take(usual.max(1)).map(draw).collect::<Vec<_>>().join("\n")
}

fn draw(panel: &Panel) -> String {
    let mut cells = [[' '; COLUMNS]; ROWS];
    let marked: Vec<(&Curve, char)> = panel.curves.iter().zip(MARKS.into_iter().cycle()).collect();
    // The first lies on top: `loss`, which may be that of the best of several beside it.
    for (curve, mark) in marked.iter().rev() {
        trace(panel, curve, *mark, &mut cells);
    }
    let key = marked.iter().map(|(curve, mark)| format!("{mark} {}", text::clean(&curve.name)));
    let labels = [number(panel.values.1), number(panel.values.0)];
    let margin = labels.iter().map(String::len).max().unwrap_or(0);
    let mut out = format!(
        "{}  {}\n",
        pad_str(&text::clean(&panel.title), margin, Alignment::Left, None),
        key.collect::<Vec<_>>().join("  ")
    );
    for (row, line) in cells.iter().enumerate() {
        let label = if row == 0 {
            &labels[0]
        } else if row + 1 == ROWS {
            &labels[1]
        } else {
            ""
        };
        let line: String = line.iter().collect();
        out.push_str(&format!("{label:>margin$} | {}\n", line.trim_end()).replace(" \n", "\n"));
    }
    let (first, last) = (number(panel.epochs.0), number(panel.epochs.1));
    let gap = COLUMNS.saturating_sub(first.len());
    out.push_str(&format!(
        "{:margin$} +{}\n{:margin$}   {first}{last:>gap$}  epoch\n",
        "",
        "-".repeat(COLUMNS + 1),
        ""
    ));
    out
}

/// Draws a curve from point to point, steep falls without gaps.
fn trace(panel: &Panel, curve: &Curve, mark: char, cells: &mut [[char; COLUMNS]; ROWS]) {
    let cell = |point: &(f64, f64)| {
        let (x, y) = panel.place(*point);
        ((x * (COLUMNS - 1) as f64).round(), ((1.0 - y) * (ROWS - 1) as f64).round())
    };
    let places: Vec<(f64, f64)> = curve.points.iter().map(cell).collect();
    let ends = places.windows(2).map(|pair| (pair[0], pair[1])).chain(places.last().map(|last| (*last, *last)));
    for ((x0, y0), (x1, y1)) in ends {
        let steps = (x1 - x0).abs().max((y1 - y0).abs()).max(1.0) as usize;
        for step in 0..=steps {
            let part = step as f64 / steps as f64;
            let (x, y) = ((x0 + (x1 - x0) * part).round() as usize, (y0 + (y1 - y0) * part).round() as usize);
            cells[y.min(ROWS - 1)][x.min(COLUMNS - 1)] = mark;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_goes_from_corner_to_corner() {
        let point = |epoch: i32, loss: f64| RunPoint { attempt: 1, epoch, values: [("loss".to_owned(), loss)].into() };
        let plot = of_points(&[point(1, 0.9), point(2, 0.5), point(3, 0.1)]);
        let lines: Vec<&str> = plot.lines().collect();
        assert_eq!(lines.len(), 1 + ROWS + 2, "{plot}");
        assert!(lines[0].ends_with("* loss") && lines[1].starts_with("0.9000 | *"), "{plot}");
        assert!(lines[ROWS].starts_with("0.1000 |") && lines[ROWS].ends_with('*'), "{plot}");
        assert_eq!(lines[ROWS].chars().count(), "0.1000 | ".len() + COLUMNS, "{plot}");
        assert_eq!(of_points(&[point(1, 0.9)]), "");
        let both = |epoch| RunPoint {
            values: [("loss".to_owned(), 1.0), ("loss/b".to_owned(), 1.0)].into(),
            ..point(epoch, 1.0)
        };
        let plot = of_points(&[both(1), both(2)]);
        assert!(plot.contains("| ***") && !plot.contains("| ooo"), "{plot}");
    }
}
