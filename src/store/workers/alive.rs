//! Signs of life, and what a session that gives them may do.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::holder::Holder;

/// What a live session may do right now.
#[derive(Debug, Clone)]
pub struct Standing {
    pub model: String,
    pub batch_max: i32,
    pub paused: bool,
    pub limited: bool,
    /// It said that it takes no more, or its model is retired.
    pub draining: bool,
    /// Whether the named claim still holds jobs: the caller sent it again.
    pub replay: bool,
    pub turn: Turn,
}

/// What kind of job is next for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Any that are no suspects.
    Open,
    /// A suspect waits, and this session holds nothing: it is the one to try it.
    Suspect,
    /// A suspect waits, all sessions seen hold something, and none is kept free for it yet.
    Reserve,
    /// Nothing before it is empty: it runs a suspect, or is kept free for one.
    Wait,
}

/// A sign of life, and the claim that it comes with.
#[derive(Debug, Clone)]
pub struct Touch {
    pub holder: Holder,
    pub claim: Option<Uuid>,
}

/// A sign of life moves `alive_until` only when it is behind by more than this share of a lease: a busy worker gives many
/// in a second, and every one that is written leaves a dead row.
pub(in crate::store) const COALESCED: f64 = 0.05;

/// Prolongs live sessions, as every sign of life does, and says what each may do, in the order asked; nothing where a
/// session is not alive, or is another key's.
pub async fn touch(db: &mut PgConnection, asks: &[Touch], lease_s: f64) -> sqlx::Result<Vec<Option<Standing>>> {
    // `end_reason` is no part of an index: a session is found by its id, not among all that live.
    let rows = sqlx::query(
        "WITH ask AS (
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[]) WITH ORDINALITY AS a (session_id, key_id, claim_id, place)
           LIMIT $6
         ), late AS MATERIALIZED (
           SELECT s.id FROM (SELECT DISTINCT session_id, key_id FROM ask) AS a JOIN worker_session AS s ON s.id = a.session_id
           WHERE s.key_id = a.key_id AND s.end_reason IS NULL AND s.alive_until < clock_timestamp() + interval '1 s' * $5
           ORDER BY s.id FOR NO KEY UPDATE OF s
         ), prolonged AS (
           UPDATE worker_session AS s SET
             alive_until = greatest(s.alive_until, clock_timestamp() + interval '1 s' * $4), beat_at = clock_timestamp()
           FROM late WHERE s.id = late.id
         )
         SELECT a.place, m.name AS model, s.batch_max, m.paused, m.max_running IS NOT NULL AS limited,
                s.draining OR m.retired_at IS NOT NULL AS draining,
                a.claim_id IS NOT NULL AND EXISTS (
                  SELECT FROM job AS j WHERE j.session_id = s.id AND j.claim_id = a.claim_id AND j.state = 'running') AS replay,
                CASE WHEN s.solo_job IS NOT NULL THEN 'wait'
                     WHEN NOT EXISTS (SELECT FROM job AS j WHERE j.model = m.name AND j.state = 'queued' AND j.suspect
                                      AND j.run_at <= clock_timestamp()) THEN 'open'
                     WHEN NOT EXISTS (SELECT FROM job AS j WHERE j.session_id = s.id AND j.state = 'running') THEN 'suspect'
                     WHEN s.reserved_until > clock_timestamp() THEN 'wait'
                     WHEN EXISTS (SELECT FROM worker_session AS o WHERE o.model = m.name AND o.ended_at IS NULL
                                  AND o.reserved_until > clock_timestamp()) THEN 'open'
                     ELSE 'reserve' END AS turn
         FROM ask AS a JOIN worker_session AS s ON s.id = a.session_id JOIN model AS m ON m.name = s.model
         WHERE s.key_id = a.key_id AND s.end_reason IS NULL",
    )
    .bind(asks.iter().map(|ask| ask.holder.session).collect::<Vec<_>>())
    .bind(asks.iter().map(|ask| ask.holder.key.as_str()).collect::<Vec<_>>())
    .bind(asks.iter().map(|ask| ask.claim).collect::<Vec<_>>())
    .bind(lease_s)
    .bind(lease_s * (1.0 - COALESCED))
    .bind(asks.len() as i64)
    .fetch_all(db)
    .await?;
    let mut standings = vec![None; asks.len()];
    for row in rows {
        let place: i64 = row.try_get("place")?;
        let standing = Standing {
            model: row.try_get("model")?,
            batch_max: row.try_get("batch_max")?,
            paused: row.try_get("paused")?,
            limited: row.try_get("limited")?,
            draining: row.try_get("draining")?,
            replay: row.try_get("replay")?,
            turn: match row.try_get("turn")? {
                "wait" => Turn::Wait,
                "suspect" => Turn::Suspect,
                "reserve" => Turn::Reserve,
                _ => Turn::Open,
            },
        };
        if let Some(slot) = usize::try_from(place - 1).ok().and_then(|place| standings.get_mut(place)) {
            *slot = Some(standing);
        }
    }
    Ok(standings)
}

