//! The server's problem documents, told to people.

use std::fmt;

use reqwest::StatusCode;

use crate::api::problem::Problem;

impl Problem {
    /// What there is to say when an error has no problem document, e.g. one from a proxy.
    pub(super) fn unexplained(status: StatusCode) -> Self {
        let title = status.canonical_reason().unwrap_or("Unknown status");
        Self { status: status.as_u16(), ..Self::local("unexplained", title, String::new(), "") }
    }

    /// A problem found on this side, before anything was sent.
    pub(super) fn local(code: &'static str, title: &'static str, detail: String, mend: &str) -> Self {
        Self {
            kind: "about:blank".to_owned(),
            title: title.into(),
            status: 0,
            code: code.into(),
            detail,
            mend: mend.to_owned(),
            errors: Vec::new(),
            request_id: None,
        }
    }

    /// Title, detail and mend as one line of prose.
    pub fn sentence(&self) -> String {
        let parts = [&self.title, self.detail.as_str(), &self.mend];
        let ended = |part: &str| {
            if part.ends_with(['.', '!', '?', ':']) { part.to_owned() } else { format!("{part}.") }
        };
        let parts = parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).map(ended);
        parts.collect::<Vec<_>>().join(" ")
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
            write!(f, "\n  {}: {}", fault.pointer, fault.detail)?;
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
    fn a_problem_reads_as_prose_whatever_a_newer_server_adds() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"/problems/unknown_model","title":"Unknown model","status":422,"code":"unknown_model",
                "detail":"No model is named \"x\".","mend":"GET /models lists them","errors":[],"request_id":"r1","later":1}"#,
        )
        .unwrap();
        let expected = "Unknown model. No model is named \"x\". GET /models lists them. (422, request r1)";
        assert_eq!(problem.to_string(), expected);
        let bare = Problem::unexplained(StatusCode::BAD_GATEWAY);
        assert_eq!(bare.to_string(), "Bad Gateway. (502)");
    }
}
