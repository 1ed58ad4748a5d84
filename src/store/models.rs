//! Models: known from their first registration until they are retired. A model is a queue of the kind `model`.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::queues::DEPTH_COUNTED_MAX;
use super::work::Holder;
use crate::domain::key::Service;
use crate::domain::ruling::{PolicyChange, RetryPolicy};
use crate::domain::version::ServedBy;

/// Once so many bytes of what registrations said are on a page of models, it ends: an answer has room for twice as many.
const PAGE_BYTES: i64 = 4 * 1024 * 1024;

/// A model with what is going on around it.
#[derive(Debug, Clone, FromRow)]
pub struct Model {
    /// Its queue.
    pub id: i32,
    pub name: String,
    pub owner: Option<Uuid>,
    pub owner_name: Option<String>,
    pub description: String,
    pub tags: Vec<String>,
    /// Those that its workers say it can give, then others that it gave, by name.
    pub labels: Vec<String>,
    pub params_schema: Option<Value>,
    /// That of its newest version.
    pub result_schema: Option<Value>,
    pub last_version: String,
    #[sqlx(try_from = "String")]
    pub served_by: ServedBy,
    pub paused: bool,
    pub max_running: Option<i32>,
    #[sqlx(flatten)]
    pub retry: RetryPolicy,
    pub retired_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
    /// Live workers.
    pub workers: i64,
    /// Versions that live workers serve.
    pub live_versions: Vec<String>,
    /// Queued jobs; those in line are counted up to [`DEPTH_COUNTED_MAX`], as are those of all models that are for later.
    pub queued: i64,
    pub running: i64,
    /// Since when the queued job that is first in line has been due.
    pub oldest_due_at: Option<DateTime<Utc>>,
    /// What registrations said of it and of those before it on its page, in bytes.
    bytes: i64,
}

impl Model {
    /// Whether its page ends with it for its bytes, however many models were asked for.
    pub const fn fills_page(&self) -> bool {
        self.bytes >= PAGE_BYTES
    }
}

/// Models by name, from after the cursor; retired ones too when asked. Fewer than the limit when they [fill the page](Model::fills_page).
pub async fn list(db: &mut PgConnection, after: Option<&str>, retired: bool, limit: i64) -> sqlx::Result<Vec<Model>> {
    read(db, None, after.unwrap_or_default(), retired, limit, PAGE_BYTES).await
}

/// The models of these names, retired ones included.
pub async fn find(db: &mut PgConnection, names: &[String]) -> sqlx::Result<Vec<Model>> {
    read(db, Some(names), "", true, names.len() as i64, i64::MAX).await
}

async fn read(
    db: &mut PgConnection,
    names: Option<&[String]>,
    after: &str,
    retired: bool,
    limit: i64,
    bytes: i64,
) -> sqlx::Result<Vec<Model>> {
    sqlx::query_as(include_str!("sql/models/list.sql"))
        .bind(names)
        .bind(after)
        .bind(retired)
        .bind(limit)
        .bind(DEPTH_COUNTED_MAX)
        .bind(bytes)
        .fetch_all(db)
        .await
}

/// The ids of params, by the hash and the text of each, in the order asked; those that are new are kept. In a transaction or
/// without.
pub async fn params_ids(db: &mut PgConnection, params: &[(&[u8], &str)]) -> sqlx::Result<Vec<i64>> {
    let mut known = known_params(db, params.iter().map(|(hash, _)| *hash).collect()).await?;
    let mut missing: Vec<_> = params.iter().filter(|(hash, _)| !known.contains_key(*hash)).collect();
    if !missing.is_empty() {
        // In one order, so that two that keep the same do not deadlock.
        missing.sort_by_key(|(hash, _)| *hash);
        missing.dedup_by_key(|(hash, _)| *hash);
        sqlx::query(
            "INSERT INTO params (hash, body) SELECT t.hash, t.body::jsonb FROM unnest($1::bytea[], $2::text[]) AS t (hash, body)
             ON CONFLICT ON CONSTRAINT params_hash_key DO NOTHING",
        )
        .bind(missing.iter().map(|(hash, _)| *hash).collect::<Vec<_>>())
        .bind(missing.iter().map(|(_, body)| *body).collect::<Vec<_>>())
        .execute(&mut *db)
        .await?;
        // Read, not returned: another may have kept some of them meanwhile.
        known.extend(known_params(db, missing.iter().map(|(hash, _)| *hash).collect()).await?);
    }
    params.iter().map(|(hash, _)| known.get(*hash).copied().ok_or(sqlx::Error::RowNotFound)).collect()
}

async fn known_params(db: &mut PgConnection, hashes: Vec<&[u8]>) -> sqlx::Result<HashMap<Vec<u8>, i64>> {
    let rows: Vec<(Vec<u8>, i64)> =
        sqlx::query_as("SELECT hash, id FROM params WHERE hash = ANY($1)").bind(hashes).fetch_all(db).await?;
    Ok(rows.into_iter().collect())
}

