//! The server's problem documents, read and told.

use std::fmt;
use std::time::Duration;

use reqwest::StatusCode;
use serde::{Deserialize, Serialize};

use super::wire::RejectedFile;

/// Reads null as the empty value: the server sends null where it knows nothing.
pub(super) fn or_default<'de, D, T>(reader: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(reader)?.unwrap_or_default())
}

/// A problem document (RFC 9457) with the server's additions; absent members are empty.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Problem {
    /// The HTTP status, also where the document stands for one item of many.
    #[serde(deserialize_with = "or_default")]
    pub status: u16,
    /// The stable name of this kind of problem, e.g. `not_an_image`.
    pub code: Option<String>,
    /// What is wrong, in general.
    pub title: Option<String>,
    /// What is wrong, this time.
    pub detail: Option<String>,
    /// What to do about it.
    pub mend: Option<String>,
    /// The faults one by one, where several fields are wrong.
    #[serde(deserialize_with = "or_default")]
    pub errors: Vec<FieldFault>,
    /// What to quote to the operator.
    pub request_id: Option<String>,
    /// Files judged one by one, where a request was refused because none was good.
    #[serde(skip_serializing, deserialize_with = "or_default")]
    pub rejected: Vec<RejectedFile>,
    /// How long the server asks to be left alone.
    #[serde(skip)]
    pub retry_after: Option<Duration>,
}

/// One wrong field of a request.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct FieldFault {
    /// A JSON pointer into the request, e.g. `/images/0`.
    pub pointer: Option<String>,
    /// The kind of fault.
    pub code: Option<String>,
    /// The fault in words.
    pub detail: Option<String>,
}

impl Problem {
    /// What there is to say when an error has no problem document, e.g. one from a proxy.
    pub(super) fn unexplained(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Unknown status");
        Self { status: status.as_u16(), title: Some(title.to_owned()), ..Self::default() }
    }

    /// A problem found on this side, before anything was sent.
    pub(super) fn local(code: &str, title: &str, detail: String, mend: &str) -> Self {
        Self {
            code: Some(code.to_owned()),
            title: Some(title.to_owned()),
            detail: Some(detail),
            mend: Some(mend.to_owned()),
            ..Self::default()
        }
    }

    /// Title, detail and mend as one line of prose.
    pub fn sentence(&self) -> String {
        let parts = [&self.title, &self.detail, &self.mend];
        let parts: Vec<&str> = parts.into_iter().flatten().map(|part| part.trim()).collect();
        if parts.is_empty() {
            return self.code.clone().unwrap_or_else(|| "no reason was given".to_owned());
        }
        let ended = |part: &str| {
            if part.ends_with(['.', '!', '?', ':']) { part.to_owned() } else { format!("{part}.") }
        };
        parts.into_iter().map(ended).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}", self.sentence(), self.status)?;
        if let Some(request) = &self.request_id {
            write!(f, ", request {request}")?;
        }
        f.write_str(")")?;
        for fault in &self.errors {
            let pointer = fault.pointer.as_deref().unwrap_or("/");
            let said = fault.detail.as_deref().or(fault.code.as_deref()).unwrap_or("wrong");
            write!(f, "\n  {pointer}: {said}")?;
        }
        if self.status == 401 {
            f.write_str("\n  Sign in again with `darkroom login`.")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_reads_as_prose() {
        let problem: Problem = serde_json::from_str(
            r#"{"title":"Unknown model","status":422,"detail":"No model is named \"x\".",
                "mend":"GET /models lists them","request_id":"r1","new_member":1}"#,
        )
        .unwrap();
        let expected = "Unknown model. No model is named \"x\". GET /models lists them. (422, request r1)";
        assert_eq!(problem.to_string(), expected);
    }
}
