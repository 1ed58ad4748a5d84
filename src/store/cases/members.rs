//! Members of cases.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use crate::domain::case::CaseRole;

/// A member of a case.
#[derive(Debug, Clone, FromRow)]
pub struct MemberRecord {
    pub case_id: Uuid,
    /// The account's name.
    pub name: String,
    #[sqlx(try_from = "String")]
    pub role: CaseRole,
    /// Since when it has this role.
    pub at: DateTime<Utc>,
}

/// The members of cases, by name.
pub async fn list(db: &mut PgConnection, cases: &[Uuid]) -> sqlx::Result<Vec<MemberRecord>> {
    sqlx::query_as(
        "SELECT m.case_id, a.name, m.role, m.at FROM member AS m JOIN account AS a ON a.id = m.account_id
         WHERE m.case_id = ANY($1) ORDER BY m.case_id, a.name",
    )
    .bind(cases)
    .fetch_all(db)
    .await
}

/// Locks an account, so that nobody else makes it a member of anything; answers its id.
pub async fn lock_account(db: &mut PgConnection, name: &str) -> sqlx::Result<Option<Uuid>> {
    sqlx::query_scalar("SELECT id FROM account WHERE name = $1 FOR NO KEY UPDATE").bind(name).fetch_optional(db).await
}

/// What an account is in a locked case: a statement after the one that locked.
pub async fn role(db: &mut PgConnection, case: Uuid, account: Uuid) -> sqlx::Result<Option<CaseRole>> {
    #[derive(FromRow)]
    struct HeldRole {
        #[sqlx(try_from = "String")]
        role: CaseRole,
    }
    let held: Option<HeldRole> = sqlx::query_as("SELECT role FROM member WHERE case_id = $1 AND account_id = $2")
        .bind(case)
        .bind(account)
        .fetch_optional(db)
        .await?;
    Ok(held.map(|held| held.role))
}

/// What decides whether an account may become a member, or cease to be one.
#[derive(Debug, Clone, FromRow)]
pub struct MemberFacts {
    /// What it is in the case.
    pub role: Option<String>,
    /// How many members the case has, and how many of them are owners.
    pub members: i64,
    pub owners: i64,
    /// Of how many cases the account is a member.
    pub memberships: i64,
    /// In how many of these who asks gave it its role.
    pub given: i64,
}

/// The facts about a locked case and a locked account, for who asks: a statement after those that locked.
pub async fn facts(db: &mut PgConnection, case: Uuid, account: Uuid, by: Uuid) -> sqlx::Result<MemberFacts> {
    sqlx::query_as(
        "SELECT (SELECT role FROM member WHERE case_id = $1 AND account_id = $2) AS role,
                (SELECT count(*) FROM member WHERE case_id = $1) AS members,
                (SELECT count(*) FROM member WHERE case_id = $1 AND role = 'owner') AS owners,
                (SELECT count(*) FROM member WHERE account_id = $2) AS memberships,
                (SELECT count(*) FROM member WHERE account_id = $2 AND added_by = $3) AS given",
    )
    .bind(case)
    .bind(account)
    .bind(by)
    .fetch_one(db)
    .await
}

/// Makes an account a member, or gives it another role, and writes it down.
pub async fn set(db: &mut PgConnection, case: Uuid, account: Uuid, role: CaseRole, by: Uuid) -> sqlx::Result<()> {
    sqlx::query(include_str!("../sql/cases/set_member.sql"))
        .bind(case)
        .bind(account)
        .bind(role.as_str())
        .bind(by)
        .execute(db)
        .await?;
    Ok(())
}

/// Takes a member out of a case, and writes it down.
pub async fn remove(db: &mut PgConnection, case: Uuid, account: Uuid, by: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "WITH gone AS (DELETE FROM member WHERE case_id = $1 AND account_id = $2 RETURNING case_id, account_id)
         INSERT INTO job_event (code, account_id, subject_id, reason)
         SELECT 'member_removed', $3, case_id::text, account_id::text FROM gone",
    )
    .bind(case)
    .bind(account)
    .bind(by)
    .execute(db)
    .await?;
    Ok(())
}
