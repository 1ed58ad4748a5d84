//! Datasets. A dataset is a queue of the kind `dataset`, of which one run at a time may run.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::ruling::RetryPolicy;

/// A dataset that services train on, with what is going on around it.
#[derive(Debug, Clone, FromRow)]
pub struct Dataset {
    /// Its queue.
    pub id: i32,
    pub name: String,
    /// What its queue is called: `dataset/` and its name.
    pub path: String,
    pub owner: Option<Uuid>,
    pub owner_name: Option<String>,
    pub description: String,
    pub tags: Vec<String>,
    pub params_schema: Option<Value>,
    #[sqlx(rename = "last_version")]
    pub version: String,
    pub paused: bool,
    #[sqlx(flatten)]
    pub retry: RetryPolicy,
    pub retired_at: Option<DateTime<Utc>>,
    /// Live services.
    pub workers: i64,
    pub queued: i64,
    pub running: i64,
}

/// A known dataset, whether anybody serves it or not; a retired one too.
pub async fn dataset(db: &mut PgConnection, name: &str) -> sqlx::Result<Option<Dataset>> {
    let found: Vec<Dataset> = read(db, Some(name), "", 1).await?;
    Ok(found.into_iter().next())
}

/// Datasets with a live service, by name, from after the cursor.
pub async fn datasets(db: &mut PgConnection, after: Option<&str>, limit: i64) -> sqlx::Result<Vec<Dataset>> {
    read(db, None, after.unwrap_or_default(), limit).await
}

async fn read(db: &mut PgConnection, name: Option<&str>, after: &str, limit: i64) -> sqlx::Result<Vec<Dataset>> {
    sqlx::query_as(include_str!("../sql/training/datasets.sql")).bind(name).bind(after).bind(limit).fetch_all(db).await
}
