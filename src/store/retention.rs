//! History that may go: each statement takes a bounded bite, and waits for nobody's locks.

use sqlx::postgres::types::PgInterval;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::training::{Replaced, unnamed};
use crate::domain::image::ContentMd5;

/// Something that is kept for a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Images by their newest upload, with titles, results and bytes.
    Images,
    /// Results, and what else became of images, by when it was made.
    Results,
    /// Errors and tracebacks by the making of their job.
    Attempts,
    /// Submissions and their requests.
    Submissions,
    /// Sessions of workers by their end.
    Sessions,
    /// Ended jobs by their end, and their tries.
    Jobs,
    /// The audit.
    Events,
    /// Ended training runs by their end, with what they measured and their files.
    Runs,
    /// Checkpoints of ended training runs by the end of their run.
    Checkpoints,
}

/// How long that is.
#[derive(Debug, Clone, Copy)]
pub struct Days(pub u32);

impl Days {
    pub(super) fn interval(self) -> PgInterval {
        PgInterval { months: 0, days: i32::try_from(self.0).unwrap_or(i32::MAX), microseconds: 0 }
    }
}

/// How many rows would go now; of tries, how many would lose their texts.
pub async fn count(db: &mut PgConnection, kind: Kind, keep: Days) -> sqlx::Result<i64> {
    let sql = match kind {
        Kind::Images => {
            "SELECT count(*) FROM image AS i WHERE i.created_at < (SELECT clock_timestamp()) - $1
               AND NOT EXISTS (SELECT FROM upload AS u WHERE u.image_id = i.id AND u.at >= clock_timestamp() - $1)
               AND NOT EXISTS (SELECT FROM job AS j WHERE j.image_id = i.id)"
        }
        Kind::Results => "SELECT count(*) FROM outcome WHERE finished_at < (SELECT clock_timestamp()) - $1",
        Kind::Attempts => {
            "SELECT count(*) FROM attempt AS a WHERE a.job_id < (SELECT uuid_v7_floor(clock_timestamp() - $1))
               AND (a.error_type IS NOT NULL OR a.error_message IS NOT NULL OR a.traceback IS NOT NULL)
               AND NOT EXISTS (SELECT FROM job AS j WHERE j.id = a.job_id)"
        }
        Kind::Submissions => {
            "SELECT (count(*) + coalesce(sum((SELECT count(*) FROM request AS r WHERE r.submission_id = s.id)), 0))::bigint
             FROM submission AS s WHERE s.created_at < (SELECT clock_timestamp()) - $1
               AND NOT EXISTS (SELECT FROM request AS r JOIN job AS j ON j.id = r.job_id WHERE r.submission_id = s.id AND r.state IS NULL)"
        }
        Kind::Sessions => {
            "SELECT count(*) FROM worker_session AS s WHERE s.ended_at < (SELECT clock_timestamp()) - $1
               AND NOT EXISTS (SELECT FROM claim AS c WHERE c.session_id = s.id)"
        }
        Kind::Jobs => include_str!("sql/retention/count_jobs.sql"),
        Kind::Events => {
            "SELECT count(*) FROM job_event AS e WHERE e.tableoid = 'job_event_default'::regclass AND e.at < (SELECT history_horizon($1))
             OR e.tableoid IN (SELECT p::regclass FROM old_partitions('job_event', history_horizon($1)) AS p)"
        }
        Kind::Runs => {
            "SELECT count(*) FROM training_run AS r WHERE r.finished_at < (SELECT clock_timestamp()) - $1 AND NOT EXISTS (
               SELECT FROM promotion AS p JOIN model_version AS v ON v.id = p.version_id JOIN queue AS q ON q.id = v.queue_id
               WHERE p.job_id = r.job_id AND (q.retired_at IS NULL OR q.retired_at >= (SELECT clock_timestamp()) - $1))"
        }
        Kind::Checkpoints => {
            "SELECT count(*) FROM training_file AS f JOIN training_run AS r ON r.job_id = f.job_id
             WHERE f.kind = 'checkpoint' AND r.finished_at < (SELECT clock_timestamp()) - $1"
        }
    };
    sqlx::query_scalar(sql).bind(keep.interval()).fetch_one(db).await
}

