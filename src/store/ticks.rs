//! Ticks of maintenance: one replica at a time, each stamped.

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

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
