//! History that may go: each statement takes a bounded bite, and waits for nobody's locks.

use sqlx::postgres::PgRow;
use sqlx::postgres::types::PgInterval;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::row::md5;
use crate::domain::image::ContentMd5;

/// Something that is kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Images by their newest upload, with titles, results and bytes.
    Images,
    /// Results by when they were made.
    Results,
    /// Errors and tracebacks by the making of their job.
    Attempts,
    /// Submissions and their requests.
    Submissions,
    /// Sessions of workers by their end.
    Sessions,
    /// Ended jobs by their making.
    Jobs,
    /// The audit.
    Events,
}

/// How long that is.
#[derive(Debug, Clone, Copy)]
pub struct Days(pub u32);

impl Days {
    pub(super) fn interval(self) -> PgInterval {
        PgInterval { months: 0, days: i32::try_from(self.0).unwrap_or(i32::MAX), microseconds: 0 }
    }
}

/// An image that went.
#[derive(Debug)]
pub struct GoneImage {
    pub md5: ContentMd5,
    pub sha256: Vec<u8>,
    pub blob: Uuid,
}

/// How many rows would go now.
pub async fn count(db: &mut PgConnection, kind: Kind, keep: Days) -> sqlx::Result<i64> {
    let sql = match kind {
        Kind::Images => {
            "SELECT count(*) FROM image AS i WHERE i.created_at < (SELECT clock_timestamp()) - $1
               AND NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i.id AND u.at >= clock_timestamp() - $1)
               AND NOT EXISTS (SELECT FROM job AS j WHERE j.image_id = i.id)"
        }
        Kind::Results => "SELECT count(*) FROM result WHERE finished_at < (SELECT clock_timestamp()) - $1",
        Kind::Attempts => {
            "SELECT count(*) FROM attempt AS a WHERE a.job_id < (SELECT uuid_v7_floor(clock_timestamp() - $1))
               AND NOT EXISTS (SELECT FROM job AS j WHERE j.id = a.job_id)"
        }
        Kind::Submissions => {
            "SELECT count(*) FROM submission AS s WHERE s.created_at < (SELECT clock_timestamp()) - $1
               AND NOT EXISTS (SELECT FROM request AS r JOIN job AS j ON j.id = r.job_id WHERE r.submission_id = s.id)"
        }
        Kind::Sessions => {
            "SELECT count(*) FROM worker_session AS s WHERE s.ended_at < (SELECT clock_timestamp()) - $1
               AND NOT EXISTS (SELECT FROM job AS j WHERE j.session_id = s.id AND j.state = 'running')"
        }
        Kind::Jobs => {
            "SELECT count(*) FROM job_archive AS a WHERE a.tableoid = 'job_archive_default'::regclass
               AND a.id < (SELECT uuid_v7_floor(history_horizon($1)))
             OR a.tableoid IN (SELECT p::regclass FROM old_partitions('job_archive', history_horizon($1)) AS p)"
        }
        Kind::Events => {
            "SELECT count(*) FROM job_event AS e WHERE e.tableoid = 'job_event_default'::regclass AND e.at < (SELECT history_horizon($1))
             OR e.tableoid IN (SELECT p::regclass FROM old_partitions('job_event', history_horizon($1)) AS p)"
        }
    };
    sqlx::query_scalar(sql).bind(keep.interval()).fetch_one(db).await
}

/// Locks at most `limit` images after an id that may go; answers their ids.
pub async fn lock_images(db: &mut PgConnection, keep: Days, after: i64, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(
        "SELECT i.id FROM image AS i WHERE i.id > $2 AND i.created_at < (SELECT clock_timestamp()) - $1
           AND NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i.id AND u.at >= clock_timestamp() - $1)
           AND NOT EXISTS (SELECT FROM job AS j WHERE j.image_id = i.id)
         ORDER BY i.id LIMIT $3 FOR UPDATE OF i SKIP LOCKED",
    )
    .bind(keep.interval())
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Removes those of the locked images that may still go: a statement of its own, because what was asked of an image
/// while its lock was waited for shows only now.
pub async fn remove_images(db: &mut PgConnection, keep: Days, locked: &[i64]) -> sqlx::Result<Vec<GoneImage>> {
    let rows = sqlx::query(
        "WITH gone AS (
           DELETE FROM image AS i WHERE i.id = ANY($2)
             AND NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i.id AND u.at >= clock_timestamp() - $1)
             AND NOT EXISTS (SELECT FROM job AS j WHERE j.image_id = i.id)
           RETURNING i.id, i.md5, i.sha256, i.blob
         ), told AS (
           INSERT INTO job_event (code, subject_id) SELECT 'image_removed', id::text FROM gone
         )
         SELECT md5, sha256, blob FROM gone",
    )
    .bind(keep.interval())
    .bind(locked)
    .fetch_all(db)
    .await?;
    let gone = |row: &PgRow| {
        Ok(GoneImage { md5: md5(row, "md5")?, sha256: row.try_get("sha256")?, blob: row.try_get("blob")? })
    };
    rows.iter().map(gone).collect()
}

