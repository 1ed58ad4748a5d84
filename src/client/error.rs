//! Why a request failed, and whether and when to try it again.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::api::problem::Problem;

const BACKOFF_FIRST: Duration = Duration::from_millis(250);
const BACKOFF_MAX: Duration = Duration::from_secs(8);
/// A server that asks for more patience than this is reported to the user instead of waited for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(60);

/// Whether a request may be sent again when it is unknown if the first one arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// It changes nothing, or the server recognises it.
    Harmless,
    /// A second one would do something twice; only what surely was not done is sent again.
    Never,
}

/// What the user has to mend before a request makes sense.
#[derive(Debug, thiserror::Error)]
pub enum ClientFault {
    /// The command line asks for something that cannot be done.
    #[error("{0}")]
    Usage(String),
    /// There is no credential, or none that fits.
    #[error("{0}")]
    SignIn(String),
}

/// Why a request did not lead to an answer that can be used.
#[derive(Debug)]
pub enum ApiError {
    /// No answer came: refused, cut, or too late.
    Transport(reqwest::Error),
    /// The transfer stood still for this long.
    Stalled(Duration),
    /// The server answered with an error.
    Refused {
        /// What it says of it.
        problem: Box<Problem>,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// A local file vanished or became unreadable between looking and sending.
    File {
        /// Its place among the files to send.
        position: usize,
        /// Its path, as given.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The answer is not what this version of the client understands.
    Unintelligible {
        /// The path that was asked.
        url: String,
        /// Where the reading stopped.
        source: serde_json::Error,
    },
}

impl ApiError {
    /// The HTTP status, if an answer came.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Refused { problem, .. } => Some(problem.status),
            Self::Transport(_) | Self::Stalled(_) | Self::File { .. } | Self::Unintelligible { .. } => None,
        }
    }

    /// Whether the same request may well succeed later.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(error) => !error.is_builder(),
            Self::Stalled(_) => true,
            Self::Refused { problem, .. } => matches!(problem.status, 429 | 502 | 503 | 504),
            Self::File { .. } | Self::Unintelligible { .. } => false,
        }
    }

    /// Whether one of several files may be the cause: another request without it may succeed.
    pub(super) fn may_lie_in_one_file(&self) -> bool {
        match self {
            Self::Transport(error) => !error.is_connect() && !error.is_builder(),
            Self::Stalled(_) => true,
            Self::Refused { problem, .. } => matches!(problem.status, 400 | 408 | 413),
            Self::File { .. } | Self::Unintelligible { .. } => false,
        }
    }

    /// What stands in the way, in few words, while it is tried again.
    pub(super) fn brief(&self) -> String {
        match self {
            Self::Refused { problem, .. } if problem.status == 429 => "the server is busy".to_owned(),
            Self::Refused { problem, .. } => {
                format!("the server is unavailable ({})", problem.detail.trim_end_matches('.'))
            }
            Self::Transport(error) if error.is_connect() => "the server cannot be reached".to_owned(),
            Self::Transport(error) if error.is_timeout() => "the server does not answer in time".to_owned(),
            _ => "the connection to the server broke".to_owned(),
        }
    }

    /// How long to wait before the next try after `tried` of them, or `None` if it cannot help.
    pub(super) fn pause(&self, repeat: Repeat, tried: u32) -> Option<Duration> {
        let surely_not_done = match self {
            Self::Transport(error) => error.is_connect(),
            Self::Refused { problem, .. } => matches!(problem.status, 429 | 503),
            Self::Stalled(_) | Self::File { .. } | Self::Unintelligible { .. } => false,
        };
        if !self.is_transient() || (repeat == Repeat::Never && !surely_not_done) {
            return None;
        }
        let asked = match self {
            Self::Refused { retry_after, .. } => retry_after.unwrap_or_default(),
            _ => Duration::ZERO,
        };
        (asked <= RETRY_AFTER_MAX).then(|| asked + jitter(tried))
    }
}

/// A random pause below a bound that doubles with every try, so that clients do not come in step.
fn jitter(tried: u32) -> Duration {
    let bound = BACKOFF_FIRST.saturating_mul(1 << tried.min(16)).min(BACKOFF_MAX);
    bound.mul_f64(rand::random())
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused { problem, .. } => problem.fmt(f),
            Self::Stalled(pause) => {
                write!(f, "no byte moved for {} s: check the network, try again", pause.as_secs())
            }
            Self::File { name, .. } => {
                write!(f, "cannot read {name}: check that it is still there, then run this again")
            }
            Self::Unintelligible { url, .. } => {
                write!(f, "the answer of {url} cannot be read: is this a Darkroom server, and as new as the client?")
            }
            Self::Transport(error) => {
                let place =
                    error.url().map_or_else(String::new, |url| format!(" {}", url.origin().ascii_serialization()));
                if error.is_timeout() {
                    write!(f, "no answer in time from{place}: is the server overloaded? Try again")
                } else if error.is_connect() {
                    write!(f, "cannot reach{place}: is the server running, and is `--server` right?")
                } else {
                    write!(f, "the connection to{place} broke: try again")
                }
            }
        }
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            // The outer layers of reqwest's chain only repeat the URL.
            Self::Transport(error) => error.source(),
            Self::File { source, .. } => Some(source),
            Self::Unintelligible { source, .. } => Some(source),
            Self::Stalled(_) | Self::Refused { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_status(status: u16, retry_after: Option<u64>) -> ApiError {
        let status = reqwest::StatusCode::from_u16(status).unwrap();
        let retry_after = retry_after.map(Duration::from_secs);
        ApiError::Refused { problem: Box::new(Problem::unexplained(status)), retry_after }
    }

    #[test]
    fn only_what_may_help_is_tried_again() {
        assert!(of_status(422, None).pause(Repeat::Harmless, 1).is_none());
        assert!(of_status(502, None).pause(Repeat::Harmless, 1).is_some());
        assert!(of_status(502, None).pause(Repeat::Never, 1).is_none());
        assert!(of_status(503, None).pause(Repeat::Never, 1).is_some());
    }

    #[test]
    fn retry_after_is_honoured_within_bounds() {
        let pause = of_status(429, Some(7)).pause(Repeat::Harmless, 1).unwrap();
        assert!((7.0..=7.5).contains(&pause.as_secs_f64()));
        assert!(of_status(429, Some(3_600)).pause(Repeat::Harmless, 1).is_none());
        assert!((1..40).all(|tried| jitter(tried) <= BACKOFF_MAX));
    }
}
