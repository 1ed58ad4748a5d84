//! A submission as one HTML page that needs nothing else: no network, no server, and no script but for the filters.
//!
//! `page.html` is the template, `style.css` what only it has of style and `filter.js` the one script that may run; the rest makes
//! what they show. All text is escaped where the template writes it. [`csv`] has the same facts for spreadsheets. [`training`] is the
//! page of a run, [`curves`] what it measured.

mod card;
mod csv;
pub mod curves;
mod embed;
mod marks;
pub mod training;

use std::collections::{BTreeMap, HashMap, HashSet};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Utc};
use minijinja::syntax::SyntaxConfig;
use minijinja::value::Serde;
use minijinja::{Environment, Value, escape_formatter};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use self::card::{Card, cut, tally};
pub use self::csv::csv;
use self::embed::Budget;
pub use self::embed::Pictures;
use self::marks::Palette;
use crate::client::counts::PhotoCounts;
use crate::client::outcome::{PhotoJob, SkipReason};
use crate::client::submit::SubmitReport;
use crate::client::text;
use crate::domain::job::JobState;

const TEMPLATE: &str = include_str!("page.html");
/// What the report of `darkroom-worker test` has too lies in the workers' package, which goes where this program is not.
const STYLE: &str =
    concat!(include_str!("../../sdk/python/darkroom_worker/templates/style.css"), include_str!("style.css"));
const SCRIPT: &str = include_str!("filter.js");
/// Labels to choose from at most.
const LABELS_OFFERED: usize = 200;
/// Labels named per model in the overview.
const TOP_LABELS: usize = 8;
/// In the order of the bars.
const STATES: [JobState; 5] =
    [JobState::Succeeded, JobState::Failed, JobState::Cancelled, JobState::Running, JobState::Queued];
/// Longest running text (recognised text, an error's message) in the page, in characters.
const TEXT_MAX: usize = 4_000;

