//! The files of runs: checkpoints and models.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::words::words;

/// What a file of a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// From which a further try goes on.
    Checkpoint,
    /// What the run is for.
    Model,
}

words!(FileKind { Checkpoint "checkpoint", Model "model" });

/// A file of a run. Its bytes lie at `{sha256}/{blob}`.
#[derive(Debug, Clone, FromRow)]
pub struct RunFile {
    pub job_id: Uuid,
    /// Of a model, as its service calls it.
    pub name: Option<String>,
    /// Of a checkpoint: after which epoch.
    pub epoch: Option<i32>,
    pub attempt: i16,
    pub bytes: i64,
    pub sha256: Vec<u8>,
    pub blob: Uuid,
    pub at: DateTime<Utc>,
}

/// The newest checkpoint of each of these runs that has one, in order of their ids.
pub async fn checkpoints(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<Vec<RunFile>> {
    sqlx::query_as(
        "SELECT DISTINCT ON (job_id) job_id, name, epoch, attempt, bytes, sha256, blob, at FROM training_file
         WHERE job_id = ANY($1) AND kind = 'checkpoint' ORDER BY job_id, lease_no DESC",
    )
    .bind(runs)
    .fetch_all(db)
    .await
}

/// The model files that count of these runs: each that of the lease whose completion was accepted.
pub async fn model_files(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<Vec<RunFile>> {
    sqlx::query_as(
        "SELECT f.job_id, f.name, f.epoch, f.attempt, f.bytes, f.sha256, f.blob, f.at FROM training_run AS r
         JOIN training_file AS f ON f.job_id = r.job_id AND f.kind = 'model' AND f.lease_no = r.lease_no
         WHERE r.job_id = ANY($1)",
    )
    .bind(runs)
    .fetch_all(db)
    .await
}

/// Gives a new run the newest checkpoint of another, with the same bytes: it goes on from there. Locked, so that retention does not take
/// away the bytes meanwhile.
pub async fn copy_checkpoint(db: &mut PgConnection, from: Uuid, to: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO training_file (job_id, kind, lease_no, attempt, epoch, bytes, sha256, blob)
         SELECT $2, kind, 0, attempt, epoch, bytes, sha256, blob FROM training_file
         WHERE job_id = $1 AND kind = 'checkpoint' ORDER BY lease_no DESC LIMIT 1 FOR SHARE",
    )
    .bind(from)
    .bind(to)
    .execute(db)
    .await?;
    Ok(())
}

/// Bytes that a run named.
#[derive(Debug, FromRow)]
pub struct Replaced {
    pub sha256: Vec<u8>,
    pub blob: Uuid,
}

/// Those of these bytes that no run names any more. A copy of a checkpoint names those of another run.
pub async fn unnamed(db: &mut PgConnection, mut files: Vec<Replaced>) -> sqlx::Result<Vec<Replaced>> {
    let blobs: Vec<Uuid> = files.iter().map(|file| file.blob).collect();
    let named = named_blobs(db, &blobs).await?;
    files.retain(|file| !named.contains(&file.blob));
    Ok(files)
}

/// Those of these blobs that a file of a run names.
pub async fn named_blobs(db: &mut PgConnection, blobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT DISTINCT blob FROM training_file WHERE blob = ANY($1)").bind(blobs).fetch_all(db).await
}

/// Forgets models of ended runs whose lease was not the one that counts: nobody will ever be given them. Answers how many.
pub async fn forget_unselected(db: &mut PgConnection) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM training_file AS f USING training_run AS r
         WHERE f.job_id = r.job_id AND f.kind = 'model' AND r.state IS NOT NULL AND f.lease_no IS DISTINCT FROM r.lease_no",
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
