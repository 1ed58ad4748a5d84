//! Settings, ticks, and the figures behind the metrics.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::jobs::QueueEntry;
use super::moves::md5;
use crate::domain::image::ContentMd5;

/// The value of a setting, made on first use: of several replicas one wins and all read the same.
pub async fn setting(db: &mut PgConnection, name: &str, fresh: &str) -> sqlx::Result<String> {
    sqlx::query("INSERT INTO setting (name, value) VALUES ($1, $2) ON CONFLICT ON CONSTRAINT setting_pkey DO NOTHING")
        .bind(name)
        .bind(fresh)
        .execute(&mut *db)
        .await?;
    sqlx::query_scalar("SELECT value FROM setting WHERE name = $1").bind(name).fetch_one(db).await
}

/// Replaces a setting only if it still has the value that was read; answers the value that stands.
pub async fn replace_setting(db: &mut PgConnection, name: &str, read: &str, new: &str) -> sqlx::Result<String> {
    sqlx::query("UPDATE setting SET value = $3 WHERE name = $1 AND value = $2")
        .bind(name)
        .bind(read)
        .bind(new)
        .execute(&mut *db)
        .await?;
    sqlx::query_scalar("SELECT value FROM setting WHERE name = $1").bind(name).fetch_one(db).await
}

/// Takes a tick for this transaction; not got, another replica is doing it.
pub async fn try_tick(db: &mut PgConnection, tick: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT pg_try_advisory_xact_lock(hashtextextended('darkroom tick ' || $1, 0))")
        .bind(tick)
        .fetch_one(db)
        .await
}

/// When a tick began, and how many seconds after the one before (nothing at the first).
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    pub at: DateTime<Utc>,
    pub away_s: Option<f64>,
}

/// Writes down that a tick begins. One reading of the clock for both: a pause between two would be nobody's.
pub async fn stamp_tick(db: &mut PgConnection, tick: &str) -> sqlx::Result<Stamp> {
    let (at, away_s) = sqlx::query_as(
        "WITH now AS MATERIALIZED (SELECT clock_timestamp() AS at
         ), before AS MATERIALIZED (SELECT last_at FROM tick WHERE name = $1
         ), put AS (
           INSERT INTO tick (name, last_at) SELECT $1, at FROM now
           ON CONFLICT ON CONSTRAINT tick_pkey DO UPDATE SET last_at = excluded.last_at
         )
         SELECT now.at, extract(epoch FROM now.at - before.last_at)::float8 FROM now LEFT JOIN before ON true",
    )
    .bind(tick)
    .fetch_one(db)
    .await?;
    Ok(Stamp { at, away_s })
}

/// How far ahead partitions are made, in days. Until then rows fall into a DEFAULT partition, so nothing fails
/// for want of one.
pub const DAYS_AHEAD: i32 = 14;

/// Makes the partitions of the next days, only what is missing; answers how many were made.
pub async fn make_partitions(db: &mut PgConnection, days_ahead: i32) -> sqlx::Result<i32> {
    sqlx::query_scalar("SELECT make_partitions($1)").bind(days_ahead).fetch_one(db).await
}

/// A live job as the sweep sees it.
#[derive(Debug, Clone)]
pub struct Swept {
    pub entry: QueueEntry,
    pub md5: ContentMd5,
    /// Whether it belongs into its model's queue.
    pub ready: bool,
}

/// The next live jobs in order of id.
pub async fn sweep_page(db: &mut PgConnection, after: Uuid, limit: i64) -> sqlx::Result<Vec<Swept>> {
    let rows = sqlx::query(
        "SELECT j.id, j.model, j.rank, j.suspect, i.md5, (j.state = 'queued' AND j.due AND NOT j.suspect) AS ready
         FROM job AS j JOIN image AS i ON i.id = j.image_id WHERE j.id > $1 ORDER BY j.id LIMIT $2",
    )
    .bind(after)
    .bind(limit)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| Ok(Swept { entry: QueueEntry::from_row(row)?, md5: md5(row, "md5")?, ready: row.try_get("ready")? }))
        .collect()
}

/// All model names that may have a queue.
pub async fn model_names(db: &mut PgConnection) -> sqlx::Result<Vec<String>> {
    sqlx::query_scalar("SELECT name FROM model ORDER BY name").fetch_all(db).await
}

/// Live jobs of a model by state, for the metrics.
#[derive(Debug, Clone)]
pub struct Depth {
    pub model: String,
    pub queued: i64,
    pub running: i64,
    pub workers: i64,
    pub oldest_due_at: Option<DateTime<Utc>>,
    pub oldest_wait_s: Option<f64>,
}

/// The depth of every model's queue, by one index scan each.
pub async fn depths(db: &mut PgConnection) -> sqlx::Result<Vec<Depth>> {
    let rows = sqlx::query(
        "SELECT m.name, (SELECT count(*) FROM job AS j WHERE j.model = m.name AND j.state = 'queued') AS queued,
                (SELECT count(*) FROM job AS j JOIN worker_session AS w ON w.id = j.session_id
                 WHERE w.model = m.name AND j.state = 'running') AS running,
                (SELECT count(*) FROM worker_session AS w
                 WHERE w.model = m.name AND w.ended_at IS NULL AND w.alive_until > clock_timestamp()) AS workers,
                f.run_at, extract(epoch FROM clock_timestamp() - f.run_at)::float8
         FROM model AS m
         LEFT JOIN LATERAL (SELECT j.run_at FROM job AS j WHERE j.model = m.name AND j.state = 'queued' AND j.due
                            ORDER BY j.rank, j.id LIMIT 1) AS f ON true
         WHERE m.retired_at IS NULL ORDER BY m.name",
    )
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(Depth {
                model: row.try_get(0)?,
                queued: row.try_get(1)?,
                running: row.try_get(2)?,
                workers: row.try_get(3)?,
                oldest_due_at: row.try_get(4)?,
                oldest_wait_s: row.try_get(5)?,
            })
        })
        .collect()
}

/// Those of these blobs that an image row names: the rest may be collected.
pub async fn named_blobs(db: &mut PgConnection, blobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT blob FROM image WHERE blob = ANY($1)").bind(blobs).fetch_all(db).await
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
