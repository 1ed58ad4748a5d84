//! The monthly partitions of the archive and the events.

use sqlx::PgConnection;

use super::retention::Days;

/// How far ahead partitions are made, in months. Until then rows fall into a DEFAULT partition, so nothing fails
/// for want of one.
pub const MONTHS_AHEAD: i32 = 2;

/// Makes the partitions of this month and the next, only what is missing; answers how many were made.
pub async fn make_partitions(db: &mut PgConnection, months_ahead: i32) -> sqlx::Result<i32> {
    sqlx::query_scalar("SELECT make_partitions($1)").bind(months_ahead).fetch_one(db).await
}

/// The partitions of events that may go whole, or of ended jobs that were made so long ago, oldest first; of the latter
/// [`settle`](super::retention::settle) says whether they may go.
pub async fn old_partitions(db: &mut PgConnection, parent: &str, keep: Days) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT old_partitions($1, history_horizon($2))")
        .bind(parent)
        .bind(keep.interval())
        .fetch_all(db)
        .await
}

/// Drops one of them, if it still is; refused with a lock time-out while anybody is busy with it.
pub async fn drop_partition(db: &mut PgConnection, parent: &str, name: &str, keep: Days) -> sqlx::Result<bool> {
    let dropped = sqlx::query_scalar("SELECT drop_partition($1, $2, $3)").bind(parent).bind(name).bind(keep.interval());
    let dropped = dropped.fetch_one(&mut *db).await?;
    sqlx::query("DELETE FROM setting WHERE name = 'settled ' || $1").bind(name).execute(db).await?;
    Ok(dropped)
}
