//! The three log-in roles: the owner of the tables, who migrates; the application, which can neither alter nor take back what the
//! audit says; and the auditor, who sees the audit's views alone.

use sqlx::{AssertSqlSafe, Executor, PgConnection};

/// A role that logs in.
#[derive(Clone)]
pub struct Login {
    pub name: String,
    /// Nothing where PostgreSQL asks for none, as on a socket of its own.
    pub password: Option<String>,
}

/// The roles besides the owner; without the application's, the owner is the application.
#[derive(Clone, Default)]
pub struct Logins {
    pub application: Option<Login>,
    pub auditor: Option<Login>,
}

/// Makes the roles that are missing, and gives all of them what they are to have and no more. Answers what is left for somebody who
/// may, as statements in which passwords are left out; nothing when all is done.
pub async fn settle(owner: &mut PgConnection, logins: &Logins) -> sqlx::Result<Vec<String>> {
    let mut left = Vec::new();
    for login in [&logins.application, &logins.auditor].into_iter().flatten() {
        if !make(owner, login).await? {
            let shown = Login { password: login.password.as_ref().map(|_| "…".to_owned()), ..login.clone() };
            left.push(creation(owner, &shown).await?);
        }
    }
    let name = |login: &Option<Login>| login.as_ref().map(|login| login.name.clone());
    let grants: Vec<String> = sqlx::query_scalar(include_str!("sql/rights/grants.sql"))
        .bind(name(&logins.application))
        .bind(name(&logins.auditor))
        .fetch_all(&mut *owner)
        .await?;
    if left.is_empty() {
        // Together, so that the application at work never meets the moment between what is taken and given. Written by the
        // database itself, which quotes the names.
        owner.execute(AssertSqlSafe(grants.join("; "))).await?;
    } else {
        left.extend(grants);
    }
    Ok(left)
}

/// Makes a role, unless it is there; answers whether it is now. Another database of the cluster may be making it as well.
async fn make(owner: &mut PgConnection, login: &Login) -> sqlx::Result<bool> {
    let exists = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)").bind(&login.name);
    if exists.fetch_one(&mut *owner).await? {
        return Ok(true);
    }
    let statement = creation(owner, login).await?;
    match owner.execute(AssertSqlSafe(statement)).await {
        Ok(_) => Ok(true),
        Err(error) => match error.as_database_error().and_then(|e| e.code()).as_deref() {
            // Duplicate object; the same seen by the index alone.
            Some("42710" | "23505") => Ok(true),
            // It has no CREATEROLE.
            Some("42501") => Ok(false),
            _ => Err(error),
        },
    }
}

async fn creation(owner: &mut PgConnection, login: &Login) -> sqlx::Result<String> {
    sqlx::query_scalar(
        "SELECT format('CREATE ROLE %I LOGIN', $1::text) || coalesce(format(' PASSWORD %L', $2::text), '')",
    )
    .bind(&login.name)
    .bind(&login.password)
    .fetch_one(owner)
    .await
}

/// Whether whoever is connected could alter or remove what the audit says: then the application owns its tables.
pub async fn may_alter_audit(db: &mut PgConnection) -> sqlx::Result<bool> {
    sqlx::query_scalar(
        "SELECT has_table_privilege('job_event', 'UPDATE') OR has_table_privilege('job_event', 'DELETE')",
    )
    .fetch_one(db)
    .await
}
