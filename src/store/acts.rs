//! Acts of people that the audit tells, besides those which a statement of their own tells.

use std::time::Duration;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::act::FrequentAct;

/// How often somebody did the same within a short while.
#[derive(Debug, Clone, Copy)]
pub struct ActSum {
    pub act: FrequentAct,
    /// Nobody where a log-in named no account.
    pub account: Option<Uuid>,
    pub image: Option<i64>,
    pub count: i32,
    /// How long ago the first and the last were.
    pub first: Duration,
    pub last: Duration,
}

/// Writes sums down, a row each.
pub async fn tell(db: &mut PgConnection, sums: &[ActSum]) -> sqlx::Result<()> {
    sqlx::query(include_str!("sql/acts/tell.sql"))
        .bind(sums.iter().map(|sum| sum.act.as_str()).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.account).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.image).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.count).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.first.as_secs_f64()).collect::<Vec<_>>())
        .bind(sums.iter().map(|sum| sum.last.as_secs_f64()).collect::<Vec<_>>())
        .execute(db)
        .await?;
    Ok(())
}

/// Writes down that somebody logged in.
pub async fn tell_log_in(db: &mut PgConnection, account: Uuid) -> sqlx::Result<()> {
    sqlx::query("INSERT INTO job_event (code, account_id, subject_id) VALUES ('user_logged_in', $1, $1::text)")
        .bind(account)
        .execute(db)
        .await?;
    Ok(())
}
