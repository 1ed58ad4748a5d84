//! Cases themselves: made, found, listed, changed.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

/// A case, as its members see it.
#[derive(Debug, Clone, FromRow)]
pub struct CaseRecord {
    pub id: Uuid,
    pub name: String,
    pub description: String,
    /// The account whose own it is.
    pub own_of: Option<Uuid>,
    pub created_at: DateTime<Utc>,
    pub closed_at: Option<DateTime<Utc>>,
    /// How many images it holds, counted up to a limit.
    pub images: i64,
}

/// Cases from before the cursor, newest first, with their images counted up to a limit: of these, or, with none given, of all that are
/// not deleted.
pub async fn list(
    db: &mut PgConnection,
    cases: Option<&[Uuid]>,
    before: Option<Uuid>,
    limit: i64,
    counted: i64,
) -> sqlx::Result<Vec<CaseRecord>> {
    sqlx::query_as(include_str!("../sql/cases/list.sql"))
        .bind(cases)
        .bind(before.unwrap_or(Uuid::max()))
        .bind(limit)
        .bind(counted)
        .persistent(false)
        .fetch_all(db)
        .await
}

/// Makes a case whose owner the account is, and writes it down; answers its id.
pub async fn create(db: &mut PgConnection, name: &str, description: &str, by: Uuid) -> sqlx::Result<Uuid> {
    sqlx::query_scalar(include_str!("../sql/cases/create.sql"))
        .bind(name)
        .bind(description)
        .bind(by)
        .fetch_one(db)
        .await
}

/// What decides whether a case may change.
#[derive(Debug, Clone, FromRow)]
pub struct CaseStanding {
    pub own_of: Option<Uuid>,
    pub closed: bool,
}

/// Locks a case that is not deleted. Who changes it takes turns, and who writes to it is waited for.
pub async fn lock(db: &mut PgConnection, case: Uuid) -> sqlx::Result<Option<CaseStanding>> {
    sqlx::query_as(
        "SELECT own_of, closed_at IS NOT NULL AS closed FROM casefile WHERE id = $1 AND deleted_at IS NULL FOR UPDATE",
    )
    .bind(case)
    .fetch_optional(db)
    .await
}

/// What is to change of a case; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct CaseChange {
    pub name: Option<String>,
    pub description: Option<String>,
    pub closed: Option<bool>,
}

/// Changes a locked case, and writes it down.
pub async fn update(db: &mut PgConnection, case: Uuid, change: &CaseChange, by: Uuid) -> sqlx::Result<()> {
    sqlx::query(include_str!("../sql/cases/update.sql"))
        .bind(case)
        .bind(&change.name)
        .bind(&change.description)
        .bind(change.closed)
        .bind(by)
        .execute(db)
        .await?;
    Ok(())
}
