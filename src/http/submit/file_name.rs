//! The name that a part of a form says its file has.

use std::borrow::Cow;

use axum::http::{HeaderMap, header};
use percent_encoding::percent_decode_str;

use crate::domain::text::is_control;

/// `filename*` (RFC 8187: some clients send it although RFC 7578 §4.2 has it not), else `filename`. Bytes that are no UTF-8 are
/// taken for Latin-1. Characters that a terminal would obey become U+FFFD.
pub(super) fn file_name(headers: &HeaderMap) -> Option<String> {
    let disposition = headers.get(header::CONTENT_DISPOSITION)?.as_bytes();
    let disposition = text(disposition);
    let parameters = parameters(&disposition);
    let named =
        |name: &str| parameters.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let name = named("filename*").and_then(|value| extended(value)).or_else(|| named("filename").cloned())?;
    Some(name.chars().map(|c| if is_control(c) { char::REPLACEMENT_CHARACTER } else { c }).collect())
}

/// A text in UTF-8, or else in Latin-1.
fn text(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => bytes.iter().copied().map(char::from).collect::<String>().into(),
    }
}

/// The parameters of a header's value. In quotes only a quote is escaped: a backslash may belong to a path.
fn parameters(value: &str) -> Vec<(&str, String)> {
    let mut found = Vec::new();
    let mut rest = value.split_once(';').map_or("", |(_, rest)| rest);
    while let Some((name, after)) = rest.split_once('=') {
        let after = after.trim_start();
        let (value, end) = match after.strip_prefix('"') {
            Some(quoted) => match quote(quoted) {
                Some(end) => (quoted[..end].replace("\\\"", "\""), end + 2),
                None => break,
            },
            None => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim_end().to_owned(), end)
            }
        };
        found.push((name.trim(), value));
        rest = after[end..].split_once(';').map_or("", |(_, rest)| rest);
    }
    found
}

/// Where the closing quote is.
fn quote(quoted: &str) -> Option<usize> {
    let ends = quoted.match_indices('"').map(|(at, _)| at);
    ends.into_iter().find(|&at| !quoted[..at].ends_with('\\'))
}

/// `charset'language'percent-encoded`.
fn extended(value: &str) -> Option<String> {
    let (charset, rest) = value.split_once('\'')?;
    let bytes: Vec<u8> = percent_decode_str(rest.split_once('\'')?.1).collect();
    match charset.to_ascii_lowercase().as_str() {
        "utf-8" => String::from_utf8(bytes).ok(),
        "iso-8859-1" => Some(bytes.into_iter().map(char::from).collect()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_telling_a_name_is_read() {
        let name = |disposition: &[u8]| {
            let value = header::HeaderValue::from_bytes(disposition).unwrap();
            file_name(&HeaderMap::from_iter([(header::CONTENT_DISPOSITION, value)]))
        };
        for (disposition, expected) in [
            (&b"form-data; name=\"images\"; filename=\"a.jpg\""[..], "a.jpg"),
            (b"form-data; filename=a.jpg; name=images", "a.jpg"),
            (b"form-data; name=\"images\"; FileName = \"a;b=\\\"c\\\".jpg\"", "a;b=\"c\".jpg"),
            (b"form-data; name=\"images\"; filename=\"C:\\photos\\a.jpg\"", "C:\\photos\\a.jpg"),
            ("form-data; name=\"images\"; filename=\"Zoë.jpg\"".as_bytes(), "Zoë.jpg"),
            (b"form-data; name=\"images\"; filename=\"Zo\xeb.jpg\"", "Zoë.jpg"),
            (b"form-data; name=\"images\"; filename*=UTF-8''Zo%C3%AB%20%E2%82%AC.jpg", "Zoë €.jpg"),
            (b"form-data; name=\"images\"; filename=\"Zoe.jpg\"; filename*=iso-8859-1'fr'Zo%EB.jpg", "Zoë.jpg"),
            (b"form-data; name=\"images\"; filename*=utf-8''%FF; filename=\"b.jpg\"", "b.jpg"),
            (b"form-data; name=\"images\"; filename*=UTF-8''a%1B%5B2J%0Ab.jpg", "a\u{fffd}[2J\u{fffd}b.jpg"),
        ] {
            assert_eq!(name(disposition).as_deref(), Some(expected));
        }
        for none in [&b"form-data; name=\"images\""[..], b"form-data", b"form-data; filename=\"a"] {
            assert_eq!(name(none), None);
        }
    }
}
