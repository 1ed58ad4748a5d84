//! One result of the report: summary, labels, recognised text, fields.

use std::collections::BTreeMap;
use std::fmt::Write;

use serde_json::Value;

use super::report_marks::{LABEL_MAX, Palette, item_score, spoken};
use super::report_text::{esc, prose, score, value};
use super::text;
use super::wire::ResultView;

/// Fields shown at once; more of them are folded away.
const FIELDS_OPEN: usize = 12;
/// Recognised texts, and other single items, shown of one result.
const LINES_MAX: usize = 60;

/// Appends what the result says; nothing at all is said, too.
pub(super) fn result(out: &mut String, result: &ResultView, palette: &mut Palette) {
    if let Some(summary) = result.summary.as_deref().filter(|text| !text.trim().is_empty()) {
        let _ = write!(out, "<p class=\"summary\">{}</p>", prose(summary));
    }
    labels(out, &result.items, palette);
    texts(out, &result.items);
    others(out, &result.items);
    fields(out, result);
    if result.items.is_empty() && result.fields.is_empty() && result.summary.is_none() {
        out.push_str("<p class=\"meta\">Nothing found.</p>");
    }
}

/// Labels of boxes, points and the whole photograph: how many of each, with which scores.
fn labels(out: &mut String, items: &[Value], palette: &mut Palette) {
    let mut tally: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for item in items {
        if let Some(label) = item.get("label").and_then(Value::as_str) {
            tally.entry(label).or_default().push(item_score(item));
        }
    }
    if tally.is_empty() {
        return;
    }
    out.push_str("<ul class=\"labels\">");
    for (label, scores) in tally {
        let known: Vec<f64> = scores.iter().copied().flatten().collect();
        let best = known.iter().copied().reduce(f64::max);
        let least = known.iter().copied().reduce(f64::min);
        let range = match (least, best) {
            (Some(least), Some(best)) if score(least) != score(best) => {
                format!("<span>{}–{}</span>", score(least), score(best))
            }
            (_, Some(best)) => format!("<span>{}</span>", score(best)),
            _ => String::new(),
        };
        let times = if scores.len() > 1 { format!("<b>×{}</b>", scores.len()) } else { String::new() };
        let class = palette.class(&text::one_line(label, LABEL_MAX));
        let _ = write!(out, "<li class=\"{class}\">{}{times}{range}</li>", prose(label));
    }
    out.push_str("</ul>");
}

fn texts(out: &mut String, items: &[Value]) {
    let is_text = |item: &&Value| item.get("type").and_then(Value::as_str) == Some("text");
    let lines: Vec<&str> = items.iter().filter(is_text).filter_map(|item| item.get("text")?.as_str()).collect();
    if lines.is_empty() {
        return;
    }
    out.push_str("<blockquote>");
    for line in lines.iter().take(LINES_MAX) {
        let _ = write!(out, "<p>{}</p>", prose(line));
    }
    more(out, lines.len());
    out.push_str("</blockquote>");
}

fn others(out: &mut String, items: &[Value]) {
    let all: Vec<_> = items.iter().filter_map(spoken).collect();
    if all.is_empty() {
        return;
    }
    out.push_str("<table class=\"fields\">");
    for (name, text) in all.iter().take(LINES_MAX) {
        let _ = write!(out, "<tr><th scope=\"row\">{name}</th><td class=\"mono\">{text}</td></tr>");
    }
    out.push_str("</table>");
    more(out, all.len());
}

fn more(out: &mut String, all: usize) {
    if all > LINES_MAX {
        let _ = write!(out, "<p class=\"meta\">and {} more</p>", all - LINES_MAX);
    }
}

fn fields(out: &mut String, result: &ResultView) {
    if result.fields.is_empty() {
        return;
    }
    let open = if result.fields.len() <= FIELDS_OPEN { " open" } else { "" };
    let count = text::count(result.fields.len(), "field");
    let _ = write!(out, "<details{open}><summary>{count}</summary><table class=\"fields\">");
    for (name, content) in &result.fields {
        let (name, content) = (esc(name), value(content));
        let _ = write!(out, "<tr><th scope=\"row\">{name}</th><td>{content}</td></tr>");
    }
    out.push_str("</table></details>");
}
