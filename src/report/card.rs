//! One photograph of the report: the picture with its marks, then a section per model.

use std::collections::BTreeMap;

use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::Value;

use super::embed::Budget;
use super::marks::{LABEL_MAX, Mark, Palette, item_score, marks, member};
use crate::api::status::ResultOut;
use crate::client::outcome::{Photo, PhotoJob, SeenJob};
use crate::client::text;

/// Longest name over a photograph, in columns; the full one shows on hovering.
const NAME_MAX: usize = 44;
/// Longest text of a value, in characters; the rest is cut.
const VALUE_MAX: usize = 400;
/// Longest text that a photograph is found by, in characters.
const SEARCHED_MAX: usize = 4_000;

#[derive(Serialize)]
pub(super) struct Card<'a> {
    name: &'a str,
    short: String,
    /// The names of other files with the same bytes.
    also: Vec<&'a str>,
    /// What it is found by, in lower case: names, hash, models, labels, texts and summaries.
    text: String,
    /// Line by line.
    labels: String,
    models: String,
    /// A data: URI, or why there is none.
    picture: Option<minijinja::Value>,
    why: Option<String>,
    marks: Vec<Mark>,
    jobs: Vec<Section<'a>>,
    warnings: &'a [String],
    md5: &'a str,
    size: String,
}

/// What one model said of the photograph.
#[derive(Serialize)]
struct Section<'a> {
    model: &'a str,
    outcome: Option<&'a str>,
    seen: &'a SeenJob,
    /// What went wrong, or what it waits for.
    summary: String,
    result: Option<ShownResult<'a>>,
}

#[derive(Serialize)]
struct ShownResult<'a> {
    version: &'a str,
    finished_at: chrono::DateTime<chrono::Utc>,
    summary: &'a str,
    labels: Vec<ShownLabel<'a>>,
    texts: Vec<&'a str>,
    /// Items that are neither: kinds and texts.
    others: Vec<(&'static str, String)>,
    fields: Vec<(&'a str, String)>,
    nothing: bool,
}

#[derive(Serialize)]
struct ShownLabel<'a> {
    class: String,
    text: &'a str,
    n: usize,
    scores: String,
}

impl<'a> Card<'a> {
    pub(super) fn of(photo: &'a Photo, also: Vec<&'a str>, budget: &mut Budget, palette: &mut Palette) -> Self {
        let (picture, why) = match budget.embed(photo) {
            // Base64 needs no escaping, which would make it a tenth longer.
            Ok(uri) => (Some(minijinja::Value::from_safe_string(uri)), None),
            Err(why) => (None, Some(why)),
        };
        let labels = tally(photo.jobs.iter().filter_map(|job| job.result.as_ref())).into_keys().collect::<Vec<_>>();
        let models = photo.jobs.iter().map(|job| job.model.as_str()).collect::<Vec<_>>().join("\n");
        let labels = labels.join("\n");
        Self {
            name: &photo.name,
            short: text::middle_cut(&photo.name, NAME_MAX),
            text: searchable(photo, &also, &labels),
            also,
            labels,
            models,
            marks: if picture.is_some() { marks(photo, palette) } else { Vec::new() },
            picture,
            why,
            jobs: photo.jobs.iter().map(|job| section(job, palette)).collect(),
            warnings: &photo.warnings,
            md5: &photo.md5,
            size: HumanBytes(photo.bytes).to_string(),
        }
    }
}

/// What the search looks through, in lower case.
fn searchable(photo: &Photo, also: &[&str], labels: &str) -> String {
    let results = || photo.jobs.iter().filter_map(|job| job.result.as_ref());
    let texts = results().flat_map(|result| &result.items).filter_map(|item| member(item, "text"));
    let told = photo.jobs.iter().flat_map(|job| [job.model.clone(), job.job.state.as_str().to_owned(), job.summary()]);
    let mut parts = vec![photo.name.clone(), photo.md5.clone(), labels.to_owned()];
    parts.extend(also.iter().map(|name| (*name).to_owned()).chain(texts.map(str::to_owned)).chain(told));
    cut(&parts.join("\n").to_lowercase(), SEARCHED_MAX)
}

