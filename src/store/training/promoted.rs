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
