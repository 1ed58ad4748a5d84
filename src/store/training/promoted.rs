//! Runs whose model file is a version of a model.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

/// A version of a model that a run became.
#[derive(Debug, Clone, FromRow)]
pub struct Promoted {
    pub run: Uuid,
    pub model: String,
    /// Whose the model is.
    pub model_owner: Option<Uuid>,
    pub version: String,
    pub at: DateTime<Utc>,
}

/// The versions of models that these runs became, in order of time.
pub async fn promoted(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<Vec<Promoted>> {
    sqlx::query_as(
        "SELECT p.job_id AS run, q.name AS model, q.owner AS model_owner, v.name AS version, p.at
         FROM promotion AS p JOIN model_version AS v ON v.id = p.version_id JOIN queue AS q ON q.id = v.queue_id
         WHERE p.job_id = ANY($1) ORDER BY p.at, p.version_id",
    )
    .bind(runs)
    .fetch_all(db)
    .await
}

/// A model that a run is to become a version of, its row locked.
#[derive(Debug, Clone, FromRow)]
pub struct PromotionTarget {
    pub queue_id: i32,
    pub owner: Option<Uuid>,
    pub retired: bool,
}

/// Locks a model, making it the account's if it is not known.
pub async fn lock_target(
    db: &mut PgConnection,
    model: &str,
    account: Uuid,
    version: &str,
) -> sqlx::Result<PromotionTarget> {
    sqlx::query(
        "WITH made AS (
           INSERT INTO queue (name, owner, last_version) SELECT $1, $2, $3
           WHERE NOT EXISTS (SELECT FROM queue WHERE name = $1 AND kind = 'model')
           ON CONFLICT ON CONSTRAINT queue_name_key DO NOTHING RETURNING id
         )
         INSERT INTO job_event (code, account_id, queue_id) SELECT 'model_registered', $2, id FROM made",
    )
    .bind(model)
    .bind(account)
    .bind(version)
    .execute(&mut *db)
    .await?;
    sqlx::query_as(
        "SELECT id AS queue_id, owner, retired_at IS NOT NULL AS retired FROM queue WHERE name = $1 AND kind = 'model' FOR NO KEY UPDATE",
    )
    .bind(model)
    .fetch_one(db)
    .await
}

/// The run that is this version of a model; nothing where there is no such version, and no run where workers brought it.
pub async fn promotion_of(db: &mut PgConnection, queue: i32, version: &str) -> sqlx::Result<Option<Option<Uuid>>> {
    sqlx::query_scalar(
        "SELECT p.job_id FROM model_version AS v LEFT JOIN promotion AS p ON p.version_id = v.id
         WHERE v.queue_id = $1 AND v.name = $2",
    )
    .bind(queue)
    .bind(version)
    .fetch_optional(db)
    .await
}

/// Makes a run a new version of a locked model.
pub async fn promote(
    db: &mut PgConnection,
    target: &PromotionTarget,
    version: &str,
    run: Uuid,
    account: Uuid,
) -> sqlx::Result<()> {
    sqlx::query(
        "WITH version AS (
           INSERT INTO model_version (queue_id, name) VALUES ($1, $2) RETURNING id
         ), made AS (
           INSERT INTO promotion (version_id, job_id, account_id) SELECT id, $3, $4 FROM version
         ), told AS (
           INSERT INTO job_event (code, job_id, queue_id, account_id) VALUES ('run_promoted', $3, $1, $4)
         )
         UPDATE training_run SET revision = revision + 1 WHERE job_id = $3",
    )
    .bind(target.queue_id)
    .bind(version)
    .bind(run)
    .bind(account)
    .execute(db)
    .await?;
    Ok(())
}
