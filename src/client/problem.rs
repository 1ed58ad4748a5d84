//! The server's problem documents, told to people.

use std::{fmt, io};

use reqwest::StatusCode;

use super::error::ApiError;
use crate::api::problem::Problem;

/// Commands for the routes that mends name.
const COMMANDS: [(&str, &str); 11] = [
    ("GET /training/datasets", "`darkroom training datasets`"),
    ("GET /training/results/{id} with `wait_s`", "`darkroom training show`"),
    ("GET /models lists", "`darkroom models` lists"),
    ("a token of POST /auth/login", "a token of `darkroom login`"),
    ("with PATCH /auth/users/{name}, and sees there", "(`darkroom user`), and sees there"),
    ("grant the role with PATCH /auth/users/{name}", "grant the role with `darkroom user roles`"),
    ("with DELETE /exports/{id}", "with `darkroom exports --remove`"),
    ("with PATCH /cases/{id} and `closed` false", "with `darkroom case reopen`"),
    ("with PUT /cases/{id}/members/{user}", "with `darkroom case add`"),
    ("with POST /cases:", "with `darkroom case make`:"),
    ("docs/search.md has the grammar", "`darkroom search --help` has the keys"),
];

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

    /// A file that is there and cannot be read, or not any more.
    pub(super) fn unreadable(error: &io::Error) -> Self {
        let mend = "Check that the file is still there, that you may read it, and that nobody writes to it.";
        Self::local("unreadable_file", "File cannot be read", error.to_string(), mend)
    }

    /// A file that breaks every request that it is in, while the server is well.
    pub(super) fn unsendable(error: &ApiError) -> Self {
        let mend = "Try it alone; a proxy between here and the server may refuse files of its size.";
        Self::local("unsendable_file", "File cannot be sent", error.to_string(), mend)
    }

    /// Title, detail and mend as one line of prose; routes that have a command are called by it.
    pub fn sentence(&self) -> String {
        let mend = COMMANDS.iter().fold(self.mend.clone(), |mend, (route, command)| mend.replace(route, command));
        let parts = [&self.title, self.detail.as_str(), mend.as_str()];
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
        // One that the sentence tells already is told by its place alone.
        let (told, untold): (Vec<_>, Vec<_>) =
            self.errors.iter().partition(|fault| self.detail.contains(&fault.detail));
        for fault in told {
            write!(f, ", at {}", fault.pointer)?;
        }
        if let Some(request) = &self.request_id {
            write!(f, ", request {request}")?;
        }
        f.write_str(")")?;
        for fault in untold {
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
    use crate::domain::fault::Code;

    #[test]
    fn what_is_called_by_its_command_is_what_mends_name() {
        for (route, _) in COMMANDS {
            assert!(Code::ALL.iter().any(|code| code.help().contains(route)), "no mend says {route:?}");
        }
    }

    #[test]
    fn a_problem_reads_as_prose_whatever_a_newer_server_adds() {
        let problem: Problem = serde_json::from_str(
            r#"{"type":"/problems/unknown_model","title":"Unknown model","status":422,"code":"unknown_model",
                "detail":"No model is named \"x\".","mend":"GET /models lists them","errors":[],"request_id":"r1","later":1}"#,
        )
        .unwrap();
        let expected = "Unknown model. No model is named \"x\". `darkroom models` lists them. (422, request r1)";
        assert_eq!(problem.to_string(), expected);
        let problem: Problem = serde_json::from_str(
            r#"{"type":"","title":"Case closed","status":409,"code":"case_closed","detail":"It is closed.",
                "mend":"Have it reopened, with PATCH /cases/{id} and `closed` false.","request_id":null,
                "errors":[{"in":"form","pointer":"/case","code":"case_closed","detail":"It is closed."},
                          {"in":"form","pointer":"/models/0","code":"unknown_model","detail":"No such model."}]}"#,
        )
        .unwrap();
        let expected = "Case closed. It is closed. Have it reopened, with `darkroom case reopen`. (409, at /case)\n  /models/0: No such model.";
        assert_eq!(problem.to_string(), expected);
        let bare = Problem::unexplained(StatusCode::BAD_GATEWAY);
        assert_eq!(bare.to_string(), "Bad Gateway. (502)");
    }
}
