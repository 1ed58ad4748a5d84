//! How jobs are claimed: a hint proposes, one statement decides.

use serde_json::value::RawValue;
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::moved::Moved;
use crate::domain::image::ContentMd5;
use crate::store::row::md5;

/// A claimed job with all that its worker needs.
#[derive(Debug, Clone)]
pub struct Claimed {
    /// The claim that took it.
    pub by: ClaimKey,
    pub moved: Moved,
    pub deadline_s: f64,
    /// It may have killed a worker: its session gets nothing else before it ends.
    pub solo: bool,
    pub params: Box<RawValue>,
    pub image: ClaimedImage,
}

impl FromRow<'_, PgRow> for Claimed {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            by: ClaimKey { session: row.try_get("session_id")?, claim: row.try_get("claim_id")? },
            moved: Moved::from_row(row)?,
            deadline_s: row.try_get("deadline_left_s")?,
            solo: row.try_get("solo")?,
            params: row.try_get::<Json<Box<RawValue>>, _>("params")?.0,
            image: ClaimedImage {
                md5: md5(row, "md5")?,
                sha256: row.try_get("sha256")?,
                media_type: row.try_get("media_type")?,
                bytes: row.try_get("bytes")?,
                width: row.try_get("width")?,
                height: row.try_get("height")?,
                orientation: row.try_get("orientation")?,
            },
        })
    }
}

/// The image of a claimed job.
#[derive(Debug, Clone)]
pub struct ClaimedImage {
    pub md5: ContentMd5,
    pub sha256: Vec<u8>,
    pub media_type: String,
    pub bytes: i64,
    pub width: i32,
    pub height: i32,
    pub orientation: Option<i16>,
}

/// Takes the jobs of `cand`, does `also`, and returns them.
macro_rules! take {
    ($set:literal, $code:literal $(, $also:literal)?) => {
        concat!(
            ", put AS (
               UPDATE job AS j SET state = 'running', lease_no = j.lease_no + 1, ", $set, " event_id = nextval('job_event_id')
               FROM cand WHERE j.id = cand.id
               RETURNING j.*, cand.key_id
             ), told AS (
               INSERT INTO job_event (id, code, job_id, model, key_id, session_id, lease_no, attempt)
               SELECT p.event_id, '", $code, "', p.id, p.model, p.key_id, p.session_id, p.lease_no, p.attempt
               FROM put AS p
             )" $(, $also)?, "
             SELECT ", moved_columns!(), ", p.suspect AS solo, p.claim_id, im.sha256, im.media_type, im.bytes, im.width, im.height, im.orientation, pa.body AS params,
                    greatest(0, extract(epoch FROM p.deadline_at - clock_timestamp()))::float8 AS deadline_left_s
             FROM put AS p JOIN image AS im ON im.id = p.image_id JOIN model AS m ON m.name = p.model
             JOIN params AS pa ON pa.hash = p.params_hash
             ORDER BY p.rank, p.id"
        )
    };
}

/// What a first lease sets, from `cand`.
macro_rules! fresh {
    ($(, $also:literal)?) => {
        take!(
            "attempt = j.attempt + 1, session_id = cand.session_id, claim_id = cand.claim_id, started_at = clock_timestamp(),
               begun_at = coalesce(j.begun_at, clock_timestamp()),
               deadline_at = clock_timestamp() + interval '1 s' * cand.deadline_s,",
            "claimed" $(, $also)?
        )
    };
}

/// A claim: the session and its own id for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    pub session: Uuid,
    pub claim: Uuid,
}

/// Claims, for each of several claims, those of its hinted jobs that are still to be had.
///
/// The sessions' rows are locked, all before any job's, so that no suspect slips in beside a claim.
pub async fn claim_hinted(db: &mut PgConnection, hints: &[(ClaimKey, Uuid)]) -> sqlx::Result<Vec<Claimed>> {
    // Neither the live sessions nor the queue is walked over, however long: `end_reason` is no part of an index, "not running"
    // (of a live job: queued) implies no partial one, and so a job is found by its id before its model is compared. Jobs are
    // locked when they are sorted, by when all sessions are.
    const SQL: &str = concat!(
        "WITH hint AS (
           SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS h (job_id, session_id, claim_id) LIMIT $4
         ), live AS MATERIALIZED (
           SELECT s.id, s.model, s.key_id FROM (SELECT DISTINCT session_id FROM hint) AS h JOIN worker_session AS s ON s.id = h.session_id
           WHERE s.end_reason IS NULL AND s.solo_job IS NULL ORDER BY s.id FOR SHARE OF s
         ), cand AS MATERIALIZED (
           SELECT j.id, h.session_id, h.claim_id, l.key_id, m.deadline_s
           FROM hint AS h JOIN live AS l ON l.id = h.session_id
                JOIN job AS j ON j.id = h.job_id AND j.model = l.model JOIN model AS m ON m.name = j.model
           WHERE j.state <> 'running' AND NOT j.suspect AND j.run_at <= clock_timestamp() AND j.finish_by > clock_timestamp()
             AND NOT m.paused AND m.max_running IS NULL AND m.retired_at IS NULL
           ORDER BY j.id FOR UPDATE OF j SKIP LOCKED
         )",
        fresh!()
    );
    sqlx::query_as(SQL)
        .bind(hints.iter().map(|(_, job)| *job).collect::<Vec<_>>())
        .bind(hints.iter().map(|(key, _)| key.session).collect::<Vec<_>>())
        .bind(hints.iter().map(|(key, _)| key.claim).collect::<Vec<_>>())
        .bind(hints.len() as i64)
        .fetch_all(db)
        .await
}

