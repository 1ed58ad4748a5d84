//! The queues of the models: what stands in them, how deep they are, and what bars them.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::row::md5;
use crate::domain::image::ContentMd5;

/// A queue entry: a due job of a model.
#[derive(Debug, Clone)]
pub struct QueueEntry {
    pub id: Uuid,
    pub model: String,
    pub rank: i64,
    /// Belongs into no queue: it is to be claimed alone.
    pub suspect: bool,
}

impl FromRow<'_, PgRow> for QueueEntry {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            model: row.try_get("model")?,
            rank: row.try_get("rank")?,
            suspect: row.try_get("suspect")?,
        })
    }
}

/// Those of the popped ids that are due and queued after all, to be put back.
pub async fn still_ready(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<QueueEntry>> {
    sqlx::query_as(
        "SELECT id, model, rank, suspect FROM job
         WHERE id = ANY($1) AND state <> 'running' AND due AND NOT suspect AND finish_by > clock_timestamp()",
    )
    .bind(ids)
    .fetch_all(db)
    .await
}

/// Flags at most `limit` jobs whose time has come. The clock is read in a sub-select: only so does the index serve.
pub async fn flag_due(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<QueueEntry>> {
    sqlx::query_as(
        "WITH late AS (
           SELECT id FROM job WHERE state = 'queued' AND NOT due AND run_at <= (SELECT clock_timestamp())
           ORDER BY run_at LIMIT $1 FOR UPDATE SKIP LOCKED
         )
         UPDATE job SET due = true FROM late WHERE job.id = late.id RETURNING job.id, job.model, job.rank, job.suspect",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// How many due jobs each model has, counted up to `limit` each: what wakes waiters that missed a push.
pub async fn ready_counts(db: &mut PgConnection, models: &[String], limit: i64) -> sqlx::Result<Vec<(String, i64)>> {
    sqlx::query_as(
        "SELECT w.name, (SELECT count(*) FROM (SELECT FROM job WHERE model = w.name AND state = 'queued' AND due LIMIT $2) AS q)
         FROM unnest($1::text[]) AS w (name)",
    )
    .bind(models)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// A live job as the sweep sees it.
#[derive(Debug, Clone)]
pub struct Swept {
    pub entry: QueueEntry,
    pub md5: ContentMd5,
    /// Whether it belongs into its model's queue.
    pub ready: bool,
}

/// The next live jobs in order of id.
pub async fn sweep_page(db: &mut PgConnection, after: Uuid, limit: i64) -> sqlx::Result<Vec<Swept>> {
    let rows = sqlx::query(
        "SELECT j.id, j.model, j.rank, j.suspect, i.md5, (j.state = 'queued' AND j.due AND NOT j.suspect) AS ready
         FROM job AS j JOIN image AS i ON i.id = j.image_id WHERE j.id > $1 ORDER BY j.id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| Ok(Swept { entry: QueueEntry::from_row(row)?, md5: md5(row, "md5")?, ready: row.try_get("ready")? }))
        .collect()
}

/// All model names that may have a queue.
pub async fn model_names(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT name FROM model ORDER BY name").fetch_all(db).await
}

/// Live jobs of a model by state, for the metrics.
#[derive(Debug, Clone)]
pub struct Depth {
    pub model: String,
    pub queued: i64,
    pub running: i64,
    pub workers: i64,
    pub oldest_due_at: Option<DateTime<Utc>>,
    pub oldest_wait_s: Option<f64>,
}

/// The depth of every model's queue, by one index scan each.
pub async fn depths(db: &mut PgConnection) -> sqlx::Result<Vec<Depth>> {
    let rows = sqlx::query(
        "SELECT m.name, (SELECT count(*) FROM job AS j WHERE j.model = m.name AND j.state = 'queued') AS queued,
                (SELECT count(*) FROM job AS j JOIN worker_session AS w ON w.id = j.session_id
                 WHERE w.model = m.name AND j.state = 'running') AS running,
                (SELECT count(*) FROM worker_session AS w
                 WHERE w.model = m.name AND w.ended_at IS NULL AND w.alive_until > clock_timestamp()) AS workers,
                f.run_at, extract(epoch FROM clock_timestamp() - f.run_at)::float8
         FROM model AS m
         LEFT JOIN LATERAL (SELECT j.run_at FROM job AS j WHERE j.model = m.name AND j.state = 'queued' AND j.due
                            ORDER BY j.rank, j.id LIMIT 1) AS f ON true
         WHERE m.retired_at IS NULL ORDER BY m.name",
    )
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Depth {
                model: row.try_get(0)?,
                queued: row.try_get(1)?,
                running: row.try_get(2)?,
                workers: row.try_get(3)?,
                oldest_due_at: row.try_get(4)?,
                oldest_wait_s: row.try_get(5)?,
            })
        })
        .collect()
}

/// What decides whether a model's jobs can move.
#[derive(Debug, Clone)]
pub struct Gate {
    pub name: String,
    pub paused: bool,
    pub max_running: Option<i32>,
    pub workers: i64,
    /// Counted only under a limit.
    pub running: i64,
}

/// The gates of all models that are not retired; running jobs are counted only where a limit makes them matter.
pub async fn gates(db: &mut PgConnection) -> sqlx::Result<Vec<Gate>> {
    let rows = sqlx::query(
        "SELECT m.name, m.paused, m.max_running,
                (SELECT count(*) FROM worker_session AS w
                 WHERE w.model = m.name AND w.ended_at IS NULL AND w.alive_until > clock_timestamp()) AS workers,
                CASE WHEN m.max_running IS NULL THEN 0 ELSE
                  (SELECT count(*) FROM job AS j WHERE j.model = m.name AND j.state = 'running') END AS running
         FROM model AS m WHERE m.retired_at IS NULL",
    )
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Gate {
                name: row.try_get(0)?,
                paused: row.try_get(1)?,
                max_running: row.try_get(2)?,
                workers: row.try_get(3)?,
                running: row.try_get(4)?,
            })
        })
        .collect()
}

/// Depths are counted no further than this: a count must not cost more the longer a queue is.
pub const DEPTH_COUNTED_MAX: i64 = 10_000;

/// The due jobs in line for each of these models, counted up to [`DEPTH_COUNTED_MAX`].
pub async fn due_depths(db: &mut PgConnection, models: &[String]) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM (SELECT FROM job WHERE model = name AND state = 'queued' AND due LIMIT $2) AS q)
         FROM unnest($1::text[]) WITH ORDINALITY AS m (name, place) ORDER BY place",
    )
    .bind(models)
    .bind(DEPTH_COUNTED_MAX)
    .fetch_all(db)
    .await
}
