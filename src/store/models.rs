//! Models: known from their first registration until they are retired.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

/// A model with what is going on around it.
#[derive(Debug, Clone)]
pub struct Model {
    pub name: String,
    pub owner: Option<Uuid>,
    pub owner_name: Option<String>,
    pub description: String,
    pub tags: Vec<String>,
    pub labels: Vec<String>,
    pub params_schema: Option<serde_json::Value>,
    pub last_version: String,
    pub paused: bool,
    pub max_running: Option<i32>,
    pub max_attempts: i16,
    pub backoff_base_s: f32,
    pub backoff_cap_s: f32,
    pub retry_budget_s: Option<f32>,
    pub deadline_s: f32,
    pub retired_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    /// Live workers.
    pub workers: i64,
    /// Versions that live workers serve.
    pub live_versions: Vec<String>,
    /// Queued jobs, counted up to [`DEPTH_COUNTED_MAX`](super::queues::DEPTH_COUNTED_MAX).
    pub queued: i64,
    pub running: i64,
    /// Since when the queued job that is first in line has been due.
    pub oldest_due_at: Option<DateTime<Utc>>,
}

impl FromRow<'_, PgRow> for Model {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            name: row.try_get("name")?,
            owner: row.try_get("owner")?,
            owner_name: row.try_get("owner_name")?,
            description: row.try_get("description")?,
            tags: row.try_get("tags")?,
            labels: row.try_get("labels")?,
            params_schema: row.try_get("params_schema")?,
            last_version: row.try_get("last_version")?,
            paused: row.try_get("paused")?,
            max_running: row.try_get("max_running")?,
            max_attempts: row.try_get("max_attempts")?,
            backoff_base_s: row.try_get("backoff_base_s")?,
            backoff_cap_s: row.try_get("backoff_cap_s")?,
            retry_budget_s: row.try_get("retry_budget_s")?,
            deadline_s: row.try_get("deadline_s")?,
            retired_at: row.try_get("retired_at")?,
            created_at: row.try_get("created_at")?,
            workers: row.try_get("workers")?,
            live_versions: row.try_get("live_versions")?,
            queued: row.try_get("queued")?,
            running: row.try_get("running")?,
            oldest_due_at: row.try_get("oldest_due_at")?,
        })
    }
}

macro_rules! select {
    ($where:literal) => {
        concat!(
            "SELECT m.name, m.owner, a.name AS owner_name, m.description, m.tags, m.labels, m.params_schema, m.last_version, m.paused,
                    m.max_running, m.max_attempts, m.backoff_base_s, m.backoff_cap_s, m.retry_budget_s, m.deadline_s, m.retired_at, m.created_at,
                    coalesce(cardinality(s.versions), 0)::bigint AS workers,
                    coalesce((SELECT array_agg(DISTINCT v ORDER BY v) FROM unnest(s.versions) AS v), '{}') AS live_versions,
                    (SELECT count(*) FROM (SELECT FROM job AS j WHERE j.model = m.name AND j.state = 'queued' LIMIT 10000) AS q) AS queued,
                    (SELECT count(*) FROM job AS j JOIN worker_session AS w ON w.id = j.session_id
                     WHERE w.model = m.name AND j.state = 'running') AS running,
                    (SELECT j.run_at FROM job AS j WHERE j.model = m.name AND j.state = 'queued' AND j.due
                     ORDER BY j.rank, j.id LIMIT 1) AS oldest_due_at
             FROM model AS m
             LEFT JOIN account AS a ON a.id = m.owner
             LEFT JOIN LATERAL (SELECT array_agg(w.version) AS versions FROM worker_session AS w
                                WHERE w.model = m.name AND w.ended_at IS NULL AND w.alive_until > clock_timestamp()) AS s ON true
             WHERE ", $where)
    };
}

/// Models by name, from after the cursor; retired ones too when asked.
pub async fn list(db: &mut PgConnection, after: Option<&str>, retired: bool, limit: i64) -> sqlx::Result<Vec<Model>> {
    const SQL: &str =
        select!("($1::text IS NULL OR m.name > $1) AND ($2 OR m.retired_at IS NULL) ORDER BY m.name LIMIT $3");
    sqlx::query_as(SQL).bind(after).bind(retired).bind(limit).fetch_all(db).await
}

/// The models of these names, retired ones included.
pub async fn find(db: &mut PgConnection, names: &[String]) -> sqlx::Result<Vec<Model>> {
    const SQL: &str = select!("m.name = ANY($1) ORDER BY m.name");
    sqlx::query_as(SQL).bind(names).fetch_all(db).await
}

/// What a registration says of its model.
#[derive(Debug, Clone)]
pub struct Described<'a> {
    pub name: &'a str,
    pub version: &'a str,
    pub description: Option<&'a str>,
    pub tags: Option<&'a [String]>,
    pub labels: Option<&'a [String]>,
    pub params_schema: Option<&'a serde_json::Value>,
}

