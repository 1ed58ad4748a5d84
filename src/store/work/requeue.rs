//! Running jobs that go back into line.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Held, Moved};
use crate::domain::ruling::{Again, Failure};

/// A held job that goes back into line.
#[derive(Debug, Clone)]
pub struct Requeued<'a> {
    pub held: &'a Held,
    pub again: Again,
    /// How the try ended, as it is kept: `retry`, `released`, `lost` or `deadline`.
    pub outcome: &'static str,
    /// The event's code.
    pub code: &'static str,
    pub failure: Failure,
}

/// Puts held jobs back into line, with the tries that ended.
pub async fn requeue(db: &mut PgConnection, jobs: &[Requeued<'_>], at: DateTime<Utc>) -> sqlx::Result<Vec<Moved>> {
    if jobs.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(include_str!("../sql/work/requeue.sql"))
        .bind(jobs.iter().map(|job| job.held.id).collect::<Vec<Uuid>>())
        .bind(jobs.iter().map(|job| job.again.run_at).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.again.attempt).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.again.deaths).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.again.suspect).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.code).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.outcome).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.failure.kind.as_deref()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.failure.message.as_deref()).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.failure.traceback.as_deref()).collect::<Vec<_>>())
        .bind(jobs.len() as i64)
        .bind(at)
        .fetch_all(db)
        .await
}
