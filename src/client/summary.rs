//! What came of a job, in one line.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::outcome::PhotoJob;
use crate::api::status::ResultOut;
use crate::domain::job::{JobState, Waiting};

impl PhotoJob {
    /// The state in one line: what was seen, what went wrong, or what it waits for.
    pub fn summary(&self) -> String {
        match self.job.state {
            JobState::Succeeded => self.result.as_ref().map_or_else(String::new, summary),
            JobState::Failed => {
                let error = self.job.error.as_ref();
                let (kind, message) = (error.and_then(|e| e.kind.as_deref()), error.and_then(|e| e.message.as_deref()));
                [self.job.reason.as_deref(), kind, message].into_iter().flatten().collect::<Vec<_>>().join(": ")
            }
            JobState::Queued | JobState::Running | JobState::Cancelled => match self.job.waiting {
                Some(Waiting::NoLiveWorker) => "no worker for this model is alive",
                Some(Waiting::Paused) => "the model is paused",
                Some(Waiting::Backoff) => "waits for its next try",
                Some(Waiting::Limit) => "the model's limit is reached",
                None => "",
            }
            .to_owned(),
        }
    }
}

/// The worker's own summary, else the labels seen, else the fields.
fn summary(result: &ResultOut) -> String {
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
        let of = |items: Value, fields: Value, said: Option<&str>| {
            summary(&ResultOut {
                version: "1".to_owned(),
                job: uuid::Uuid::nil(),
                finished_at: chrono::DateTime::UNIX_EPOCH,
                items: serde_json::from_value(items).unwrap(),
                fields: serde_json::from_value(fields).unwrap(),
                summary: said.map(str::to_owned),
            })
        };
        let cats =
            json!([{"type": "box", "label": "cat"}, {"type": "box", "label": "cat"}, {"type": "hash", "value": "00"}]);
        assert_eq!(of(cats, json!({"n": 2}), None), "cat ×2, n=2");
        assert_eq!(of(json!([]), json!({}), None), "nothing found");
        assert_eq!(of(json!([]), json!({"n": 2}), Some("3 people")), "3 people");
    }
}
