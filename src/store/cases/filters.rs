//! Filters saved in cases.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

/// A saved filter.
#[derive(Debug, Clone, FromRow)]
pub struct FilterRecord {
    pub name: String,
    pub filter: String,
    /// The name of who saved it last.
    pub author: String,
    pub at: DateTime<Utc>,
}

/// The filters of a case, by name.
pub async fn list(db: &mut PgConnection, case: Uuid) -> sqlx::Result<Vec<FilterRecord>> {
    sqlx::query_as(
        "SELECT f.name, f.filter, a.name AS author, f.at FROM saved_filter AS f JOIN account AS a ON a.id = f.account_id
         WHERE f.case_id = $1 ORDER BY f.name",
    )
    .bind(case)
    .fetch_all(db)
    .await
}

/// Saves a filter under a name, unless there are `most` others; answers whether it did.
pub async fn save(
    db: &mut PgConnection,
    case: Uuid,
    name: &str,
    filter: &str,
    by: Uuid,
    most: i64,
) -> sqlx::Result<bool> {
    let saved = sqlx::query(
        "INSERT INTO saved_filter (case_id, name, filter, account_id)
         SELECT $1, $2, $3, $4 WHERE (SELECT count(*) FROM saved_filter WHERE case_id = $1 AND name <> $2) < $5
         ON CONFLICT ON CONSTRAINT saved_filter_pkey DO UPDATE SET filter = excluded.filter, account_id = excluded.account_id, at = excluded.at",
    )
    .bind(case)
    .bind(name)
    .bind(filter)
    .bind(by)
    .bind(most)
    .execute(db)
    .await?;
    Ok(saved.rows_affected() > 0)
}

/// Removes the filter of a name; answers whether there was one.
pub async fn remove(db: &mut PgConnection, case: Uuid, name: &str) -> sqlx::Result<bool> {
    let gone = sqlx::query("DELETE FROM saved_filter WHERE case_id = $1 AND name = $2")
        .bind(case)
        .bind(name)
        .execute(db)
        .await?;
    Ok(gone.rows_affected() > 0)
}
