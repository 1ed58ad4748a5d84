//! What the replicas agree on about Redis: which run of which Redis they use, the epoch of what it holds, and whether one of
//! them goes on without it.

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{settings, ticks};

/// The setting: the run and the epoch, with a space between.
const EPOCH: &str = "redis_epoch";
/// The tick of those who use it.
const USED: &str = "redis used";
/// The tick of those who go on without it.
const MISSED: &str = "redis missed";
/// After so many seconds without a word of any who use it, a replica that reaches another Redis may have that one used.
const USED_FOR_S: f64 = 5.0;
/// How long the others mirror nothing for long after one said that it goes on without Redis, in seconds: longer than its last
/// transaction may go on (4 s for the call, 10 s for a statement).
const MISSED_FOR_S: f64 = 20.0;
/// Once this was last said so many seconds ago, the others may soon mirror for long again: a new epoch is due.
pub const SAID_FOR_S: f64 = 10.0;

/// What stands.
#[derive(Debug, Clone, FromRow)]
pub struct StandingEpoch {
    value: String,
    used_s: Option<f64>,
    missed_s: Option<f64>,
}

impl StandingEpoch {
    /// The run of the Redis that is used.
    pub fn run(&self) -> &str {
        self.value.split(' ').next().unwrap_or_default()
    }

    /// The epoch of what it holds.
    pub fn epoch(&self) -> &str {
        self.value.split_once(' ').map_or("", |(_, epoch)| epoch)
    }

    /// Whether any replica is known to use it.
    pub fn is_used(&self) -> bool {
        self.used_s.is_some_and(|s| s < USED_FOR_S)
    }

    /// Whether a replica changes what is so without being able to say so there.
    pub fn is_missed(&self) -> bool {
        self.missed_s.is_some_and(|s| s < MISSED_FOR_S)
    }
}

/// What stands; nothing before any replica met a Redis. With the run and the epoch that a replica uses it says so, if these stand.
pub async fn standing(db: &mut PgConnection, using: Option<(&str, &str)>) -> sqlx::Result<Option<StandingEpoch>> {
    sqlx::query_as(include_str!("sql/epoch/standing.sql"))
        .bind(EPOCH)
        .bind(using.map(|(run, epoch)| format!("{run} {epoch}")))
        .bind(USED)
        .bind(MISSED)
        .fetch_optional(db)
        .await
}

/// Begins an epoch of this run, unless what stands is no longer what was read; nothing read, the first.
pub async fn begin(db: &mut PgConnection, run: &str, read: Option<&StandingEpoch>) -> sqlx::Result<()> {
    let fresh = format!("{run} {}", Uuid::new_v4().simple());
    match read {
        Some(read) => settings::replace_setting(db, EPOCH, &read.value, &fresh).await.map(drop),
        None => settings::setting(db, EPOCH, &fresh).await.map(drop),
    }
}

/// Says that a replica goes on without Redis. The first to say so begins a new epoch: what was mirrored for long is set aside.
pub async fn miss(tx: &mut PgConnection) -> sqlx::Result<()> {
    let said = ticks::stamp_tick(tx, MISSED).await?;
    if said.away_s.is_none_or(|s| s > SAID_FOR_S)
        && let Some(read) = standing(tx, None).await?
    {
        begin(tx, read.run(), Some(&read)).await?;
    }
    Ok(())
}
