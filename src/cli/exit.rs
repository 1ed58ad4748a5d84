//! Exit codes of the subcommands, and which error ends in which.

use std::process::ExitCode;

use crate::client::error::{ApiError, ClientFault};
use crate::client::submit::SubmitReport;
use crate::client::text;

/// How a subcommand ended; scripts rely on the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything asked for was done.
    Success,
    /// Some jobs failed or were cancelled, some files were rejected, some hashes are unknown.
    SomeFailed,
    /// The command or the request was wrong; nothing was done.
    Usage,
    /// The server cannot be reached, is overloaded, or refuses the credential.
    Unreachable,
    /// The time given for waiting ran out; the jobs go on.
    TimedOut,
    /// Ctrl-C; the jobs go on.
    Interrupted,
}

impl Exit {
    /// The number handed to the shell.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::SomeFailed => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::TimedOut => 4,
            Self::Interrupted => 130,
        }
    }

    /// The code for what came of a submission: a time-out weighs more than a failure.
    pub const fn of_report(report: &SubmitReport) -> Self {
        let bad = report.counts.states.failed + report.counts.states.cancelled + report.counts.rejected;
        match (report.timed_out, bad) {
            (true, _) => Self::TimedOut,
            (false, 0) => Self::Success,
            (false, _) => Self::SomeFailed,
        }
    }

    /// The code for an error, judged by the first cause in its chain that is ours.
    pub fn of_error(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if let Some(api) = cause.downcast_ref::<ApiError>() {
                return Self::of_api(api);
            }
            match cause.downcast_ref::<ClientFault>() {
                Some(ClientFault::Usage(_)) => return Self::Usage,
                Some(ClientFault::SignIn(_)) => return Self::Unreachable,
                None => {}
            }
        }
        Self::SomeFailed
    }

    fn of_api(error: &ApiError) -> Self {
        if matches!(error, ApiError::File { .. }) {
            return Self::SomeFailed;
        }
        match error.status() {
            None | Some(401 | 403 | 408 | 429 | 500..) => Self::Unreachable,
            Some(400..500) => Self::Usage,
            Some(_) => Self::SomeFailed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// Prints the error of a failed subcommand on stderr and gives the exit to leave with.
pub fn conclude(result: anyhow::Result<Exit>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) => {
            let lines: Vec<String> = whole(&error).lines().map(text::clean).collect();
            text::say(&format!("error: {}", lines.join("\n")));
            Exit::of_error(&error)
        }
    }
}

/// An error and its causes, but for what one says that the one before has said.
fn whole(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        match told.as_str() {
            "" => told = cause,
            before if before.ends_with(&cause) => {}
            _ => told = format!("{told}: {cause}"),
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::api::problem::Problem;

    fn of_status(status: u16) -> u8 {
        let problem = serde_json::json!({"type": "", "title": "", "status": status, "code": "", "detail": "", "mend": "",
            "errors": [], "request_id": null});
        let problem: Problem = serde_json::from_value(problem).unwrap();
        let error = ApiError::Refused { problem: Box::new(problem), retry_after: None };
        Exit::of_error(&anyhow::Error::from(error).context("signing in")).code()
    }

    #[test]
    fn errors_end_in_the_documented_codes() {
        let expected = HashMap::from([(401, 3), (403, 3), (503, 3), (400, 2), (404, 2), (422, 2)]);
        for (status, code) in expected {
            assert_eq!(of_status(status), code, "{status}");
        }
        assert_eq!(Exit::of_error(&ClientFault::Usage("no files".to_owned()).into()).code(), 2);
        assert_eq!(Exit::of_error(&anyhow::anyhow!("disk")).code(), 1);
    }

    #[test]
    fn causes_are_told_once() {
        let error = anyhow::anyhow!("refused").context("cannot talk: refused").context("is it there?");
        assert_eq!(whole(&error), "is it there?: cannot talk: refused");
    }
}
