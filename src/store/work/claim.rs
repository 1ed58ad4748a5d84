//! How jobs are claimed: a hint proposes, one statement decides.

use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

/// A claim: the session and its own id for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ClaimKey {
    pub session: Uuid,
    pub claim: Uuid,
}

/// A claimed job. What else its worker needs is known by its numbers.
#[derive(Debug, Clone, FromRow)]
pub struct Claimed {
    pub session_id: Uuid,
    pub claim_id: Uuid,
    pub id: Uuid,
    /// Nothing of a run.
    pub image_id: Option<i64>,
    pub queue_id: i32,
    pub params_id: i64,
    pub lease_no: i32,
    pub attempt: i16,
    pub version: i32,
    /// How long the attempt may still take, in seconds.
    pub deadline_s: f64,
    /// It may have killed a worker: its session gets nothing else before it ends.
    #[sqlx(default)]
    pub suspect: bool,
}

impl Claimed {
    /// The claim that took it.
    pub const fn key(&self) -> ClaimKey {
        ClaimKey { session: self.session_id, claim: self.claim_id }
    }
}

/// A job that was popped for a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hinted {
    pub job: Uuid,
    pub session: Uuid,
    pub claim: Uuid,
}

/// Claims, for each of several claims, those of its hinted jobs that are still to be had.
pub async fn claim(db: &mut PgConnection, hints: &[Hinted]) -> sqlx::Result<Vec<Claimed>> {
    // In order of id: every statement that waits for several jobs locks them so.
    let mut hints = hints.to_vec();
    hints.sort_unstable();
    sqlx::query_as(include_str!("../sql/work/claim.sql"))
        .bind(hints.iter().map(|hint| hint.job).collect::<Vec<_>>())
        .bind(hints.iter().map(|hint| hint.session).collect::<Vec<_>>())
        .bind(hints.iter().map(|hint| hint.claim).collect::<Vec<_>>())
        .bind(hints.len() as i64)
        .fetch_all(db)
        .await
}

/// A claim that is served by rank, and the most jobs that it takes.
#[derive(Debug, Clone, Copy)]
pub struct Asked {
    pub key: ClaimKey,
    pub most: i32,
}

/// Claims by rank without hints, at most `most` jobs in all; what serves first comes first. Models with a limit are passed over
/// unless `counted`: the caller then holds the lock of [`room_under_limit`].
pub async fn claim_ranked(
    db: &mut PgConnection,
    asked: &[Asked],
    most: i64,
    counted: bool,
) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as(include_str!("../sql/work/claim_ranked.sql"))
        .bind(asked.iter().map(|ask| ask.key.session).collect::<Vec<_>>())
        .bind(asked.iter().map(|ask| ask.key.claim).collect::<Vec<_>>())
        .bind(asked.iter().map(|ask| ask.most).collect::<Vec<_>>())
        .bind(asked.len() as i64)
        .bind(most)
        .bind(counted)
        .fetch_all(db)
        .await
}

/// Locks a live session that runs nothing alone; answers whether there is such. What it holds is read by a statement after
/// this one, so that it counts what the lock waited for.
pub async fn lock_free_session(db: &mut PgConnection, session: Uuid) -> sqlx::Result<bool> {
    let free: Option<bool> = sqlx::query_scalar(
        "SELECT true FROM worker_session AS s WHERE s.id = $1 AND s.ended_at IS NULL
           AND NOT EXISTS (SELECT FROM job AS j WHERE j.id = s.solo_job AND j.session_id = s.id AND j.suspect)
         FOR UPDATE OF s",
    )
    .bind(session)
    .fetch_optional(db)
    .await?;
    Ok(free.is_some())
}

/// Claims one suspect for a session that holds nothing: alone. After [`lock_free_session`], in the same transaction.
pub async fn claim_suspect(db: &mut PgConnection, key: ClaimKey) -> sqlx::Result<Vec<Claimed>> {
    let mut taken: Vec<Claimed> = sqlx::query_as(include_str!("../sql/work/claim_suspect.sql"))
        .bind(key.session)
        .bind(key.claim)
        .fetch_all(db)
        .await?;
    for job in &mut taken {
        job.suspect = true;
    }
    Ok(taken)
}

/// Answers a claim sent again: a new lease of what it still holds, at the same attempt.
pub async fn reclaim(db: &mut PgConnection, key: ClaimKey) -> sqlx::Result<Vec<Claimed>> {
    sqlx::query_as(include_str!("../sql/work/reclaim.sql")).bind(key.session).bind(key.claim).fetch_all(db).await
}

/// Locks a model's row and says how many more of its jobs may run; the count is a statement of its own, so that it sees what
/// the lock waited for.
pub async fn room_under_limit(db: &mut PgConnection, queue: i32) -> sqlx::Result<i64> {
    let limit: Option<i32> = sqlx::query_scalar("SELECT max_running FROM queue WHERE id = $1 FOR NO KEY UPDATE")
        .bind(queue)
        .fetch_one(&mut *db)
        .await?;
    let Some(limit) = limit else { return Ok(i64::MAX) };
    let running: i64 = sqlx::query_scalar("SELECT coalesce(sum(open), 0)::bigint FROM claim WHERE queue_id = $1")
        .bind(queue)
        .fetch_one(db)
        .await?;
    Ok((i64::from(limit) - running).max(0))
}
