//! What the worker of a run writes, under the fence of its lease.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::files::{FileKind, Replaced, unnamed};
use crate::store::work::Holder;

/// A lease of a run, named by who claims to hold it.
#[derive(Debug, Clone)]
pub struct RunLease {
    pub run: Uuid,
    pub lease_no: i32,
    pub holder: Holder,
}

/// A lease that is held.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct HeldRun {
    pub attempt: i16,
    /// When it was seen to be.
    pub at: DateTime<Utc>,
}

/// Locks the run's job if the lease is held (this lease of this session, opened with this key, of a running job). Whatever the same
/// transaction then writes is written by who holds the run.
pub async fn lock_lease(db: &mut PgConnection, lease: &RunLease) -> sqlx::Result<Option<HeldRun>> {
    sqlx::query_as(
        "SELECT j.attempt, clock_timestamp() AS at FROM job AS j JOIN worker_session AS s ON s.id = j.session_id
         WHERE j.id = $1 AND j.run_id = $1 AND j.state = 'running' AND j.lease_no = $2 AND j.session_id = $3 AND s.key_id = $4
         FOR NO KEY UPDATE OF j",
    )
    .bind(lease.run)
    .bind(lease.lease_no)
    .bind(lease.holder.session)
    .bind(&lease.holder.key)
    .fetch_optional(db)
    .await
}

/// What was measured after an epoch.
#[derive(Debug, Clone)]
pub struct Point {
    pub epoch: i32,
    /// `{"loss": 0.3, …}` as JSON.
    pub metrics: String,
}

/// Keeps what a run measured, of which no epoch comes twice, in place of what it said of the same epochs of this attempt; answers how
/// many epochs it has measured in all. After [`lock_lease`].
pub async fn put_metrics(db: &mut PgConnection, lease: &RunLease, attempt: i16, points: &[Point]) -> sqlx::Result<i64> {
    sqlx::query(
        "INSERT INTO training_metric (job_id, attempt, epoch, lease_no, metrics)
         SELECT $1, $2, t.epoch, $3, t.metrics::jsonb FROM unnest($4::integer[], $5::text[]) AS t (epoch, metrics)
         ON CONFLICT ON CONSTRAINT training_metric_pkey DO UPDATE SET
           lease_no = excluded.lease_no, metrics = excluded.metrics, at = excluded.at",
    )
    .bind(lease.run)
    .bind(attempt)
    .bind(lease.lease_no)
    .bind(points.iter().map(|point| point.epoch).collect::<Vec<_>>())
    .bind(points.iter().map(|point| point.metrics.as_str()).collect::<Vec<_>>())
    .execute(&mut *db)
    .await?;
    touch(db, lease.run).await?;
    sqlx::query_scalar("SELECT count(*) FROM training_metric WHERE job_id = $1").bind(lease.run).fetch_one(db).await
}

/// A file that was made durable.
#[derive(Debug)]
pub struct NewFile<'a> {
    pub kind: FileKind,
    pub name: Option<&'a str>,
    pub epoch: Option<i32>,
    pub bytes: i64,
    pub sha256: &'a [u8],
    pub blob: Uuid,
    /// When its upload began.
    pub begun_at: DateTime<Utc>,
}

/// What became of a file that came whole.
#[derive(Debug)]
pub struct FileFate {
    /// Not where the lease had brought one before whose upload began later.
    pub kept: bool,
    /// The bytes that no run names now.
    pub unnamed: Vec<Replaced>,
}

/// Keeps a file of a run in place of those of its kind that this lease brought before, or an earlier one, if it is not late itself. After
/// [`lock_lease`].
pub async fn put_file(
    db: &mut PgConnection,
    lease: &RunLease,
    attempt: i16,
    file: &NewFile<'_>,
) -> sqlx::Result<FileFate> {
    let mut replaced: Vec<Replaced> = sqlx::query_as(
        "DELETE FROM training_file WHERE job_id = $1 AND kind = $2 AND (lease_no < $3 OR lease_no = $3 AND begun_at <= $4)
         RETURNING sha256, blob",
    )
    .bind(lease.run)
    .bind(file.kind.as_str())
    .bind(lease.lease_no)
    .bind(file.begun_at)
    .fetch_all(&mut *db)
    .await?;
    let put = sqlx::query(
        "INSERT INTO training_file (job_id, kind, lease_no, attempt, epoch, name, bytes, sha256, blob, begun_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT ON CONSTRAINT training_file_pkey DO NOTHING",
    )
    .bind(lease.run)
    .bind(file.kind.as_str())
    .bind(lease.lease_no)
    .bind(attempt)
    .bind(file.epoch)
    .bind(file.name)
    .bind(file.bytes)
    .bind(file.sha256)
    .bind(file.blob)
    .bind(file.begun_at)
    .execute(&mut *db)
    .await?;
    let kept = put.rows_affected() > 0;
    if kept {
        touch(db, lease.run).await?;
    } else {
        replaced.push(Replaced { sha256: file.sha256.to_vec(), blob: file.blob });
    }
    Ok(FileFate { kept, unnamed: unnamed(db, replaced).await? })
}

/// Says that there is something new to see of a run.
async fn touch(db: &mut PgConnection, run: Uuid) -> sqlx::Result<()> {
    sqlx::query("UPDATE training_run SET revision = revision + 1 WHERE job_id = $1").bind(run).execute(db).await?;
    Ok(())
}
