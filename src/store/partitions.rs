//! Partitions of the archive and the events.

use super::retention::Days;
use sqlx::PgConnection;

/// How far ahead partitions are made, in days. Until then rows fall into a DEFAULT partition, so nothing fails
/// for want of one.
pub const DAYS_AHEAD: i32 = 14;

/// Makes the partitions of the next days, only what is missing; answers how many were made.
pub async fn make_partitions(db: &mut PgConnection, days_ahead: i32) -> sqlx::Result<i32> {
    sqlx::query_scalar("SELECT make_partitions($1)").bind(days_ahead).fetch_one(db).await
}

/// The partitions of ended jobs or of events that may go whole, oldest first.
pub async fn old_partitions(db: &mut PgConnection, parent: &str, keep: Days) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT old_partitions($1, history_horizon($2))")
        .bind(parent)
        .bind(keep.interval())
        .fetch_all(db)
        .await
}

/// Drops one of them; refused with a lock time-out while anybody is busy with it.
pub async fn drop_partition(db: &mut PgConnection, parent: &str, name: &str) -> sqlx::Result<()> {
    sqlx::query("SELECT drop_partition($1, $2)").bind(parent).bind(name).execute(db).await?;
    Ok(())
}