/// Removes at most `limit` results, and from look-ups what names them; answers the images they were of.
pub async fn remove_results(db: &mut PgConnection, keep: Days, limit: i64) -> sqlx::Result<Vec<ContentMd5>> {
    let rows = sqlx::query(
        "WITH old AS MATERIALIZED (
           SELECT r.image_id, r.model, r.params_hash, r.version, r.job_id FROM result AS r
           WHERE r.finished_at < (SELECT clock_timestamp()) - $1 LIMIT $2 FOR UPDATE SKIP LOCKED
         ), shown AS MATERIALIZED (
           SELECT i.image_id, i.model FROM image_model AS i
           WHERE (i.image_id, i.model) IN (SELECT image_id, model FROM old) FOR UPDATE SKIP LOCKED
         ), gone AS (
           DELETE FROM result AS r USING old AS o JOIN shown USING (image_id, model)
           WHERE (r.image_id, r.model, r.params_hash, r.version) = (o.image_id, o.model, o.params_hash, o.version)
           RETURNING r.image_id, r.model, r.job_id
         ), cleared AS (
           UPDATE image_model AS i SET success_job = NULL, success_params_hash = NULL, success_version = NULL
           FROM gone AS g WHERE (i.image_id, i.model, i.success_job) = (g.image_id, g.model, g.job_id)
         )
         SELECT im.md5 FROM gone AS g JOIN image AS im ON im.id = g.image_id",
    )
    .bind(keep.interval())
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.iter().map(|row| md5(row, "md5")).collect()
}

/// Locks at most `limit` submissions that may go; answers their ids.
pub async fn lock_submissions(db: &mut PgConnection, keep: Days, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT s.id FROM submission AS s WHERE s.created_at < (SELECT clock_timestamp()) - $1
           AND NOT EXISTS (SELECT FROM request AS r JOIN job AS j ON j.id = r.job_id WHERE r.submission_id = s.id)
         LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(keep.interval())
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Removes those of the locked submissions that may still go, with their requests: a statement of its own, because what
/// was asked under an id while its lock was waited for shows only now. A request that comes later under such an id opens
/// the submission anew.
pub async fn remove_submissions(db: &mut PgConnection, locked: &[Uuid]) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "WITH old AS MATERIALIZED (
           SELECT s.id FROM submission AS s WHERE s.id = ANY($1)
             AND NOT EXISTS (SELECT FROM request AS r JOIN job AS j ON j.id = r.job_id WHERE r.submission_id = s.id)
         ), gone AS (DELETE FROM request AS r USING old WHERE r.submission_id = old.id)
         DELETE FROM submission AS s USING old WHERE s.id = old.id",
    )
    .bind(locked)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Removes at most `limit` rows of a kind that nothing else hangs on; answers how many.
pub async fn remove(db: &mut PgConnection, kind: Kind, keep: Days, limit: i64) -> sqlx::Result<u64> {
    let sql = match kind {
        Kind::Attempts => {
            "DELETE FROM attempt WHERE ctid IN (
               SELECT a.ctid FROM attempt AS a WHERE a.job_id < (SELECT uuid_v7_floor(clock_timestamp() - $1))
                 AND NOT EXISTS (SELECT FROM job AS j WHERE j.id = a.job_id) ORDER BY a.job_id LIMIT $2)"
        }
        Kind::Sessions => {
            "DELETE FROM worker_session WHERE id IN (
               SELECT s.id FROM worker_session AS s WHERE s.ended_at < (SELECT clock_timestamp()) - $1
                 AND NOT EXISTS (SELECT FROM job AS j WHERE j.session_id = s.id AND j.state = 'running')
               LIMIT $2 FOR UPDATE SKIP LOCKED)"
        }
        // What fell into a DEFAULT partition; the others go whole.
        Kind::Jobs => {
            "DELETE FROM job_archive_default WHERE ctid IN (
               SELECT ctid FROM job_archive_default WHERE id < (SELECT uuid_v7_floor(history_horizon($1))) LIMIT $2)"
        }
        Kind::Events => {
            "DELETE FROM job_event_default WHERE ctid IN (
               SELECT ctid FROM job_event_default WHERE at < (SELECT history_horizon($1)) LIMIT $2)"
        }
        Kind::Images | Kind::Results | Kind::Submissions => return Ok(0),
    };
    Ok(sqlx::query(sql).bind(keep.interval()).bind(limit).execute(db).await?.rows_affected())
}
