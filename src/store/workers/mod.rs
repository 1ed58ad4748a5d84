//! Sessions of workers. A lease lives with its session: one row per beat, no job row is touched.

mod alive;
mod holder;

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

pub(in crate::store) use alive::COALESCED;
pub use alive::{Beat, Beaten, Standing, Touch, Turn, beat, extend_all, give_up, prolong, reserve, touch};
pub use holder::Holder;

/// What a microservice says of itself when it registers.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    pub key_id: &'a str,
    pub model: &'a str,
    pub version: &'a str,
    pub instance: Uuid,
    pub batch_max: i32,
    pub host: Option<&'a str>,
    pub sdk: Option<&'a str>,
}

/// Opens a session, or prolongs the live one of the same key, instance and model; answers its id and whether
/// it is new.
pub async fn register(db: &mut PgConnection, new: &NewSession<'_>, lease_s: f64) -> sqlx::Result<(Uuid, bool)> {
    // A session past its time but not yet given up is given up here, or its jobs would hang on the new one.
    sqlx::query(
        "UPDATE worker_session SET ended_at = clock_timestamp(), end_reason = 'lost'
         WHERE key_id = $1 AND instance = $2 AND model = $3 AND ended_at IS NULL AND alive_until <= clock_timestamp()",
    )
    .bind(new.key_id)
    .bind(new.instance)
    .bind(new.model)
    .execute(&mut *db)
    .await?;
    sqlx::query_as(
        "WITH made AS (
           INSERT INTO worker_session AS s (key_id, model, version, instance, batch_max, host, sdk, alive_until)
           VALUES ($1, $2, $3, $4, $5, $6, $7, clock_timestamp() + interval '1 s' * $8)
           ON CONFLICT (key_id, instance, model) WHERE ended_at IS NULL DO UPDATE SET
             version = excluded.version, batch_max = excluded.batch_max, host = excluded.host, sdk = excluded.sdk,
             beat_at = clock_timestamp(), alive_until = greatest(s.alive_until, excluded.alive_until)
           RETURNING s.id, (xmax = 0) AS new
         ), used AS (
           UPDATE api_key SET last_used_at = clock_timestamp() WHERE id = $1
         ), told AS (
           INSERT INTO job_event (code, key_id, session_id, model) SELECT 'worker_registered', $1, id, $3 FROM made WHERE new
         )
         SELECT id, new FROM made",
    )
    .bind(new.key_id)
    .bind(new.model)
    .bind(new.version)
    .bind(new.instance)
    .bind(new.batch_max)
    .bind(new.host)
    .bind(new.sdk)
    .bind(lease_s)
    .fetch_one(db)
    .await
}

/// Whether a session, alive or over, was opened by that key.
pub async fn belongs_to(db: &mut PgConnection, session: Uuid, key: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM worker_session WHERE id = $1 AND key_id = $2)")
        .bind(session)
        .bind(key)
        .fetch_one(db)
        .await
}

/// Ends a live session of that key by its own wish; answers what it still holds, or nothing when it is not alive.
pub async fn leave(db: &mut PgConnection, session: Uuid, key: &str) -> sqlx::Result<Option<Vec<(Uuid, i64)>>> {
    let ended: Option<Uuid> = sqlx::query_scalar(
        "WITH made AS (
           UPDATE worker_session SET ended_at = clock_timestamp(), end_reason = 'left'
           WHERE id = $1 AND key_id = $2 AND ended_at IS NULL RETURNING id, key_id, model
         ), told AS (
           INSERT INTO job_event (code, key_id, session_id, model) SELECT 'worker_left', key_id, id, model FROM made
         )
         SELECT id FROM made",
    )
    .bind(session)
    .bind(key)
    .fetch_optional(&mut *db)
    .await?;
    if ended.is_none() {
        return Ok(None);
    }
    let held = sqlx::query_as("SELECT id, lease_no FROM job WHERE session_id = $1 AND state = 'running'")
        .bind(session)
        .fetch_all(db)
        .await?;
    Ok(Some(held))
}

/// A live worker, for people.
#[derive(Debug, Clone)]
pub struct Worker {
    pub id: Uuid,
    pub model: String,
    pub version: String,
    pub instance: Uuid,
    pub host: Option<String>,
    pub sdk: Option<String>,
    pub batch_max: i32,
    pub draining: bool,
    pub registered_at: DateTime<Utc>,
    pub beat_at: DateTime<Utc>,
    pub alive: bool,
    /// Jobs it runs by our books.
    pub running: i64,
}

impl FromRow<'_, PgRow> for Worker {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            id: row.try_get("id")?,
            model: row.try_get("model")?,
            version: row.try_get("version")?,
            instance: row.try_get("instance")?,
            host: row.try_get("host")?,
            sdk: row.try_get("sdk")?,
            batch_max: row.try_get("batch_max")?,
            draining: row.try_get("draining")?,
            registered_at: row.try_get("registered_at")?,
            beat_at: row.try_get("beat_at")?,
            alive: row.try_get("alive")?,
            running: row.try_get("running")?,
        })
    }
}

/// Sessions that are not over, newest first, from before the cursor.
pub async fn list(
    db: &mut PgConnection,
    model: Option<&str>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Worker>> {
    sqlx::query_as(
        "SELECT s.id, s.model, s.version, s.instance, s.host, s.sdk, s.batch_max, s.draining, s.registered_at, s.beat_at,
                s.alive_until > clock_timestamp() AS alive,
                (SELECT count(*) FROM job AS j WHERE j.session_id = s.id AND j.state = 'running') AS running
         FROM worker_session AS s
         WHERE s.ended_at IS NULL AND ($1::text IS NULL OR s.model = $1) AND ($2::uuid IS NULL OR s.id < $2)
         ORDER BY s.id DESC LIMIT $3",
    )
    .bind(model)
    .bind(before)
    .bind(limit)
    .fetch_all(db)
    .await
}
