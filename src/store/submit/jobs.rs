//! How jobs come to be. `work` has every way on from there.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::wanted::Wanted;
use crate::store::work::Moved;

/// How urgent, how late and how long: the same for all jobs of one request.
#[derive(Debug, Clone, Copy, Default)]
pub struct Terms {
    pub priority: i16,
    /// Not before; now when absent.
    pub run_at: Option<DateTime<Utc>>,
    /// Seconds after `run_at` at which a queued job expires.
    pub finish_within_s: f64,
}

/// A job to be made, or attached to.
#[derive(Debug, Clone, Copy)]
pub struct NewJob<'w> {
    pub wanted: &'w Wanted,
    pub terms: Terms,
    /// The ended job that it tries again.
    pub retry_of: Option<Uuid>,
    pub submission: Uuid,
    pub account: Uuid,
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

impl FromRow<'_, PgRow> for Enqueued {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            params_hash: row.try_get("params_hash")?,
            created: row.try_get("created")?,
            moved: Moved::from_row(row)?,
        })
    }
}

/// Makes a job for every key, or attaches to the live one; attaching only makes it sooner, more urgent and
/// longer-lived. In a transaction: the events are a statement of their own. `wanted` is sorted and free of repeats, so
/// that two submissions cannot deadlock.
///
/// A job that waits out a back-off, after a failure or a death, keeps it.
pub async fn enqueue(db: &mut PgConnection, new: &[NewJob<'_>]) -> sqlx::Result<Vec<Enqueued>> {
    const SQL: &str = concat!(
        "WITH wanted AS (
           SELECT w.*, c.now, greatest(coalesce(w.not_before, c.now), c.now) AS run_at
           FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::smallint[], $5::timestamptz[], $6::float8[], $7::uuid[])
                  AS w (image_id, model, params_hash, priority, not_before, finish_within_s, retry_of),
                (SELECT clock_timestamp() AS now) AS c
         ), put AS (
           INSERT INTO job (image_id, model, params_hash, priority, run_at, due, finish_by, retry_of, event_id)
           SELECT image_id, model, params_hash, priority, run_at, run_at <= now, run_at + interval '1 s' * finish_within_s, retry_of,
                  nextval('job_event_id')
           FROM wanted ORDER BY image_id, model, params_hash
           ON CONFLICT ON CONSTRAINT job_single_flight DO UPDATE SET
             priority = greatest(job.priority, excluded.priority),
             run_at = CASE WHEN job.state = 'queued' AND job.attempt = 0 AND job.deaths = 0 THEN least(job.run_at, excluded.run_at)
                           ELSE job.run_at END,
             due = job.due OR (job.state = 'queued' AND job.attempt = 0 AND job.deaths = 0 AND excluded.due),
             finish_by = greatest(job.finish_by, excluded.finish_by),
             event_id = nextval('job_event_id')
           RETURNING job.*, (xmax = 0) AS created
         )
         SELECT p.params_hash, p.created, ", moved_columns!(), "
         FROM put AS p JOIN image AS im ON im.id = p.image_id JOIN model AS m ON m.name = p.model");
    if new.is_empty() {
        return Ok(Vec::new());
    }
    let put: Vec<Enqueued> = sqlx::query_as(SQL)
        .bind(new.iter().map(|job| job.wanted.image_id).collect::<Vec<_>>())
        .bind(new.iter().map(|job| job.wanted.model.as_str()).collect::<Vec<_>>())
        .bind(new.iter().map(|job| job.wanted.params_hash.as_slice()).collect::<Vec<_>>())
        .bind(new.iter().map(|job| job.terms.priority).collect::<Vec<_>>())
        .bind(new.iter().map(|job| job.terms.run_at).collect::<Vec<_>>())
        .bind(new.iter().map(|job| job.terms.finish_within_s).collect::<Vec<_>>())
        .bind(new.iter().map(|job| job.retry_of).collect::<Vec<_>>())
        .fetch_all(&mut *db)
        .await?;
    tell_enqueued(db, new, &put).await?;
    Ok(put)
}

/// Writes the events of jobs made or attached to: who asked, under which submission.
async fn tell_enqueued(db: &mut PgConnection, new: &[NewJob<'_>], put: &[Enqueued]) -> sqlx::Result<()> {
    let asked: HashMap<&Wanted, &NewJob<'_>> = new.iter().map(|job| (job.wanted, job)).collect();
    let by: Vec<Option<&NewJob<'_>>> = put.iter().map(|job| asked.get(&job.wanted()).copied()).collect();
    sqlx::query(
        "INSERT INTO job_event (id, code, job_id, model, submission_id, account_id)
         SELECT id, CASE WHEN created THEN 'created' ELSE 'attached' END, job_id, model, submission_id, account_id
         FROM unnest($1::bigint[], $2::boolean[], $3::uuid[], $4::text[], $5::uuid[], $6::uuid[])
           AS t (id, created, job_id, model, submission_id, account_id)",
    )
    .bind(put.iter().map(|job| job.moved.status.event).collect::<Vec<_>>())
    .bind(put.iter().map(|job| job.created).collect::<Vec<_>>())
    .bind(put.iter().map(|job| job.moved.status.id).collect::<Vec<_>>())
    .bind(put.iter().map(|job| job.moved.model.as_str()).collect::<Vec<_>>())
    .bind(by.iter().map(|new| new.map(|new| new.submission)).collect::<Vec<_>>())
    .bind(by.iter().map(|new| new.map(|new| new.account)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}