/// Keeps a session free for a suspect, for as long as one attempt of its model may take.
pub async fn reserve(db: &mut PgConnection, session: Uuid) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE worker_session AS s SET reserved_until = clock_timestamp() + interval '1 s' * m.deadline_s
         FROM model AS m WHERE s.id = $1 AND m.name = s.model AND s.ended_at IS NULL",
    )
    .bind(session)
    .execute(db)
    .await?;
    Ok(())
}

/// Prolongs all these sessions at once: those whose claims wait here.
pub async fn prolong(db: &mut PgConnection, sessions: &[Uuid], lease_s: f64) -> sqlx::Result<()> {
    sqlx::query(
        "WITH alive AS (SELECT id FROM worker_session WHERE id = ANY($1) AND ended_at IS NULL ORDER BY id FOR UPDATE SKIP LOCKED)
         UPDATE worker_session AS s SET alive_until = greatest(s.alive_until, clock_timestamp() + interval '1 s' * $2)
         FROM alive WHERE s.id = alive.id",
    )
    .bind(sessions)
    .bind(lease_s)
    .execute(db)
    .await?;
    Ok(())
}

/// What a worker says of itself when it beats.
#[derive(Debug, Clone)]
pub struct Beat {
    pub holder: Holder,
    pub draining: bool,
    /// What it holds: `[{"id", "lease_no", "progress", "note"}]`.
    pub holds: serde_json::Value,
}

/// What a beat is answered with.
#[derive(Debug, Clone)]
pub struct Beaten {
    /// What the session really holds: jobs and leases.
    pub held: Vec<(Uuid, i64)>,
    /// It said that it takes no more, or its model is retired.
    pub draining: bool,
}

/// Prolongs live sessions and keeps what they say they hold; answers in the order of the beats, nothing where a session is
/// not alive or is another key's. No session beats twice.
pub async fn beat(db: &mut PgConnection, beats: &[Beat], lease_s: f64) -> sqlx::Result<Vec<Option<Beaten>>> {
    let alive: Vec<(Uuid, String, bool)> = sqlx::query_as(
        "WITH beat AS (
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::boolean[], $4::jsonb[]) AS b (session_id, key_id, draining, holds)
         ), alive AS MATERIALIZED (
           SELECT s.id, b.draining, b.holds, m.retired_at
           FROM beat AS b JOIN worker_session AS s ON s.id = b.session_id JOIN model AS m ON m.name = s.model
           WHERE s.key_id = b.key_id AND s.end_reason IS NULL
           ORDER BY s.id FOR NO KEY UPDATE OF s
         )
         UPDATE worker_session AS s SET alive_until = greatest(s.alive_until, clock_timestamp() + interval '1 s' * $5),
                beat_at = clock_timestamp(), draining = a.draining, holds = a.holds
         FROM alive AS a WHERE s.id = a.id
         RETURNING s.id, s.key_id, s.draining OR a.retired_at IS NOT NULL",
    )
    .bind(beats.iter().map(|beat| beat.holder.session).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| beat.holder.key.as_str()).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| beat.draining).collect::<Vec<_>>())
    .bind(beats.iter().map(|beat| &beat.holds).collect::<Vec<_>>())
    .bind(lease_s)
    .fetch_all(&mut *db)
    .await?;
    let mut beaten: HashMap<Uuid, (String, Beaten)> = alive
        .into_iter()
        .map(|(session, key, draining)| (session, (key, Beaten { held: Vec::new(), draining })))
        .collect();
    let held: Vec<(Uuid, Uuid, i64)> = sqlx::query_as(
        "SELECT j.session_id, j.id, j.lease_no FROM job AS j WHERE j.session_id = ANY($1) AND j.state = 'running'",
    )
    .bind(beaten.keys().copied().collect::<Vec<_>>())
    .fetch_all(db)
    .await?;
    for (session, job, lease_no) in held {
        if let Some((_, beaten)) = beaten.get_mut(&session) {
            beaten.held.push((job, lease_no));
        }
    }
    let answer = |beat: &Beat| {
        let (key, beaten) = beaten.get(&beat.holder.session)?;
        (*key == beat.holder.key).then(|| beaten.clone())
    };
    Ok(beats.iter().map(answer).collect())
}

/// Gives up at most `limit` sessions whose time had passed at an instant; a session given up stays so. Answers how many.
pub async fn give_up(db: &mut PgConnection, at: DateTime<Utc>, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "WITH late AS (
           SELECT id FROM worker_session WHERE ended_at IS NULL AND alive_until < $2
           ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED
         ), made AS (
           UPDATE worker_session AS s SET ended_at = clock_timestamp(), end_reason = 'lost'
           FROM late WHERE s.id = late.id AND s.ended_at IS NULL AND s.alive_until < $2
           RETURNING s.id, s.key_id, s.model
         )
         INSERT INTO job_event (code, key_id, session_id, model) SELECT 'worker_lost', key_id, id, model FROM made",
    )
    .bind(limit)
    .bind(at)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Gives every live session a whole lease again: the service was away, not the workers.
pub async fn extend_all(db: &mut PgConnection, lease_s: f64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "UPDATE worker_session SET alive_until = greatest(alive_until, clock_timestamp() + interval '1 s' * $1) WHERE ended_at IS NULL",
    )
    .bind(lease_s)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}
