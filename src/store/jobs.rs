//! How jobs come to be and become due. `claims` and `moves` have every way on from there.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::moves::Moved;

/// One (image, model, params) that a submission wants.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wanted {
    pub image_id: i64,
    pub model: String,
    pub params_hash: Vec<u8>,
}

/// How urgent, how late and how long: the same for all jobs of one request.
#[derive(Debug, Clone, Default)]
pub struct Terms {
    pub priority: i16,
    /// Not before; now when absent.
    pub run_at: Option<DateTime<Utc>>,
    /// Seconds after `run_at` at which a queued job expires.
    pub finish_within_s: f64,
}

/// A job that was made, or attached to.
#[derive(Debug, Clone)]
pub struct Enqueued {
    pub params_hash: Vec<u8>,
    pub created: bool,
    pub moved: Moved,
}

impl Enqueued {
    /// What it was made or attached to for.
    pub fn wanted(&self) -> Wanted {
        Wanted { image_id: self.moved.image_id, model: self.moved.model.clone(), params_hash: self.params_hash.clone() }
    }
}

/// Makes a job for every key, or attaches to the live one; attaching only makes it sooner, more urgent and
/// longer-lived. `wanted` is sorted and free of repeats, so that two submissions cannot deadlock.
///
/// A job that waits out a back-off, after a failure or a death, keeps it. `retry_of` names the ended job that each
/// tries again, or is empty.
pub async fn enqueue(
    db: &mut PgConnection,
    wanted: &[Wanted],
    retry_of: &[Uuid],
    terms: &Terms,
    submission: Option<Uuid>,
    account: Option<Uuid>,
) -> sqlx::Result<Vec<Enqueued>> {
    const SQL: &str = concat!(
        "WITH wanted AS (
           SELECT w.*, t.run_at, t.run_at <= t.now AS due
           FROM unnest($1::bigint[], $2::text[], $3::bytea[], $7::uuid[]) AS w (image_id, model, params_hash, retry_of),
                (SELECT c.now, greatest(coalesce($5, c.now), c.now) AS run_at FROM (SELECT clock_timestamp() AS now) AS c) AS t
         ), put AS (
           INSERT INTO job (image_id, model, params_hash, priority, run_at, due, finish_by, retry_of, event_id)
           SELECT image_id, model, params_hash, $4, run_at, due, run_at + interval '1 s' * $6, retry_of, nextval('job_event_id')
           FROM wanted ORDER BY image_id, model, params_hash
           ON CONFLICT ON CONSTRAINT job_single_flight DO UPDATE SET
             priority = greatest(job.priority, excluded.priority),
             run_at = CASE WHEN job.state = 'queued' AND job.attempt = 0 AND job.deaths = 0 THEN least(job.run_at, excluded.run_at)
                           ELSE job.run_at END,
             due = job.due OR (job.state = 'queued' AND job.attempt = 0 AND job.deaths = 0 AND excluded.due),
             finish_by = greatest(job.finish_by, excluded.finish_by),
             event_id = nextval('job_event_id')
           RETURNING job.*, (xmax = 0) AS created
         ), told AS (
           INSERT INTO job_event (id, code, job_id, model, submission_id, account_id)
           SELECT event_id, CASE WHEN created THEN 'created' ELSE 'attached' END, id, model, $8, $9 FROM put
         )
         SELECT p.params_hash, p.created, ", moved_columns!(), "
         FROM put AS p JOIN image AS im ON im.id = p.image_id JOIN model AS m ON m.name = p.model");
    sqlx::query_as(SQL)
        .bind(wanted.iter().map(|w| w.image_id).collect::<Vec<_>>())
        .bind(wanted.iter().map(|w| w.model.as_str()).collect::<Vec<_>>())
        .bind(wanted.iter().map(|w| w.params_hash.as_slice()).collect::<Vec<_>>())
        .bind(terms.priority)
        .bind(terms.run_at)
        .bind(terms.finish_within_s)
        .bind(retry_of)
        .bind(submission)
        .bind(account)
        .fetch_all(db)
        .await
}

impl FromRow<'_, PgRow> for Enqueued {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            params_hash: row.try_get("params_hash")?,
            created: row.try_get("created")?,
            moved: Moved::from_row(row)?,
        })
    }
}

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
         WHERE id = ANY($1) AND state = 'queued' AND due AND NOT suspect AND finish_by > clock_timestamp()",
    )
    .bind(ids)
    .fetch_all(db)
    .await
}

/// Flags at most `limit` jobs whose time has come.
pub async fn flag_due(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<QueueEntry>> {
    sqlx::query_as(
        "WITH late AS (
           SELECT id FROM job WHERE state = 'queued' AND NOT due AND run_at <= clock_timestamp()
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

/// How a lease that is not held now once ended for the same session: what makes a repeat harmless.
#[derive(Debug, Clone)]
pub struct Settled {
    pub id: Uuid,
    pub lease_no: i64,
    pub state: String,
}

/// Looks the refused items up with a fresh snapshot: in the archive, or, for what says `retry` or `released`, among
/// the attempts that ended so. A result for a lease that was given back is not one of them.
pub async fn settled(
    db: &mut PgConnection,
    session: Uuid,
    items: &[(Uuid, i64, &'static str)],
) -> sqlx::Result<Vec<Settled>> {
    let rows = sqlx::query(
        "SELECT t.id, t.lease_no, coalesce(a.state::text, 'queued') AS state
         FROM unnest($2::uuid[], $3::bigint[], $4::text[]) AS t (id, lease_no, said)
         LEFT JOIN job_archive AS a ON a.id = t.id AND a.lease_no = t.lease_no AND a.session_id = $1
         LEFT JOIN attempt AS b ON b.job_id = t.id AND b.lease_no = t.lease_no AND b.session_id = $1
                               AND b.outcome = t.said AND t.said IN ('retry', 'released')
         WHERE a.id IS NOT NULL OR b.job_id IS NOT NULL",
    )
    .bind(session)
    .bind(items.iter().map(|item| item.0).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.1).collect::<Vec<_>>())
    .bind(items.iter().map(|item| item.2).collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| Ok(Settled { id: row.try_get(0)?, lease_no: row.try_get(1)?, state: row.try_get(2)? }))
        .collect()
}
