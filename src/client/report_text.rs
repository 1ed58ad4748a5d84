//! Text for HTML: escaping, numbers, times, JSON values as people read them.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// Longest text of a value in the report, in characters; the rest is cut.
const VALUE_MAX: usize = 400;
/// Longest running text (recognised text, an error's message) in the report, in characters.
const TEXT_MAX: usize = 4_000;

/// Makes text safe inside elements and quoted attributes.
///
/// Control and bidirectional characters are replaced: they could make a page show something else
/// than what is there.
pub(super) fn esc(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '\n' | '\t' => out.push(c),
            c if super::text::is_unsafe(c) => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

/// Escaped running text, cut where a page would drown in it.
pub(super) fn prose(text: &str) -> String {
    esc(&cut(text.trim(), TEXT_MAX))
}

/// An escaped value: strings bare, everything else as compact JSON, cut.
pub(super) fn value(value: &Value) -> String {
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
    esc(&cut(&text, VALUE_MAX))
}

fn cut(text: &str, max: usize) -> String {
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

/// A score as it stands beside a label.
pub(super) fn score(score: f64) -> String {
    format!("{score:.2}")
}

/// A `<time>` element in UTC.
pub(super) fn time(at: DateTime<Utc>) -> String {
    let machine = at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true);
    format!("<time datetime=\"{machine}\">{}</time>", at.format("%Y-%m-%d %H:%M:%S UTC"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nothing_escapes_from_text_or_attributes() {
        let evil = "<img src=x onerror='alert(1)'>\" &\u{202e}\u{7}";
        let expected = "&lt;img src=x onerror=&#39;alert(1)&#39;&gt;&quot; &amp;\u{fffd}\u{fffd}";
        assert_eq!(esc(evil), expected);
        assert_eq!(value(&json!({"<b>": "</td>"})), "{&quot;&lt;b&gt;&quot;:&quot;&lt;/td&gt;&quot;}");
    }

    #[test]
    fn values_read_naturally() {
        let all = [json!(3), json!(113.2), json!(0.1234567), json!(1e-9), json!(true), json!(null)];
        let shown: Vec<String> = all.iter().map(value).collect();
        assert_eq!(shown, ["3", "113.2", "0.1235", "1.000e-9", "yes", "–"]);
        assert_eq!(value(&json!("ä".repeat(500))).chars().count(), VALUE_MAX + 1);
    }
}