/// Makes a model known, or refreshes what is said of it; answers its owner. A retired model comes back.
pub async fn register(
    db: &mut PgConnection,
    model: &Described<'_>,
    owner: Option<Uuid>,
    key: &str,
) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar(
        "WITH made AS (
           INSERT INTO model AS m (name, owner, last_version, description, tags, labels, params_schema)
           VALUES ($1, $2, $3, coalesce($4, ''), coalesce($5, '{}'), coalesce($6, '{}'), $7)
           ON CONFLICT ON CONSTRAINT model_pkey DO UPDATE SET
             last_version = excluded.last_version, description = coalesce($4, m.description), tags = coalesce($5, m.tags),
             labels = coalesce($6, m.labels), params_schema = coalesce($7, m.params_schema), retired_at = NULL
           RETURNING name, owner, (xmax = 0) AS new
         ), told AS (
           INSERT INTO job_event (code, key_id, model) SELECT 'model_registered', $8, name FROM made WHERE new
         )
         SELECT owner FROM made",
    )
    .bind(model.name)
    .bind(owner)
    .bind(model.version)
    .bind(model.description)
    .bind(model.tags)
    .bind(model.labels)
    .bind(model.params_schema)
    .bind(key)
    .fetch_one(db)
    .await
}

/// The owner of a model that is known; the outer option says whether it is.
pub async fn owner(db: &mut PgConnection, name: &str) -> sqlx::Result<Option<Option<Uuid>>> {
    sqlx::query_scalar("SELECT owner FROM model WHERE name = $1 FOR NO KEY UPDATE").bind(name).fetch_optional(db).await
}

/// What may change of a model; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct ModelChange {
    pub paused: Option<bool>,
    pub max_running: Option<Option<i32>>,
    pub max_attempts: Option<i16>,
    pub backoff_base_s: Option<f32>,
    pub backoff_cap_s: Option<f32>,
    pub retry_budget_s: Option<Option<f32>>,
    pub deadline_s: Option<f32>,
    pub retired: Option<bool>,
}

/// Changes a model and writes down what changed.
pub async fn update(db: &mut PgConnection, name: &str, change: &ModelChange, by: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "WITH made AS (
           UPDATE model SET
             paused = coalesce($2, paused),
             max_running = CASE WHEN $3 THEN $4 ELSE max_running END,
             max_attempts = coalesce($5, max_attempts),
             backoff_base_s = coalesce($6, backoff_base_s),
             backoff_cap_s = coalesce($7, backoff_cap_s),
             deadline_s = coalesce($8, deadline_s),
             retry_budget_s = CASE WHEN $11 THEN $12 ELSE retry_budget_s END,
             retired_at = CASE WHEN $9::boolean IS NULL THEN retired_at WHEN $9 THEN coalesce(retired_at, clock_timestamp()) END
           WHERE name = $1 RETURNING name
         )
         INSERT INTO job_event (code, account_id, model, reason)
         SELECT 'model_changed', $10, name,
                concat_ws(',', CASE WHEN $2 THEN 'paused' WHEN NOT $2 THEN 'resumed' END, CASE WHEN $3 THEN 'limit' END,
                          CASE WHEN coalesce($5::real, $6, $7, $8) IS NOT NULL OR $11 THEN 'policy' END,
                          CASE WHEN $9 THEN 'retired' WHEN NOT $9 THEN 'restored' END)
         FROM made",
    )
    .bind(name)
    .bind(change.paused)
    .bind(change.max_running.is_some())
    .bind(change.max_running.flatten())
    .bind(change.max_attempts)
    .bind(change.backoff_base_s)
    .bind(change.backoff_cap_s)
    .bind(change.deadline_s)
    .bind(change.retired)
    .bind(by)
    .bind(change.retry_budget_s.is_some())
    .bind(change.retry_budget_s.flatten())
    .execute(db)
    .await?;
    Ok(())
}

/// Retired models that still have queued jobs.
pub async fn retired(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "SELECT m.name FROM model AS m WHERE m.retired_at IS NOT NULL
           AND EXISTS (SELECT FROM job AS j WHERE j.model = m.name AND j.state = 'queued')",
    )
    .fetch_all(db)
    .await
}
