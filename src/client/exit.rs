//! Exit codes of the client's subcommands, and which error ends in which.

use std::fmt;
use std::process::ExitCode;

use super::http::ApiError;
use super::text;

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

    /// The code for an error, judged by the first cause in its chain that is ours.
    pub fn of_error(error: &anyhow::Error) -> Self {
        for cause in error.chain() {
            if let Some(api) = cause.downcast_ref::<ApiError>() {
                return Self::of_api(api);
            }
            if let Some(fault) = cause.downcast_ref::<Fault>() {
                return fault.exit;
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

/// An error of the client's own making, with the exit code that it leads to.
#[derive(Debug)]
pub(super) struct Fault {
    exit: Exit,
    text: String,
}

impl Fault {
    /// The command line asks for something that cannot be done.
    pub(super) fn usage(text: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Usage, text: text.into() }.into()
    }

    /// There is no credential, or none that fits.
    pub(super) fn sign_in(text: impl Into<String>) -> anyhow::Error {
        Self { exit: Exit::Unreachable, text: text.into() }.into()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Fault {}

/// Prints the error of a failed subcommand on stderr and gives the exit to leave with.
pub fn conclude(result: anyhow::Result<Exit>) -> Exit {
    match result {
        Ok(exit) => exit,
        Err(error) => {
            let lines: Vec<String> = format!("{error:#}").lines().map(text::clean).collect();
            text::say(&format!("error: {}", lines.join("\n")));
            Exit::of_error(&error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::http::Problem;
    use super::*;

    fn of_status(status: u16) -> u8 {
        let problem = Problem { status, ..Problem::default() };
        Exit::of_error(&anyhow::Error::from(ApiError::from(problem)).context("signing in")).code()
    }

    #[test]
    fn errors_end_in_the_documented_codes() {
        assert_eq!([of_status(401), of_status(403), of_status(503)], [3, 3, 3]);
        assert_eq!([of_status(400), of_status(404), of_status(422)], [2, 2, 2]);
        assert_eq!(Exit::of_error(&Fault::usage("no files")).code(), 2);
        assert_eq!(Exit::of_error(&anyhow::anyhow!("disk")).code(), 1);
    }
}
