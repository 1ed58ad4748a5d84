//! Live jobs that end otherwise than by [`super::succeed`].

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Held, Moved};
use crate::domain::job::JobState;
use crate::domain::ruling::{Failure, Reason};

/// A held job that ends.
#[derive(Debug, Clone)]
pub struct Ending<'a> {
    pub held: &'a Held,
    pub state: JobState,
    pub reason: Option<Reason>,
    /// Its worker's word ended it.
    pub by_worker: bool,
    /// The normalised result of a success, as JSON text.
    pub document: Option<&'a str>,
    /// How long the model worked, in seconds, as the worker says.
    pub duration_s: Option<f32>,
    /// How the try ended, as it is kept; nothing of a success and of a queued job.
    pub outcome: Option<&'static str>,
    pub failure: Failure,
    /// Its attempts and deaths as they now count.
    pub attempts: i16,
    pub deaths: i16,
}

impl<'a> Ending<'a> {
    /// One without result or error, whose counts stay.
    pub fn plain(held: &'a Held, state: JobState, reason: Option<Reason>) -> Self {
        Self {
            held,
            state,
            reason,
            by_worker: false,
            document: None,
            duration_s: None,
            outcome: (held.state == JobState::Running).then_some("cancelled"),
            failure: Failure::default(),
            attempts: held.facts.attempt,
            deaths: held.facts.deaths,
        }
    }
}

/// Ends held jobs; `by` is the user who did.
pub async fn end(
    db: &mut PgConnection,
    jobs: &[Ending<'_>],
    at: DateTime<Utc>,
    by: Option<Uuid>,
) -> sqlx::Result<Vec<Moved>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    let version = |job: &Ending<'_>| if job.state == JobState::Succeeded { job.held.version_id } else { 0 };
    sqlx::query_as(include_str!("../sql/work/end.sql"))
        .bind(jobs.iter().map(|job| job.held.id).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.state.as_str()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.reason.map(Reason::as_str)).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.by_worker).collect::<Vec<_>>())
        .bind(jobs.iter().map(version).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.document).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.duration_s).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.outcome).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.failure.kind.as_deref()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.failure.message.as_deref()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.failure.traceback.as_deref()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.attempts).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.deaths).collect::<Vec<_>>())
        .bind(jobs.len() as i64)
        .bind(at)
        .bind(by)
        .fetch_all(db)
        .await
}