/// The params of these ids.
pub async fn params(db: &mut PgConnection, ids: &[i64]) -> sqlx::Result<Vec<(i64, Box<RawValue>)>> {
    let rows: Vec<(i64, Json<Box<RawValue>>)> =
        sqlx::query_as("SELECT id, body FROM params WHERE id = ANY($1)").bind(ids).fetch_all(db).await?;
    Ok(rows.into_iter().map(|(id, body)| (id, body.0)).collect())
}

/// What a registration says of its model.
#[derive(Debug, Clone)]
pub struct Described<'a> {
    /// Whether it is a model, or a dataset to train on.
    pub service: Service,
    pub name: &'a str,
    pub version: &'a str,
    pub description: Option<&'a str>,
    pub tags: Option<&'a [String]>,
    pub labels: Option<&'a [String]>,
    pub params_schema: Option<&'a Value>,
    pub result_schema: Option<&'a Value>,
}

/// A model and version that a worker may serve.
#[derive(Debug, Clone, FromRow)]
pub struct ModelVersion {
    pub owner: Option<Uuid>,
    pub queue_id: i32,
    pub version_id: i32,
    /// Nobody registered with it before.
    pub new_version: bool,
}

/// Makes a model or dataset and its version known, or refreshes what is said of it. One that is retired stays so: the caller asks
/// [`is_retired`] first.
pub async fn register(
    db: &mut PgConnection,
    model: &Described<'_>,
    owner: Option<Uuid>,
    key: &str,
) -> sqlx::Result<ModelVersion> {
    sqlx::query_as(include_str!("sql/models/register.sql"))
        .bind(model.name)
        .bind(owner)
        .bind(model.version)
        .bind(model.description)
        .bind(model.tags)
        .bind(model.labels)
        .bind(model.params_schema)
        .bind(key)
        .bind(kind(model.service))
        .bind(model.result_schema)
        .fetch_one(db)
        .await
}

/// The schema that results of a key's session must hold to, as JSON; nothing if there is none.
pub async fn result_schema(db: &mut PgConnection, holder: &Holder) -> sqlx::Result<Option<String>> {
    let schema: Option<Option<String>> = sqlx::query_scalar(
        "SELECT v.result_schema::text FROM worker_session AS s JOIN model_version AS v ON v.id = s.version_id
         WHERE s.id = $1 AND s.key_id = $2",
    )
    .bind(holder.session)
    .bind(&holder.key)
    .fetch_optional(db)
    .await?;
    Ok(schema.flatten())
}

/// Writes down labels that a model has said, each named once, as long as it has fewer than `most`; answers all that it is known to
/// have said.
pub async fn learn_labels(
    db: &mut PgConnection,
    queue: i32,
    labels: &[&str],
    most: usize,
) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(include_str!("sql/models/learn_labels.sql"))
        .bind(queue)
        .bind(labels)
        .bind(most as i64)
        .fetch_all(db)
        .await
}

/// The kind of queue that services of a type work on.
const fn kind(service: Service) -> &'static str {
    match service {
        Service::Predict => "model",
        Service::Train => "dataset",
    }
}

/// Locks a model or dataset, if it is known, and answers whether it is retired.
pub async fn is_retired(db: &mut PgConnection, service: Service, name: &str) -> sqlx::Result<bool> {
    let retired: Option<bool> =
        sqlx::query_scalar("SELECT retired_at IS NOT NULL FROM queue WHERE name = $1 AND kind = $2 FOR NO KEY UPDATE")
            .bind(name)
            .bind(kind(service))
            .fetch_optional(db)
            .await?;
    Ok(retired == Some(true))
}

/// What may change of a model, or, but for its versions and its limit, of a dataset; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct ModelChange {
    pub paused: Option<bool>,
    pub served_by: Option<ServedBy>,
    pub max_running: Option<Option<i32>>,
    pub policy: PolicyChange,
    pub retired: Option<bool>,
}

/// Changes a model or dataset, by its queue, and writes down what changed.
pub async fn update(db: &mut PgConnection, id: i32, change: &ModelChange, by: Uuid) -> sqlx::Result<()> {
    sqlx::query(include_str!("sql/models/update.sql"))
        .bind(id)
        .bind(change.paused)
        .bind(change.max_running.is_some())
        .bind(change.max_running.flatten())
        .bind(change.policy.max_attempts)
        .bind(change.policy.backoff_base_s)
        .bind(change.policy.backoff_cap_s)
        .bind(change.policy.deadline_s)
        .bind(change.retired)
        .bind(by)
        .bind(change.policy.retry_budget_s.is_some())
        .bind(change.policy.retry_budget_s.flatten())
        .bind(change.served_by.map(ServedBy::as_str))
        .execute(db)
        .await?;
    Ok(())
}