/// Claims by rank without hints: what keeps work flowing while Redis is away or not yet trusted.
pub async fn claim_ranked(db: &mut PgConnection, key: ClaimKey, model: &str, limit: i64) -> sqlx::Result<Vec<Claimed>> {
    const SQL: &str = concat!(
        "WITH live AS MATERIALIZED (
           SELECT key_id FROM worker_session WHERE id = $1 AND ended_at IS NULL AND solo_job IS NULL FOR SHARE
         ), cand AS MATERIALIZED (
           SELECT j.id, $1::uuid AS session_id, $2::uuid AS claim_id, (SELECT key_id FROM live) AS key_id, m.deadline_s
           FROM job AS j JOIN model AS m ON m.name = j.model
           WHERE EXISTS (SELECT FROM live) AND j.model = $3 AND j.state = 'queued' AND j.due AND NOT j.suspect
             AND j.finish_by > clock_timestamp() AND NOT m.paused AND m.retired_at IS NULL
           ORDER BY j.rank, j.id LIMIT $4 FOR UPDATE OF j SKIP LOCKED
         )",
        fresh!()
    );
    sqlx::query_as(SQL).bind(key.session).bind(key.claim).bind(model).bind(limit).fetch_all(db).await
}

/// Claims one suspect for a session that holds nothing: alone. In a transaction, because what the session holds is
/// read after its row is locked.
pub async fn claim_suspect(db: &mut PgConnection, key: ClaimKey, model: &str) -> sqlx::Result<Vec<Claimed>> {
    const SQL: &str = concat!(
        "WITH cand AS MATERIALIZED (
           SELECT j.id, $1::uuid AS session_id, $2::uuid AS claim_id, (SELECT key_id FROM worker_session WHERE id = $1) AS key_id, m.deadline_s
           FROM job AS j JOIN model AS m ON m.name = j.model
           WHERE j.model = $3 AND j.state = 'queued' AND j.suspect AND j.run_at <= clock_timestamp()
             AND j.finish_by > clock_timestamp() AND NOT m.paused AND m.retired_at IS NULL
             AND NOT EXISTS (SELECT FROM job AS h WHERE h.session_id = $1 AND h.state = 'running')
           ORDER BY j.rank, j.id LIMIT 1 FOR UPDATE OF j SKIP LOCKED
         )",
        fresh!(, ", alone AS (UPDATE worker_session SET solo_job = p.id, reserved_until = NULL FROM put AS p WHERE worker_session.id = $1)")
    );
    let free: Option<bool> = sqlx::query_scalar(
        "SELECT true FROM worker_session WHERE id = $1 AND ended_at IS NULL AND solo_job IS NULL FOR UPDATE",
    )
    .bind(key.session)
    .fetch_optional(&mut *db)
    .await?;
    if free.is_none() {
        return Ok(Vec::new());
    }
    sqlx::query_as(SQL).bind(key.session).bind(key.claim).bind(model).fetch_all(db).await
}

/// Answers a claim sent again: a new lease of what it still holds, at the same attempt.
pub async fn replay_claim(db: &mut PgConnection, key: ClaimKey) -> sqlx::Result<Vec<Claimed>> {
    const SQL: &str = concat!(
        "WITH cand AS MATERIALIZED (
           SELECT j.id, (SELECT key_id FROM worker_session WHERE id = $1) AS key_id FROM job AS j
           WHERE j.session_id = $1 AND j.claim_id = $2 AND j.state = 'running'
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         )",
        take!("started_at = clock_timestamp(),", "reclaimed")
    );
    sqlx::query_as(SQL).bind(key.session).bind(key.claim).fetch_all(db).await
}

/// Locks a limited model's row and says how many more of its jobs may run; the count is a statement of its
/// own, so that it sees what the lock waited for.
pub async fn room_under_limit(db: &mut PgConnection, model: &str) -> sqlx::Result<i64> {
    let limit: Option<i32> = sqlx::query_scalar("SELECT max_running FROM model WHERE name = $1 FOR UPDATE")
        .bind(model)
        .fetch_one(&mut *db)
        .await?;
    let Some(limit) = limit else { return Ok(i64::MAX) };
    let running: i64 = sqlx::query_scalar("SELECT count(*) FROM job WHERE model = $1 AND state = 'running'")
        .bind(model)
        .fetch_one(db)
        .await?;
    Ok((i64::from(limit) - running).max(0))
}
