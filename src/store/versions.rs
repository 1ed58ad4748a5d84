//! Versions of models: which of them is given work, and how much each served.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};

/// Of which version on a model's sessions are given work, where several versions live and the newest comes first.
#[derive(Debug, Clone, FromRow)]
pub struct First {
    pub model: String,
    /// Of jobs whose time has just come: of the newest whose sessions have room.
    pub for_new: i32,
    /// Of jobs that nobody took: of the newest whose sessions have room, and have lately claimed.
    pub for_old: i32,
}

/// The models of which several versions live and that are the newest's; a session that claimed within so many seconds has lately.
pub async fn firsts(db: &mut PgConnection, lately_s: f64) -> sqlx::Result<Vec<First>> {
    sqlx::query_as(include_str!("sql/versions/firsts.sql")).bind(lately_s).fetch_all(db).await
}

/// Adds to how much versions served; none is named twice.
pub async fn add_served(db: &mut PgConnection, served: &[(i32, i64)]) -> sqlx::Result<()> {
    sqlx::query(
        "WITH counted AS (
           SELECT v.id, t.jobs FROM model_version AS v JOIN unnest($1::integer[], $2::bigint[]) AS t (id, jobs) ON t.id = v.id
           ORDER BY v.id FOR NO KEY UPDATE OF v)
         UPDATE model_version AS v SET served = v.served + c.jobs FROM counted AS c WHERE v.id = c.id",
    )
    .bind(served.iter().map(|(version, _)| *version).collect::<Vec<_>>())
    .bind(served.iter().map(|(_, jobs)| *jobs).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// A version of a model, for people.
#[derive(Debug, Clone, FromRow)]
pub struct Version {
    pub queue_id: i32,
    pub version: String,
    /// When a worker registered with it for the first time.
    pub registered_at: DateTime<Utc>,
    /// Jobs that succeeded by it.
    pub served: i64,
    /// Live workers.
    pub workers: i64,
}

/// The versions of these models, those registered last first, at most so many of each.
pub async fn list(db: &mut PgConnection, queues: &[i32], most: i64) -> sqlx::Result<Vec<Version>> {
    sqlx::query_as(include_str!("sql/versions/list.sql")).bind(queues).bind(most).fetch_all(db).await
}