/// An image that went.
#[derive(Debug, FromRow)]
pub struct GoneImage {
    #[sqlx(try_from = "Vec<u8>")]
    pub md5: ContentMd5,
    pub sha256: Vec<u8>,
    pub blob: Uuid,
    /// Where its thumbnails lie, if it has some.
    pub thumbs_sha256: Option<Vec<u8>>,
    pub thumbs_blob: Option<Uuid>,
}

/// Locks at most `limit` images after an id that may go; answers their ids.
pub async fn lock_images(db: &mut PgConnection, keep: Days, after: i64, limit: i64) -> sqlx::Result<Vec<i64>> {
    sqlx::query_scalar(include_str!("sql/retention/lock_images.sql"))
        .bind(keep.interval())
        .bind(after)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// Removes those of the locked images that may still go, with their outcomes and the requests for them.
pub async fn remove_images(db: &mut PgConnection, keep: Days, locked: &[i64]) -> sqlx::Result<Vec<GoneImage>> {
    sqlx::query_as(include_str!("sql/retention/remove_images.sql"))
        .bind(keep.interval())
        .bind(locked)
        .fetch_all(db)
        .await
}

/// Removes the outcomes of at most `limit` images and models; answers the image of each.
pub async fn remove_results(db: &mut PgConnection, keep: Days, limit: i64) -> sqlx::Result<Vec<ContentMd5>> {
    #[derive(FromRow)]
    struct GoneResult {
        #[sqlx(try_from = "Vec<u8>")]
        md5: ContentMd5,
    }
    let rows: Vec<GoneResult> = sqlx::query_as(include_str!("sql/retention/remove_results.sql"))
        .bind(keep.interval())
        .bind(limit)
        .fetch_all(db)
        .await?;
    Ok(rows.into_iter().map(|row| row.md5).collect())
}

/// Locks at most `limit` submissions that may go; answers their ids.
pub async fn lock_submissions(db: &mut PgConnection, keep: Days, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT s.id FROM submission AS s WHERE s.created_at < (SELECT clock_timestamp()) - $1
           AND NOT EXISTS (SELECT FROM request AS r JOIN job AS j ON j.id = r.job_id WHERE r.submission_id = s.id AND r.state IS NULL)
         LIMIT $2 FOR UPDATE SKIP LOCKED",
    )
    .bind(keep.interval())
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Removes at most `limit` requests of those of the locked submissions that may still go, and the submissions that have none
/// left; answers how many rows went. Statements of their own, because what was asked under an id while its lock was waited for
/// shows only now. A request that comes later under such an id opens the submission anew.
pub async fn remove_submissions(db: &mut PgConnection, locked: &[Uuid], limit: i64) -> sqlx::Result<u64> {
    let requests: i64 = sqlx::query_scalar(include_str!("sql/retention/remove_requests.sql"))
        .bind(locked)
        .bind(limit)
        .fetch_one(&mut *db)
        .await?;
    let submissions = sqlx::query(
        "DELETE FROM submission AS s WHERE s.id = ANY($1) AND NOT EXISTS (SELECT FROM request AS r WHERE r.submission_id = s.id)",
    )
    .bind(locked)
    .execute(db)
    .await?;
    Ok(u64::try_from(requests).unwrap_or_default() + submissions.rows_affected())
}

/// How far a month of ended jobs is on its way to go.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct Settled {
    /// How many of them were readied by this bite.
    pub jobs: i64,
    /// All of them ended long enough ago, and are ready: the partition may be dropped.
    pub whole: bool,
}

/// Readies the next `limit` jobs of one of the [`old_partitions`](super::partitions::old_partitions) to go: the requests
/// that name them keep how they ended, and their tries are removed. Goes on where the last call stopped; one that readies
/// nothing and is not whole has come to a job that ended too lately.
pub async fn settle(db: &mut PgConnection, partition: &str, keep: Days, limit: i64) -> sqlx::Result<Settled> {
    sqlx::query_as(include_str!("sql/retention/settle.sql"))
        .bind(partition)
        .bind(keep.interval())
        .bind(limit)
        .fetch_one(db)
        .await
}

