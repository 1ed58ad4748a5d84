//! Sessions of workers. A lease lives with its session: one row per beat, no job row is touched.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::place::AskedPlace;
use super::work::Holder;
use crate::domain::key::Service;
use crate::domain::words::words;

/// A sign of life moves `alive_until` only when it is behind by more than this share of a lease: a busy worker gives many
/// in a second, and every one that is written leaves a dead row.
const COALESCED: f64 = 0.05;

/// A session that would live less than so many seconds is overdue for a sign of life.
pub fn overdue_s(lease_s: f64) -> f64 {
    lease_s * (1.0 - COALESCED)
}

/// What a microservice says of itself when it registers.
#[derive(Debug, Clone)]
pub struct NewSession<'a> {
    pub key_id: &'a str,
    pub queue_id: i32,
    pub version_id: i32,
    pub instance: Uuid,
    pub batch_max: i32,
    pub host: Option<&'a str>,
    pub sdk: Option<&'a str>,
}

/// Opens a session, or prolongs the live one of the same key, instance and model; answers its id and whether it is new.
pub async fn register(db: &mut PgConnection, new: &NewSession<'_>, lease_s: f64) -> sqlx::Result<(Uuid, bool)> {
    // A session past its time but not yet given up is given up here, or its jobs would hang on the new one.
    sqlx::query(
        "WITH made AS (
           UPDATE worker_session SET ended_at = clock_timestamp(), end_reason = 'lost'
           WHERE key_id = $1 AND instance = $2 AND queue_id = $3 AND ended_at IS NULL AND alive_until <= clock_timestamp()
           RETURNING id, key_id, queue_id
         )
         INSERT INTO job_event (code, key_id, session_id, queue_id) SELECT 'worker_lost', key_id, id, queue_id FROM made",
    )
    .bind(new.key_id)
    .bind(new.instance)
    .bind(new.queue_id)
    .execute(&mut *db)
    .await?;
    sqlx::query_as(include_str!("sql/workers/register.sql"))
        .bind(new.key_id)
        .bind(new.queue_id)
        .bind(new.version_id)
        .bind(new.instance)
        .bind(new.batch_max)
        .bind(new.host)
        .bind(new.sdk)
        .bind(lease_s)
        .fetch_one(db)
        .await
}

