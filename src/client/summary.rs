//! What came of a job, in one line.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::outcome::PhotoJob;
use super::wire::ResultView;

impl PhotoJob {
    /// The state in one line: what was seen, what went wrong, or what it waits for.
    pub fn summary(&self) -> String {
        let job = &self.job;
        match job.state.as_str() {
            "succeeded" => self.result.as_ref().map_or_else(String::new, summary),
            "failed" => {
                let error = job.error.as_ref();
                let parts = [
                    job.reason.as_deref(),
                    error.and_then(|error| error.kind.as_deref()),
                    error.and_then(|error| error.message.as_deref()),
                ];
                parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
            }
            _ => match job.waiting.as_deref() {
                Some("no_live_worker") => "no worker for this model is alive".to_owned(),
                Some("paused") => "the model is paused".to_owned(),
                Some("backoff") => "waits for its next try".to_owned(),
                Some("limit") => "the model's limit is reached".to_owned(),
                Some(other) => other.to_owned(),
                None => String::new(),
            },
        }
    }
}

/// The worker's own summary, else the labels seen, else the fields.
fn summary(result: &ResultView) -> String {
    if let Some(said) = result.summary.as_deref().filter(|said| !said.trim().is_empty()) {
        return said.to_owned();
    }
    let mut tally: BTreeMap<&str, usize> = BTreeMap::new();
    for item in result.items.iter().filter(|item| !is_machine_readable(item)) {
        *tally.entry(item_name(item)).or_default() += 1;
    }
    let times = |(name, n): (&str, usize)| {
        if n > 1 { format!("{name} ×{n}") } else { name.to_owned() }
    };
    let mut parts: Vec<String> = tally.into_iter().map(times).collect();
    parts.extend(fields_line(&result.fields));
    if parts.is_empty() { "nothing found".to_owned() } else { parts.join(", ") }
}

/// Vectors and hashes say nothing to people.
fn is_machine_readable(item: &Value) -> bool {
    matches!(item.get("type").and_then(Value::as_str), Some("embedding" | "hash"))
}

fn item_name(item: &Value) -> &str {
    let text = |key| item.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    text("label").or_else(|| text("text")).or_else(|| text("type")).unwrap_or("item")
}

fn fields_line(fields: &Map<String, Value>) -> impl Iterator<Item = String> {
    fields.iter().map(|(name, value)| match value {
        Value::String(text) => format!("{name}={text}"),
        other => format!("{name}={other}"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_result_without_a_summary_is_summed_up() {
        let of = |value: Value| summary(&serde_json::from_value(value).unwrap());
        let cats = json!({"items": [{"type": "box", "label": "cat"}, {"type": "box", "label": "cat"},
            {"type": "hash", "value": "00"}], "fields": {"n": 2}});
        assert_eq!(of(cats), "cat ×2, n=2");
        assert_eq!(of(json!({})), "nothing found");
        assert_eq!(of(json!({"summary": "3 people", "fields": {"n": 2}})), "3 people");
    }
}