/// What the template shows.
#[derive(Serialize)]
struct Sheet<'a> {
    style: Value,
    script: Value,
    /// Of the script, so that no other one runs.
    script_sha256: Value,
    server: &'a str,
    submission: Uuid,
    finished_at: DateTime<Utc>,
    timed_out: bool,
    counts: &'a PhotoCounts,
    asked_models: usize,
    models: Vec<ModelRow<'a>>,
    /// Names of files, and why they were not taken.
    rejected: Vec<(&'a str, String)>,
    /// Files by the reason for which they were not sent.
    skipped: Vec<(&'static str, Vec<&'a str>)>,
    left_out: usize,
    /// Labels to choose from, the most frequent first.
    labels: Vec<(&'a str, usize)>,
    cards: Vec<Card<'a>>,
}

/// A model's versions, its jobs by state, and the labels seen most.
#[derive(Serialize)]
struct ModelRow<'a> {
    name: &'a str,
    versions: Vec<&'a str>,
    jobs: usize,
    states: Vec<(JobState, usize)>,
    labels: Vec<(&'a str, usize)>,
    more_labels: usize,
}

/// Renders the page; reads the local files to embed them, 256 MiB of pictures at most.
///
/// Blocking: call it from `spawn_blocking` where other tasks must go on. A photograph that cannot
/// be read is told of in its place.
///
/// # Errors
/// The template does not fit to what it is given.
pub fn render(report: &SubmitReport, pictures: Pictures) -> anyhow::Result<String> {
    let (mut palette, mut budget) = (Palette::default(), Budget::new(pictures));
    let mut also: HashMap<&str, Vec<&str>> = HashMap::new();
    for photo in report.photos.iter().filter(|photo| photo.duplicate_of.is_some()) {
        also.entry(&photo.md5).or_default().push(&photo.name);
    }
    let photos = report.photos.iter().filter(|photo| photo.duplicate_of.is_none());
    let card = |photo| Card::of(photo, also.remove(photo.md5.as_str()).unwrap_or_default(), &mut budget, &mut palette);
    let cards = photos.map(card).collect();
    let mut skipped: BTreeMap<SkipReason, Vec<&str>> = BTreeMap::new();
    for file in &report.skipped {
        skipped.entry(file.reason).or_default().push(&file.name);
    }
    let page = Sheet {
        style: Value::from_safe_string(STYLE.to_owned()),
        script: Value::from_safe_string(SCRIPT.to_owned()),
        script_sha256: Value::from_safe_string(STANDARD.encode(Sha256::digest(SCRIPT))),
        server: &report.server,
        submission: report.submission,
        finished_at: report.finished_at,
        timed_out: report.timed_out,
        counts: &report.counts,
        asked_models: report.models.len(),
        models: models(report),
        rejected: report.rejected.iter().map(|file| (file.name.as_str(), file.problem.sentence())).collect(),
        skipped: skipped.into_iter().map(|(reason, names)| (reason.told(), names)).collect(),
        left_out: budget.left_out,
        labels: labels(report),
        cards,
    };
    // Named as HTML, so that everything is escaped.
    Ok(environment()?.render_named_str("page.html", TEMPLATE, Serde(page))?)
}

/// How many photographs show each label, the most frequent first.
fn labels(report: &SubmitReport) -> Vec<(&str, usize)> {
    let mut photos: BTreeMap<&str, usize> = BTreeMap::new();
    for photo in report.photos.iter().filter(|photo| photo.duplicate_of.is_none()) {
        for label in tally(photo.jobs.iter().filter_map(|job| job.result.as_ref())).into_keys() {
            *photos.entry(label).or_default() += 1;
        }
    }
    let mut labels: Vec<_> = photos.into_iter().collect();
    labels.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    labels.truncate(LABELS_OFFERED);
    labels
}

fn environment() -> anyhow::Result<Environment<'static>> {
    let mut environment = Environment::new();
    environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
    environment.add_filter("prose", |text: &str| cut(text.trim(), TEXT_MAX));
    environment.add_filter("count", text::count);
    // Characters that could make a page show something else than what is there do not get into it.
    environment.set_formatter(|out, state, value| match value.as_str().filter(|text| text.contains(is_unsafe)) {
        Some(text) if !value.is_safe() => {
            escape_formatter(out, state, &Value::from(text.replace(is_unsafe, "\u{fffd}")))
        }
        _ => escape_formatter(out, state, value),
    });
    Ok(environment)
}

fn is_unsafe(c: char) -> bool {
    text::is_unsafe(c) && !matches!(c, '\n' | '\t')
}

fn models(report: &SubmitReport) -> Vec<ModelRow<'_>> {
    let mut by_model: BTreeMap<&str, Vec<&PhotoJob>> = BTreeMap::new();
    let mut seen = HashSet::new();
    for (photo, job) in report.photos.iter().flat_map(|p| p.jobs.iter().map(move |job| (p, job))) {
        // Files of the same bytes share their jobs.
        if seen.insert((&photo.md5, &job.model)) {
            by_model.entry(&job.model).or_default().push(job);
        }
    }
    by_model.into_iter().map(|(name, jobs)| row(name, &jobs)).collect()
}

fn row<'a>(name: &'a str, jobs: &[&'a PhotoJob]) -> ModelRow<'a> {
    let mut versions: Vec<&str> = jobs.iter().filter_map(|job| Some(job.result.as_ref()?.version.as_str())).collect();
    versions.sort_unstable();
    versions.dedup();
    let count = |state| (state, jobs.iter().filter(|job| job.job.state == state).count());
    let results = jobs.iter().filter_map(|job| job.result.as_ref());
    let mut labels: Vec<_> = tally(results).into_iter().map(|(label, scores)| (label, scores.len())).collect();
    labels.sort_by_key(|(_, n)| std::cmp::Reverse(*n));
    let more_labels = labels.len().saturating_sub(TOP_LABELS);
    labels.truncate(TOP_LABELS);
    let states = STATES.into_iter().map(count).filter(|(_, n)| *n > 0).collect();
    ModelRow { name, versions, jobs: jobs.len(), states, labels, more_labels }
}
