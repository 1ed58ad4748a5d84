//! Accounts of people, and the tokens that they ended.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use crate::domain::account::Role;
use crate::domain::case::{CaseRole, Membership};

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

/// An account, what may make a token of it void, and the cases that it is a member of.
#[derive(Debug, Clone)]
pub struct KnownAccount {
    pub account: Account,
    /// Tokens that were logged out and would be valid yet.
    pub ended_tokens: Vec<Uuid>,
    /// Where what it submits to no other case goes.
    pub own_case: Uuid,
    /// In order of the cases.
    pub cases: Arc<[Membership]>,
}

impl FromRow<'_, PgRow> for KnownAccount {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let (cases, roles): (Vec<Uuid>, Vec<String>) = (row.try_get("cases")?, row.try_get("case_roles")?);
        let membership = |(case, role): (Uuid, String)| Some(Membership { case, role: CaseRole::parse(&role)? });
        Ok(Self {
            account: Account::from_row(row)?,
            ended_tokens: row.try_get("ended_tokens")?,
            own_case: row.try_get("own_case")?,
            cases: cases.into_iter().zip(roles).filter_map(membership).collect(),
        })
    }
}

/// Those of these accounts that exist.
pub async fn find(db: &mut PgConnection, ids: &[Uuid]) -> sqlx::Result<Vec<KnownAccount>> {
    sqlx::query_as(include_str!("sql/accounts/find.sql")).bind(ids).fetch_all(db).await
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

/// Makes an account and its own case; breaks `account_name_key` when the name is taken.
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

/// How many ended tokens of one account are kept: each look at the account reads them.
const ENDED_TOKENS_MAX: i64 = 100;

/// Ends a token, told with its Unix time of expiry, or every token of its account: also where too many were ended one by one.
pub async fn log_out(
    db: &mut PgConnection,
    account: Uuid,
    token: Uuid,
    expires: i64,
    everywhere: bool,
) -> sqlx::Result<()> {
    let ended = if everywhere { 0 } else { end_token(db, account, token, expires).await? };
    if ended == 0 {
        sqlx::query("UPDATE account SET token_generation = token_generation + 1 WHERE id = $1")
            .bind(account)
            .execute(&mut *db)
            .await?;
        sqlx::query("DELETE FROM ended_token WHERE account_id = $1").bind(account).execute(&mut *db).await?;
    }
    sqlx::query(
        "INSERT INTO job_event (code, account_id, subject_id, reason) VALUES ('user_logged_out', $1, $1::text, $2)",
    )
    .bind(account)
    .bind((ended == 0).then_some("everywhere"))
    .execute(db)
    .await?;
    Ok(())
}

async fn end_token(db: &mut PgConnection, account: Uuid, token: Uuid, expires: i64) -> sqlx::Result<u64> {
    let ended = sqlx::query(
        "INSERT INTO ended_token (account_id, id, expires_at) SELECT $1, $2, to_timestamp($3)
         WHERE (SELECT count(*) FROM ended_token WHERE account_id = $1) < $4
         ON CONFLICT ON CONSTRAINT ended_token_pkey DO UPDATE SET expires_at = excluded.expires_at",
    )
    .bind(account)
    .bind(token)
    .bind(expires as f64)
    .bind(ENDED_TOKENS_MAX)
    .execute(db)
    .await?;
    Ok(ended.rows_affected())
}

/// Forgets ended tokens that have expired, at most `limit`.
pub async fn forget_tokens(db: &mut PgConnection, limit: i64) -> sqlx::Result<()> {
    sqlx::query(
        "DELETE FROM ended_token WHERE ctid = ANY(ARRAY(
           SELECT ctid FROM ended_token WHERE expires_at <= clock_timestamp() LIMIT $1 FOR UPDATE SKIP LOCKED))",
    )
    .bind(limit)
    .execute(db)
    .await?;
    Ok(())
}

fn texts(roles: &[Role]) -> Vec<&'static str> {
    roles.iter().map(|role| role.as_str()).collect()
}
