//! A training run as one HTML page that needs nothing else, with its curves.

use chrono::{DateTime, Utc};
use indicatif::HumanBytes;
use minijinja::Value;
use minijinja::value::Serde;
use serde::Serialize;

use super::curves::{Panel, number, panels};
use super::{STYLE, environment};
use crate::api::training::RunOut;
use crate::client::text;
use crate::client::training::RunSeen;

const TEMPLATE: &str = include_str!("training.html");
/// The drawing's room for curves, in its own units.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;

/// What the template shows.
#[derive(Serialize)]
struct RunSheet<'a> {
    style: Value,
    server: &'a str,
    made_at: DateTime<Utc>,
    dataset: &'a str,
    state: &'a str,
    facts: Vec<(&'static str, String)>,
    panels: Vec<Drawing<'a>>,
    older_left_out: bool,
}

/// A panel, drawn.
#[derive(Serialize)]
struct Drawing<'a> {
    title: &'a str,
    lowest: String,
    highest: String,
    first: String,
    last: String,
    /// Name, last value, and its points as SVG has them.
    lines: Vec<(&'a str, String, String)>,
}

/// Renders the page of a run.
///
/// # Errors
/// The template does not fit to what it is given.
pub fn render(seen: &RunSeen, server: &str) -> anyhow::Result<String> {
    let curves = panels(&seen.metrics);
    let page = RunSheet {
        style: Value::from_safe_string(STYLE.to_owned()),
        server,
        made_at: Utc::now(),
        dataset: &seen.run.dataset,
        state: seen.run.state.as_str(),
        facts: facts(&seen.run),
        panels: curves.iter().map(draw).collect(),
        older_left_out: seen.older_left_out,
    };
    // Named as HTML, so that everything is escaped.
    Ok(environment()?.render_named_str("training.html", TEMPLATE, Serde(page))?)
}

fn draw(panel: &Panel) -> Drawing<'_> {
    let point = |point: &(f64, f64)| {
        let (x, y) = panel.place(*point);
        format!("{:.1},{:.1}", x * WIDTH, (1.0 - y) * HEIGHT)
    };
    let line = |curve: &'_ super::curves::Curve| curve.points.iter().map(point).collect::<Vec<_>>().join(" ");
    let last = |curve: &'_ super::curves::Curve| curve.points.last().map_or_else(String::new, |last| number(last.1));
    Drawing {
        title: &panel.title,
        lowest: number(panel.values.0),
        highest: number(panel.values.1),
        first: number(panel.epochs.0),
        last: number(panel.epochs.1),
        lines: panel.curves.iter().map(|curve| (curve.name.as_str(), last(curve), line(curve))).collect(),
    }
}

/// What there is to say of a run, by title: not escaped, and as long as strangers made it.
pub fn facts(run: &RunOut) -> Vec<(&'static str, String)> {
    let attempt = format!("{}, attempt {} of {}", run.state.as_str(), run.attempt, run.max_attempts);
    let state = run.reason.as_ref().map_or_else(|| attempt.clone(), |reason| format!("{attempt}: {reason}"));
    let seconds = run.started_at.map(|begun| (run.finished_at.unwrap_or_else(Utc::now) - begun).as_seconds_f64());
    let error = run.error.as_ref().map(|error| {
        let parts = [error.kind.as_deref(), error.message.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
    });
    let of_epoch = |epoch: Option<i32>| epoch.map_or_else(String::new, |epoch| format!(" after epoch {epoch}"));
    let checkpoint = run.checkpoint.as_ref().map(|kept| {
        format!("{}{}, attempt {}", HumanBytes(kept.bytes.unsigned_abs()), of_epoch(kept.epoch), kept.attempt)
    });
    let model = run
        .model
        .as_ref()
        .map(|model| format!("{}, {}, SHA-256 {}", model.name, HumanBytes(model.bytes.unsigned_abs()), model.sha256));
    let promoted: Vec<String> = run.promoted.iter().map(|one| format!("{} {}", one.model, one.version)).collect();
    let all = [
        ("run", Some(run.id.to_string())),
        ("dataset", Some(run.dataset.clone())),
        ("account", Some(run.account.clone())),
        ("state", Some(state)),
        ("retry of", run.retry_of.map(|id| id.to_string())),
        ("began (UTC)", run.started_at.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string())),
        ("took", seconds.map(text::duration)),
        ("note", run.note.clone()),
        ("parameters", run.params.as_ref().map(ToString::to_string)),
        ("result", run.result.as_ref().map(ToString::to_string)),
        ("error", error),
        ("checkpoint", checkpoint),
        ("model", model),
        ("promoted to", (!promoted.is_empty()).then(|| promoted.join(", "))),
    ];
    all.into_iter().filter_map(|(title, told)| Some((title, told?))).collect()
}