/// What a live session may do right now.
#[derive(Debug, Clone, FromRow)]
pub struct Standing {
    pub queue_id: i32,
    pub version_id: i32,
    pub model: String,
    pub paused: bool,
    pub limited: bool,
    /// It said that it takes no more, or was asked to take none, or its model is retired.
    pub draining: bool,
    /// Whether the named claim still holds jobs: the caller sent it again.
    pub replay: bool,
    /// How many jobs it holds.
    pub held: i64,
    #[sqlx(try_from = "String")]
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

words!(Turn { Open "open", Suspect "suspect", Reserve "reserve", Wait "wait" });

/// A sign of life, and the claim that it comes with.
#[derive(Debug, Clone)]
pub struct Touch {
    pub holder: Holder,
    pub claim: Option<Uuid>,
}

/// Prolongs live sessions, as every sign of life does, and says what each may do, in the order asked; nothing where a
/// session is not alive, or is another key's.
pub async fn touch(db: &mut PgConnection, asks: &[Touch], lease_s: f64) -> sqlx::Result<Vec<Option<Standing>>> {
    #[derive(FromRow)]
    struct Touched {
        #[sqlx(try_from = "i64")]
        place: AskedPlace,
        #[sqlx(flatten)]
        standing: Standing,
    }
    let touched: Vec<Touched> = sqlx::query_as(include_str!("sql/workers/touch.sql"))
        .bind(asks.iter().map(|ask| ask.holder.session).collect::<Vec<_>>())
        .bind(asks.iter().map(|ask| ask.holder.key.as_str()).collect::<Vec<_>>())
        .bind(asks.iter().map(|ask| ask.claim).collect::<Vec<_>>())
        .bind(asks.len() as i64)
        .bind(lease_s)
        .bind(overdue_s(lease_s))
        .fetch_all(db)
        .await?;
    let mut standings = vec![None; asks.len()];
    for Touched { place, standing } in touched {
        standings[place.0] = Some(standing);
    }
    Ok(standings)
}

/// Keeps a session free for a suspect, for as long as one attempt of its model may take, unless another of its queue is;
/// answers whether. A fleet asks at once: the lock of the queue's row is waited for by a statement of its own, so that the
/// next sees what it waited for.
pub async fn reserve(db: &mut PgConnection, session: Uuid, queue: i32) -> sqlx::Result<bool> {
    sqlx::query("SELECT FROM queue WHERE id = $1 FOR NO KEY UPDATE").bind(queue).execute(&mut *db).await?;
    let done = sqlx::query(
        "UPDATE worker_session AS s SET reserved_until = clock_timestamp() + interval '1 s' * q.deadline_s
         FROM queue AS q WHERE s.id = $1 AND q.id = s.queue_id AND s.ended_at IS NULL AND NOT EXISTS (
           SELECT FROM worker_session AS o WHERE o.queue_id = q.id AND o.ended_at IS NULL AND o.reserved_until > clock_timestamp())",
    )
    .bind(session)
    .execute(db)
    .await?;
    Ok(done.rows_affected() > 0)
}

/// Prolongs those of these sessions that hold nothing: their claims wait here. One that holds jobs beats for them, or a worker
/// that lost its power would keep what it fetched ahead for as long as its claim waits.
pub async fn prolong(db: &mut PgConnection, sessions: &[Uuid], lease_s: f64) -> sqlx::Result<()> {
    sqlx::query(
        "WITH alive AS (
           SELECT id FROM worker_session AS s WHERE id = ANY($1) AND ended_at IS NULL
             AND NOT EXISTS (SELECT FROM claim AS c WHERE c.session_id = s.id AND c.open > 0)
           ORDER BY id FOR UPDATE SKIP LOCKED)
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
    /// Why it serves old code, or none.
    pub trouble: Option<String>,
}

/// What a beat is answered with.
#[derive(Debug, Clone)]
pub struct Beaten {
    /// What the session really holds: jobs and leases.
    pub held: Vec<(Uuid, i32)>,
    /// It said that it takes no more, or was asked to take none, or its model is retired.
    pub draining: bool,
}

/// Prolongs live sessions and keeps what they say they hold; answers in the order of the beats, nothing where a session is
/// not alive or is another key's. No session beats twice.
pub async fn beat(db: &mut PgConnection, beats: &[Beat], lease_s: f64) -> sqlx::Result<Vec<Option<Beaten>>> {
    let alive: Vec<(Uuid, String, bool)> = sqlx::query_as(include_str!("sql/workers/beat.sql"))
        .bind(beats.iter().map(|beat| beat.holder.session).collect::<Vec<_>>())
        .bind(beats.iter().map(|beat| beat.holder.key.as_str()).collect::<Vec<_>>())
        .bind(beats.iter().map(|beat| beat.draining).collect::<Vec<_>>())
        .bind(beats.iter().map(|beat| &beat.holds).collect::<Vec<_>>())
        .bind(beats.iter().map(|beat| beat.trouble.as_deref()).collect::<Vec<_>>())
        .bind(lease_s)
        .fetch_all(&mut *db)
        .await?;
    let mut beaten: HashMap<Uuid, (String, Beaten)> = alive
        .into_iter()
        .map(|(session, key, draining)| (session, (key, Beaten { held: Vec::new(), draining })))
        .collect();
    let sessions: Vec<Uuid> = beaten.keys().copied().collect();
    for (session, job, lease_no) in held(db, &sessions).await? {
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

/// What these sessions run: session, job and lease.
async fn held(db: &mut PgConnection, sessions: &[Uuid]) -> sqlx::Result<Vec<(Uuid, Uuid, i32)>> {
    sqlx::query_as(
        "SELECT c.session_id, j.id, j.lease_no
         FROM claim AS c CROSS JOIN unnest(c.jobs) AS listed (id) JOIN job AS j ON j.id = listed.id
         WHERE c.session_id = ANY($1) AND c.open > 0
           AND j.session_id = c.session_id AND j.claim_id = c.claim_id AND j.state = 'running'",
    )
    .bind(sessions)
    .fetch_all(db)
    .await
}

/// Ends a live session of that key by its own wish; answers the jobs that it still holds, or nothing when it is not alive.
pub async fn leave(db: &mut PgConnection, session: Uuid, key: &str) -> sqlx::Result<Option<Vec<(Uuid, i32)>>> {
    let ended: Option<Uuid> = sqlx::query_scalar(
        "WITH made AS (
           UPDATE worker_session SET ended_at = clock_timestamp(), end_reason = 'left'
           WHERE id = $1 AND key_id = $2 AND ended_at IS NULL RETURNING id, key_id, queue_id
         ), told AS (
           INSERT INTO job_event (code, key_id, session_id, queue_id) SELECT 'worker_left', key_id, id, queue_id FROM made
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
    let held = held(db, &[session]).await?;
    Ok(Some(held.into_iter().map(|(_, job, lease_no)| (job, lease_no)).collect()))
}

/// A session that was given up.
#[derive(Debug, FromRow)]
pub struct LostWorker {
    pub id: Uuid,
    pub model: String,
    pub host: Option<String>,
}

/// Gives up at most `limit` sessions whose time had passed at an instant; a session given up stays so.
pub async fn give_up(db: &mut PgConnection, at: DateTime<Utc>, limit: i64) -> sqlx::Result<Vec<LostWorker>> {
    sqlx::query_as(include_str!("sql/workers/give_up.sql")).bind(limit).bind(at).fetch_all(db).await
}

/// That the service was away.
#[derive(Debug, Clone, Copy, Default)]
pub struct Absence {
    /// How long ago it was the last time, in seconds; nothing at the first.
    pub since_last_s: Option<f64>,
    /// How much of it does not count as a worker's silence, in seconds.
    pub uncounted_s: f64,
}

/// Gives every live session a whole lease again: the service was away, not the workers. Of whom nothing was heard since the absence
/// before, which gave a whole lease, gets back the time of this one alone: however often the service is away, the dead are called dead.
pub async fn extend_all(db: &mut PgConnection, lease_s: f64, absence: Absence) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "WITH alive AS (SELECT id FROM worker_session WHERE ended_at IS NULL ORDER BY id FOR NO KEY UPDATE)
         UPDATE worker_session AS s SET alive_until = CASE
           WHEN s.beat_at < clock_timestamp() - interval '1 s' * $2 THEN s.alive_until + interval '1 s' * $3
           ELSE greatest(s.alive_until, clock_timestamp() + interval '1 s' * $1) END
         FROM alive WHERE s.id = alive.id",
    )
    .bind(lease_s)
    .bind(absence.since_last_s)
    .bind(absence.uncounted_s)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// Forgets at most `limit` claims that hold nothing any more; answers how many.
pub async fn forget_claims(db: &mut PgConnection, limit: i64) -> sqlx::Result<u64> {
    let done = sqlx::query(
        "DELETE FROM claim WHERE ctid = ANY(ARRAY(SELECT ctid FROM claim WHERE open = 0 LIMIT $1 FOR UPDATE SKIP LOCKED))",
    )
    .bind(limit)
    .execute(db)
    .await?;
    Ok(done.rows_affected())
}

/// A live worker, for people.
#[derive(Debug, Clone, FromRow)]
pub struct Worker {
    pub id: Uuid,
    #[sqlx(try_from = "String")]
    pub service: Service,
    /// Its model, or the dataset that it trains on.
    pub name: String,
    pub version: String,
    pub instance: Uuid,
    pub host: Option<String>,
    pub sdk: Option<String>,
    pub batch_max: i32,
    pub draining: bool,
    pub trouble: Option<String>,
    pub registered_at: DateTime<Utc>,
    pub beat_at: DateTime<Utc>,
    pub alive: bool,
    /// Jobs it runs by our books.
    pub running: i64,
    /// What its queue is called.
    pub path: String,
    /// Whose its key is; nobody's is that of a microservice that came with the installation.
    pub owner: Option<Uuid>,
    pub owner_name: Option<String>,
}

/// Sessions that are not over, newest first, from before the cursor.
pub async fn list(
    db: &mut PgConnection,
    model: Option<&str>,
    before: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Worker>> {
    select(db, model, before, limit, None).await
}

/// That session, if it is not over.
pub async fn find(db: &mut PgConnection, session: Uuid) -> sqlx::Result<Option<Worker>> {
    Ok(select(db, None, None, 1, Some(session)).await?.pop())
}

async fn select(
    db: &mut PgConnection,
    model: Option<&str>,
    before: Option<Uuid>,
    limit: i64,
    only: Option<Uuid>,
) -> sqlx::Result<Vec<Worker>> {
    let list = sqlx::query_as(include_str!("sql/workers/list.sql"));
    list.bind(model).bind(before).bind(limit).bind(only).fetch_all(db).await
}

/// Asks a live session to take no more, or asks it no longer; answers whether that is another than before.
pub async fn ask_to_drain(db: &mut PgConnection, session: Uuid, draining: bool, by: Uuid) -> sqlx::Result<bool> {
    let ask = sqlx::query(include_str!("sql/workers/ask_to_drain.sql"));
    let asked = ask.bind(session).bind(draining).bind(by).execute(db).await?;
    Ok(asked.rows_affected() > 0)
}
