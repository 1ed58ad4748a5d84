//! How the queues stood, minute by minute.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

use super::queues::Depth;

/// How a queue stood within a step of time.
#[derive(Debug, Clone, FromRow)]
pub struct Moment {
    /// When the step began.
    pub at: DateTime<Utc>,
    pub queued: i64,
    pub running: i64,
    /// Live workers, the fewest of the step.
    pub workers: i64,
    /// How long the first in line had waited.
    pub oldest_wait_s: Option<f64>,
    /// Jobs that had succeeded by then, since the queue is known.
    pub served: i64,
}

/// Writes down how queues stand, unless that was done within `pause_s`; forgets what is older than `kept_s`.
pub async fn keep(db: &mut PgConnection, depths: &[Depth], kept_s: f64, pause_s: f64) -> sqlx::Result<()> {
    let count = |of: fn(&Depth) -> i64| depths.iter().map(of).collect::<Vec<_>>();
    sqlx::query(include_str!("sql/figures/keep.sql"))
        .bind(depths.iter().map(|depth| depth.model.as_str()).collect::<Vec<_>>())
        .bind(count(|depth| depth.queued))
        .bind(count(|depth| depth.running))
        .bind(count(|depth| depth.workers))
        .bind(depths.iter().map(|depth| depth.oldest_wait_s).collect::<Vec<_>>())
        .bind(kept_s)
        .bind(pause_s)
        .execute(db)
        .await?;
    Ok(())
}

/// How a queue stood, oldest first, in steps of `step_s`.
pub async fn history(db: &mut PgConnection, queue: i32, since_s: f64, step_s: f64) -> sqlx::Result<Vec<Moment>> {
    let history = sqlx::query_as(include_str!("sql/figures/history.sql"));
    history.bind(queue).bind(since_s).bind(step_s).fetch_all(db).await
}