/// What went of runs.
#[derive(Debug, Default)]
pub struct GoneFiles {
    /// Runs, or checkpoints.
    pub count: i64,
    /// The bytes that no run names any more.
    pub bytes: Vec<Replaced>,
}

/// Locks at most `limit` runs that may go by their age; answers their ids.
pub async fn lock_runs(db: &mut PgConnection, keep: Days, after: Uuid, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT job_id FROM training_run WHERE job_id > $2 AND finished_at < (SELECT clock_timestamp()) - $1
         ORDER BY job_id LIMIT $3 FOR UPDATE SKIP LOCKED",
    )
    .bind(keep.interval())
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Removes those of the locked runs that are no version of a model: one that is stays until its model has been retired for as long.
pub async fn remove_runs(db: &mut PgConnection, keep: Days, locked: &[Uuid]) -> sqlx::Result<GoneFiles> {
    let rows: Vec<(Uuid, Option<Vec<u8>>, Option<Uuid>)> =
        sqlx::query_as(include_str!("sql/retention/remove_runs.sql"))
            .bind(keep.interval())
            .bind(locked)
            .fetch_all(&mut *db)
            .await?;
    let mut runs: Vec<Uuid> = rows.iter().map(|(run, ..)| *run).collect();
    runs.sort_unstable();
    runs.dedup();
    let files = rows.into_iter().filter_map(|(_, sha256, blob)| Some(Replaced { sha256: sha256?, blob: blob? }));
    Ok(GoneFiles { count: runs.len() as i64, bytes: unnamed(db, files.collect()).await? })
}

/// Removes at most `limit` checkpoints of ended runs.
pub async fn remove_checkpoints(db: &mut PgConnection, keep: Days, limit: i64) -> sqlx::Result<GoneFiles> {
    let files: Vec<Replaced> = sqlx::query_as(
        "DELETE FROM training_file WHERE ctid IN (
           SELECT f.ctid FROM training_file AS f JOIN training_run AS r ON r.job_id = f.job_id
           WHERE f.kind = 'checkpoint' AND r.finished_at < (SELECT clock_timestamp()) - $1
           LIMIT $2 FOR UPDATE OF f SKIP LOCKED)
         RETURNING sha256, blob",
    )
    .bind(keep.interval())
    .bind(limit)
    .fetch_all(&mut *db)
    .await?;
    Ok(GoneFiles { count: files.len() as i64, bytes: unnamed(db, files).await? })
}

/// Removes at most `limit` rows of a kind that nothing else hangs on, or takes the texts from tries; answers how many.
pub async fn remove(db: &mut PgConnection, kind: Kind, keep: Days, limit: i64) -> sqlx::Result<u64> {
    let sql = match kind {
        Kind::Attempts => include_str!("sql/retention/remove_attempts.sql"),
        Kind::Sessions => {
            "DELETE FROM worker_session WHERE id IN (
               SELECT s.id FROM worker_session AS s WHERE s.ended_at < (SELECT clock_timestamp()) - $1
                 AND NOT EXISTS (SELECT FROM claim AS c WHERE c.session_id = s.id)
               LIMIT $2 FOR UPDATE SKIP LOCKED)"
        }
        // What fell into a DEFAULT partition; the others go whole.
        Kind::Jobs => include_str!("sql/retention/remove_jobs.sql"),
        Kind::Events => {
            let removed = sqlx::query_scalar::<_, i64>("SELECT remove_stray_events($1, $2)");
            let removed = removed.bind(keep.interval()).bind(limit).fetch_one(db).await?;
            return Ok(removed.unsigned_abs());
        }
        Kind::Images | Kind::Results | Kind::Submissions | Kind::Runs | Kind::Checkpoints => return Ok(0),
    };
    Ok(sqlx::query(sql).bind(keep.interval()).bind(limit).execute(db).await?.rows_affected())
}
