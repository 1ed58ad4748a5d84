//! Accounts of people, and the brake on guessing their passwords.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use crate::domain::account::Role;

/// An account without its password.
#[derive(Debug, Clone)]
pub struct Account {
    pub id: Uuid,
    pub name: String,
    pub email: Option<String>,
    pub roles: Vec<Role>,
    pub token_generation: i32,
    pub disabled_at: Option<DateTime<Utc>>,
    pub created_at: DateTime<Utc>,
}

impl FromRow<'_, PgRow> for Account {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let roles: Vec<String> = row.try_get("roles")?;
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            email: row.try_get("email")?,
            roles: roles.iter().filter_map(|role| Role::parse(role)).collect(),
            token_generation: row.try_get("token_generation")?,
            disabled_at: row.try_get("disabled_at")?,
            created_at: row.try_get("created_at")?,
        })
    }
}

/// Those of these accounts that exist.
pub async fn find(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as(
        "SELECT id, name, email, roles, token_generation, disabled_at, created_at FROM account WHERE id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(db)
    .await
}

/// The database's clock.
pub async fn now(db: &mut PgConnection) -> sqlx::Result<DateTime<Utc>> {
    sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(db).await
}

/// The account of that name with its password's hash.
pub async fn find_by_name(db: &mut PgConnection, name: &str) -> sqlx::Result<Option<(Account, String)>> {
    let row = sqlx::query(
        "SELECT id, name, email, roles, token_generation, disabled_at, created_at, password_hash FROM account WHERE name = $1",
    )
    .bind(name)
    .fetch_optional(db)
    .await?;
    row.map(|row| Ok((Account::from_row(&row)?, row.try_get("password_hash")?))).transpose()
}

/// Makes an account; breaks `account_name_key` when the name is taken.
pub async fn create(
    db: &mut PgConnection,
    name: &str,
    email: Option<&str>,
    password_hash: &str,
    roles: &[Role],
    by: Option<Uuid>,
) -> sqlx::Result<Account> {
    sqlx::query_as(include_str!("sql/accounts/create.sql"))
        .bind(name)
        .bind(email)
        .bind(password_hash)
        .bind(texts(roles))
        .bind(by)
        .fetch_one(db)
        .await
}

/// What may change of an account; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct AccountChange {
    pub email: Option<Option<String>>,
    pub password_hash: Option<String>,
    pub roles: Option<Vec<Role>>,
    pub disabled: Option<bool>,
}

/// Changes an account. A new password or disabling withdraws the tokens given out before.
pub async fn update(
    db: &mut PgConnection,
    id: Uuid,
    change: &AccountChange,
    by: Option<Uuid>,
) -> sqlx::Result<Account> {
    sqlx::query_as(include_str!("sql/accounts/update.sql"))
        .bind(id)
        .bind(change.email.is_some())
        .bind(change.email.clone().flatten())
        .bind(&change.password_hash)
        .bind(change.roles.as_deref().map(texts))
        .bind(change.disabled)
        .bind(by)
        .fetch_one(db)
        .await
}

/// Locks the enabled administrators and answers their ids.
pub async fn lock_admins(db: &mut PgConnection) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT id FROM account WHERE 'admin' = ANY(roles) AND disabled_at IS NULL ORDER BY id FOR UPDATE",
    )
    .fetch_all(db)
    .await
}

/// Whether any enabled administrator exists.
pub async fn has_admin(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM account WHERE 'admin' = ANY(roles) AND disabled_at IS NULL)")
        .fetch_one(db)
        .await
}

/// Accounts by name, from after the cursor.
pub async fn list(db: &mut PgConnection, after: Option<&str>, limit: i64) -> sqlx::Result<Vec<Account>> {
    sqlx::query_as(
        "SELECT id, name, email, roles, token_generation, disabled_at, created_at FROM account
         WHERE $1::text IS NULL OR name > $1 ORDER BY name LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Counts one more attempt to log in under this name from this address, and answers how many there were in
/// the window and in how many seconds it ends. Counting before the password is checked stops parallel guesses.
pub async fn count_login(db: &mut PgConnection, name: &str, source: &str, window_s: f64) -> sqlx::Result<(i32, f64)> {
    sqlx::query_as(
        "INSERT INTO login_failure AS f (name, source, failures, since) VALUES ($1, $2, 1, clock_timestamp())
         ON CONFLICT ON CONSTRAINT login_failure_pkey DO UPDATE SET
           failures = CASE WHEN f.since < clock_timestamp() - interval '1 s' * $3 THEN 1 ELSE f.failures + 1 END,
           since = CASE WHEN f.since < clock_timestamp() - interval '1 s' * $3 THEN clock_timestamp() ELSE f.since END
         RETURNING failures, extract(epoch FROM since + interval '1 s' * $3 - clock_timestamp())::float8",
    )
    .bind(name)
    .bind(source)
    .bind(window_s)
    .fetch_one(db)
    .await
}

/// Forgets the failures after a log-in that worked.
pub async fn clear_logins(db: &mut PgConnection, name: &str, source: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM login_failure WHERE name = $1 AND source = $2")
        .bind(name)
        .bind(source)
        .execute(db)
        .await?;
    Ok(())
}

/// Forgets failed log-ins of yesterday, at most `limit`.
pub async fn forget_logins(db: &mut PgConnection, limit: i64) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM login_failure WHERE ctid IN (
           SELECT ctid FROM login_failure WHERE since < clock_timestamp() - interval '1 day' LIMIT $1)",
    )
    .bind(limit)
    .execute(db)
    .await?;
    Ok(())
}

fn texts(roles: &[Role]) -> Vec<&'static str> {
    roles.iter().map(|role| role.as_str()).collect()
}