fn section<'a>(job: &'a PhotoJob, palette: &mut Palette) -> Section<'a> {
    Section {
        model: &job.model,
        outcome: job.outcome.as_deref(),
        seen: &job.job,
        summary: job.summary(),
        result: job.result.as_ref().map(|result| shown(result, palette)),
    }
}

/// The labels of boxes, points and the whole photograph, each with its scores.
pub(super) fn tally<'r>(results: impl Iterator<Item = &'r ResultOut>) -> BTreeMap<&'r str, Vec<Option<f64>>> {
    let mut tally: BTreeMap<&str, Vec<Option<f64>>> = BTreeMap::new();
    for item in results.flat_map(|result| &result.items) {
        if let Some(label) = member(item, "label") {
            tally.entry(label).or_default().push(item_score(item));
        }
    }
    tally
}

fn shown<'a>(result: &'a ResultOut, palette: &mut Palette) -> ShownResult<'a> {
    let label = |(text, scores): (&'a str, Vec<Option<f64>>)| ShownLabel {
        class: palette.class(&text::one_line(text, LABEL_MAX)),
        text,
        n: scores.len(),
        scores: range(&scores),
    };
    let texts = result.items.iter().filter(|item| member(item, "type") == Some("text"));
    ShownResult {
        version: &result.version,
        finished_at: result.finished_at,
        summary: result.summary.as_deref().unwrap_or_default().trim(),
        labels: tally(std::iter::once(result)).into_iter().map(label).collect(),
        texts: texts.filter_map(|item| member(item, "text")).collect(),
        others: result.items.iter().filter_map(spoken).collect(),
        fields: result.fields.iter().map(|(name, content)| (name.as_str(), value(content))).collect(),
        nothing: result.items.is_empty() && result.fields.is_empty() && result.summary.is_none(),
    }
}

/// From the least to the greatest score, if any is known.
fn range(scores: &[Option<f64>]) -> String {
    let known = || scores.iter().copied().flatten();
    let (Some(least), Some(best)) = (known().reduce(f64::min), known().reduce(f64::max)) else { return String::new() };
    let (least, best) = (format!("{least:.2}"), format!("{best:.2}"));
    if least == best { best } else { format!("{least}–{best}") }
}

/// What an item says in the list below the photograph: (name, text) of those that are not tallied.
fn spoken(item: &Value) -> Option<(&'static str, String)> {
    let text = |key| member(item, key).unwrap_or_default();
    let dim = || item.get("dim").and_then(Value::as_u64).unwrap_or_default();
    match text("type") {
        "embedding" => Some(("embedding", format!("{} ({} values)", text("space"), dim()))),
        "hash" => Some(("hash", format!("{} {}", text("algo"), text("value")))),
        "file" => Some(("file", format!("{} {}", text("name"), text("media_type")))),
        _ => None,
    }
}

/// A value as people read it: strings bare, everything else as compact JSON, cut.
fn value(value: &Value) -> String {
    let text = match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => decimal(float),
            _ => number.to_string(),
        },
        other => other.to_string(),
    };
    cut(&text, VALUE_MAX)
}

/// At most so many characters, and a sign where more were.
pub(super) fn cut(text: &str, max: usize) -> String {
    match text.char_indices().nth(max) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// A number with as many digits as are worth reading.
fn decimal(number: f64) -> String {
    if number != 0.0 && !(1e-3..1e9).contains(&number.abs()) {
        return format!("{number:.3e}");
    }
    let text = format!("{number:.4}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_read_naturally() {
        let all = [json!(3), json!(113.2), json!(0.1234567), json!(1e-9), json!(true), json!(null)];
        let shown: Vec<String> = all.iter().map(value).collect();
        assert_eq!(shown, ["3", "113.2", "0.1235", "1.000e-9", "yes", "–"]);
        assert_eq!(value(&json!("ä".repeat(500))).chars().count(), VALUE_MAX + 1);
    }
}
