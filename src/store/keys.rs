//! API keys of microservices. The secret never comes here, only its SHA-256.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::key::Service;

/// A key's row.
#[derive(Debug, Clone, FromRow)]
pub struct ApiKey {
    pub id: String,
    pub secret_sha256: Vec<u8>,
    #[sqlx(try_from = "String")]
    pub service: Service,
    pub models: Vec<String>,
    pub owner: Option<Uuid>,
    pub owner_name: Option<String>,
    pub trusted: bool,
    pub detail: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub disabled_at: Option<DateTime<Utc>>,
    pub last_used_at: Option<DateTime<Utc>>,
    /// Whether its owner may hold it no more: the account is disabled or, if the key is not trusted, has no role for it.
    pub owner_barred: bool,
}

/// What a new key is made of.
#[derive(Debug, Clone)]
pub struct NewKey<'a> {
    pub id: &'a str,
    pub secret_sha256: &'a [u8],
    pub service: Service,
    pub models: &'a [String],
    pub owner: Option<Uuid>,
    pub trusted: bool,
    pub detail: Option<&'a str>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// Makes a key; one that is there already under the same id stays as it is.
pub async fn create(db: &mut PgConnection, key: &NewKey<'_>, by: Option<Uuid>) -> sqlx::Result<()> {
    sqlx::query(
        "WITH made AS (
           INSERT INTO api_key (id, secret_sha256, service, models, owner, trusted, detail, expires_at)
           VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT ON CONSTRAINT api_key_pkey DO NOTHING RETURNING id
         )
         INSERT INTO job_event (code, account_id, key_id) SELECT 'key_created', $9, id FROM made",
    )
    .bind(key.id)
    .bind(key.secret_sha256)
    .bind(key.service.as_str())
    .bind(key.models)
    .bind(key.owner)
    .bind(key.trusted)
    .bind(key.detail)
    .bind(key.expires_at)
    .bind(by)
    .execute(db)
    .await?;
    Ok(())
}

/// The key of that id.
pub async fn find(db: &mut PgConnection, id: &str) -> sqlx::Result<Option<ApiKey>> {
    Ok(find_each(db, &[id.to_owned()]).await?.pop())
}

/// The keys of those ids that there are.
pub async fn find_each(db: &mut PgConnection, ids: &[String]) -> sqlx::Result<Vec<ApiKey>> {
    sqlx::query_as(include_str!("sql/keys/find.sql")).bind(ids).fetch_all(db).await
}

/// Keys newest first, from before the cursor; everybody's when no owner is given.
pub async fn list(
    db: &mut PgConnection,
    owner: Option<Uuid>,
    before: Option<(DateTime<Utc>, &str)>,
    limit: i64,
) -> sqlx::Result<Vec<ApiKey>> {
    sqlx::query_as(include_str!("sql/keys/list.sql"))
        .bind(owner)
        .bind(before.map(|b| b.0))
        .bind(before.map_or("", |b| b.1))
        .bind(limit)
        .fetch_all(db)
        .await
}

/// Disables a key of that owner, or of anybody; the row stays. Answers whether there is such a key.
pub async fn disable(db: &mut PgConnection, id: &str, owner: Option<Uuid>, by: Uuid) -> sqlx::Result<bool> {
    let known: bool =
        sqlx::query_scalar("SELECT EXISTS (SELECT FROM api_key WHERE id = $1 AND ($2::uuid IS NULL OR owner = $2))")
            .bind(id)
            .bind(owner)
            .fetch_one(&mut *db)
            .await?;
    if known {
        sqlx::query(
            "WITH made AS (
               UPDATE api_key SET disabled_at = clock_timestamp() WHERE id = $1 AND disabled_at IS NULL RETURNING id
             )
             INSERT INTO job_event (code, account_id, key_id) SELECT 'key_disabled', $2, id FROM made",
        )
        .bind(id)
        .bind(by)
        .execute(db)
        .await?;
    }
    Ok(known)
}

/// Disables all keys of an owner; answers which were not before.
pub async fn disable_all(db: &mut PgConnection, owner: Uuid, by: Uuid) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar(
        "WITH made AS (
           UPDATE api_key SET disabled_at = clock_timestamp() WHERE owner = $1 AND disabled_at IS NULL RETURNING id
         ), told AS (
           INSERT INTO job_event (code, account_id, key_id) SELECT 'key_disabled', $2, id FROM made
         )
         SELECT id FROM made",
    )
    .bind(owner)
    .bind(by)
    .fetch_all(db)
    .await
}

/// Writes down that these keys are in use now; one that another replica is writing is passed over.
pub async fn write_uses(db: &mut PgConnection, ids: &[&str]) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE api_key SET last_used_at = clock_timestamp()
         WHERE id = ANY(ARRAY(SELECT id FROM api_key WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED))",
    )
    .bind(ids)
    .execute(db)
    .await?;
    Ok(())
}
