//! The queues of the models: what stands in them, how deep they are, and what bars them.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::image::ContentMd5;

/// A queue entry: a due job of a model.
#[derive(Debug, Clone, FromRow)]
pub struct QueueEntry {
    pub id: Uuid,
    pub queue_id: i32,
    pub rank: i64,
    /// Belongs into no queue: it is to be claimed alone.
    pub suspect: bool,
}

/// Those of the popped ids that are due and queued after all, to be put back.
pub async fn still_ready(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<QueueEntry>> {
    sqlx::query_as(
        "SELECT id, queue_id, rank, suspect FROM job
         WHERE id = ANY($1) AND state = 'queued' AND due AND NOT suspect AND finish_by > clock_timestamp()",
    )
    .bind(ids)
    .fetch_all(db)
    .await
}

/// Those of these ids that no live job has: they never will be one's again. `OFFSET 0` keeps it a probe by id.
pub async fn gone(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT h.id FROM unnest($1::uuid[]) AS h (id) WHERE NOT EXISTS (SELECT FROM job AS j WHERE j.id = h.id OFFSET 0)",
    )
    .bind(ids)
    .fetch_all(db)
    .await
}

/// Flags at most `limit` jobs whose time has come. The clock is read in a sub-select: only so does the index serve.
pub async fn flag_due(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<QueueEntry>> {
    sqlx::query_as(
        "WITH come AS (
           SELECT id FROM job WHERE NOT due AND run_at <= (SELECT clock_timestamp()) ORDER BY run_at LIMIT $1 FOR UPDATE SKIP LOCKED
         )
         UPDATE job AS j SET due = true FROM come WHERE j.id = come.id RETURNING j.id, j.queue_id, j.rank, j.suspect",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// How many jobs of each model may be claimed now, those in line and the suspects counted up to `limit` each, and for how many
/// seconds the oldest of them has been due: what wakes waiters that missed a push.
pub async fn ready_counts(db: &mut PgConnection, models: &[&str], limit: i64) -> sqlx::Result<Vec<(String, i64, f64)>> {
    sqlx::query_as(include_str!("sql/queues/ready_counts.sql")).bind(models).bind(limit).fetch_all(db).await
}

/// A live job as the sweep sees it.
#[derive(Debug, Clone, FromRow)]
pub struct Swept {
    #[sqlx(flatten)]
    pub entry: QueueEntry,
    /// Of a job that looks at an image.
    pub md5: Option<Vec<u8>>,
    /// Whether it belongs into its model's queue.
    pub ready: bool,
    /// Queued past `finish_by`: it is to expire.
    pub late: bool,
    /// Runs under a claim that has no row: its session counts as dead.
    pub orphan: bool,
}

impl Swept {
    /// The image that it looks at, if it is no run.
    pub fn image(&self) -> Option<ContentMd5> {
        ContentMd5::try_from(self.md5.clone()?).ok()
    }
}

/// The next live jobs in order of id.
pub async fn sweep_page(db: &mut PgConnection, after: Uuid, limit: i64) -> sqlx::Result<Vec<Swept>> {
    sqlx::query_as(include_str!("sql/queues/sweep_page.sql")).bind(after).bind(limit).fetch_all(db).await
}

/// What these queues are called: see `queue.path`.
pub async fn names(db: &mut PgConnection, queues: &[i32]) -> sqlx::Result<Vec<(i32, String)>> {
    sqlx::query_as("SELECT id, path FROM queue WHERE id = ANY($1)").bind(queues).fetch_all(db).await
}

/// What all queues are called, by id.
pub async fn all_names(db: &mut PgConnection) -> sqlx::Result<Vec<(i32, String)>> {
    sqlx::query_as("SELECT id, path FROM queue ORDER BY path").fetch_all(db).await
}

/// Live jobs of a queue by state, for the metrics.
#[derive(Debug, Clone, FromRow)]
pub struct Depth {
    /// What the queue is called.
    pub model: String,
    pub queued: i64,
    pub running: i64,
    pub workers: i64,
    /// Since when the queued job that waits longest has been due.
    pub oldest_due_at: Option<DateTime<Utc>>,
    pub oldest_wait_s: Option<f64>,
}

/// The depth of every queue that is not retired. Its cost grows with the live jobs: not for every request.
pub async fn depths(db: &mut PgConnection) -> sqlx::Result<Vec<Depth>> {
    sqlx::query_as(include_str!("sql/queues/depths.sql")).fetch_all(db).await
}

/// What decides whether the jobs of a model or dataset can move, and how often they are tried.
#[derive(Debug, Clone, FromRow)]
pub struct Gate {
    /// Its queue.
    pub id: i32,
    /// What it is called: a model's name, or `dataset/` and a dataset's.
    pub path: String,
    pub paused: bool,
    pub max_running: Option<i32>,
    pub max_attempts: i16,
    pub retired_at: Option<DateTime<Utc>>,
    /// Whose it is; nobody's, if it came with the installation.
    pub owner: Option<Uuid>,
    pub workers: i64,
    /// Counted only under a limit.
    pub running: i64,
}

/// The gates of all queues, retired ones included; running jobs are counted only where a limit makes them matter.
pub async fn gates(db: &mut PgConnection) -> sqlx::Result<Vec<Gate>> {
    sqlx::query_as(include_str!("sql/queues/gates.sql")).fetch_all(db).await
}

/// Depths are counted no further than this: a count must not cost more the longer a queue is.
pub const DEPTH_COUNTED_MAX: i64 = 10_000;

/// The due jobs in line for each of these queues, counted up to [`DEPTH_COUNTED_MAX`]. In order, so that it walks
/// along the index and not over the jobs of all queues.
pub async fn due_depths(db: &mut PgConnection, queues: &[i32]) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT (SELECT count(*) FROM (SELECT FROM job AS j WHERE j.queue_id = q.id AND j.due AND NOT j.suspect AND j.state = 'queued'
                                       ORDER BY j.rank, j.id LIMIT $2) AS d)
         FROM unnest($1::integer[]) WITH ORDINALITY AS q (id, place) ORDER BY place",
    )
    .bind(queues)
    .bind(DEPTH_COUNTED_MAX)
    .fetch_all(db)
    .await
}
