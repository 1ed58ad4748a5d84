//! What every loop needs: an irregular rest, and a word about what failed.

use std::time::Duration;

use crate::service::Error;

/// A period give or take a tenth.
pub(super) fn jittered(period: Duration) -> Duration {
    period.mul_f64(0.9 + 0.2 * rand::random::<f64>())
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Logs that something failed and is tried again; that PostgreSQL is away is said once, elsewhere.
pub(super) fn tell(what: &str, error: &Error) {
    if error.is_away() {
        tracing::debug!(what, error = %chain(error), "failed while PostgreSQL is away; tried again");
    } else {
        tracing::warn!(what, error = %chain(error), "failed; tried again");
    }
}
