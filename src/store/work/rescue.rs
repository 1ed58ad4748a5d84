//! Jobs taken from workers that died, left, or ran out of time.

use sqlx::PgConnection;
use uuid::Uuid;

use super::moved::Moved;

/// So many deaths of workers that ran a job alone poison it.
pub const DEATHS_MAX: i16 = 3;

/// Locks at most `limit` running jobs whose session is over or missing, or whose attempt is past its deadline.
pub async fn lock_orphans(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT j.id FROM job AS j LEFT JOIN worker_session AS s ON s.id = j.session_id
         WHERE j.state = 'running' AND (s.id IS NULL OR s.ended_at IS NOT NULL OR j.deadline_at < clock_timestamp())
         ORDER BY j.image_id, j.model, j.params_hash LIMIT $1 FOR UPDATE OF j SKIP LOCKED",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Takes those of the locked jobs away that are still orphaned or overdue: a statement of its own, because the one
/// that locked may have joined a job's new row with its old session.
///
/// - A session that died (`lost`) costs no attempt, but makes its jobs suspects; the death of one that ran a suspect
///   alone counts, and [`DEATHS_MAX`] of them poison.
/// - A session that left gives back at no cost.
/// - A missed deadline is a failed attempt.
///
/// `jitter` is a random fraction 0…1 of the back-off.
pub async fn rescue(db: &mut PgConnection, jitter: f64, locked: &[Uuid]) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH held AS MATERIALIZED (
           SELECT ", held_columns!(), ", j.begun_at,
                  CASE WHEN s.end_reason = 'left' THEN 'released' WHEN s.id IS NULL OR s.ended_at IS NOT NULL THEN 'lost'
                       ELSE 'deadline' END AS cause
           FROM job AS j LEFT JOIN worker_session AS s ON s.id = j.session_id
           WHERE j.id = ANY($2) AND j.state = 'running'
             AND (s.id IS NULL OR s.ended_at IS NOT NULL OR j.deadline_at < clock_timestamp())
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         ), judged AS MATERIALIZED (
           SELECT h.*, m.max_attempts, m.retry_budget_s, m.backoff_base_s, m.backoff_cap_s,
                  nextval('job_event_id') AS new_event, clock_timestamp() AS at,
                  (h.deaths + (h.cause = 'lost' AND h.suspect)::int)::smallint AS next_deaths,
                  (CASE WHEN h.cause = 'deadline' THEN h.attempt ELSE h.attempt - 1 END)::smallint AS next_attempt
           FROM held AS h JOIN model AS m ON m.name = h.model
         ), timed AS (
           SELECT j.*, CASE WHEN j.cause = 'released' OR (j.cause = 'lost' AND NOT j.suspect) THEN j.run_at
                            ELSE j.at + interval '1 s' * ($1 * least(j.backoff_cap_s,
                                   j.backoff_base_s * 2.0 ^ least(greatest(j.next_deaths + j.next_attempt - 1, 0), 20)))
                       END AS next_run_at
           FROM judged AS j
         ), decided AS (
           SELECT t.*, CASE WHEN t.next_deaths > t.deaths AND t.next_deaths >= $3 THEN 'poisoned'
                            WHEN t.finish_by <= t.at THEN 'expired'
                            WHEN t.cause <> 'deadline' THEN 'again'
                            WHEN t.attempt >= t.max_attempts THEN 'exhausted'
                            WHEN t.next_run_at > t.begun_at + interval '1 s' * t.retry_budget_s THEN 'exhausted'
                            ELSE 'again' END AS ruling
           FROM timed AS t
         ), ruled AS MATERIALIZED (
           SELECT g.id, g.image_id, g.model, g.params_hash, g.priority, g.run_at, g.finish_by, g.attempt, g.deaths, g.lease_no,
                  g.session_id, g.started_at, g.retry_of, g.created_at, g.suspect, g.new_event, g.at, g.next_deaths, g.next_attempt,
                  NULL::text AS version, NULL::real AS duration_s, NULL::jsonb AS document,
                  CASE g.cause WHEN 'lost' THEN 'WorkerLost' WHEN 'deadline' THEN 'DeadlineExceeded' END AS error_type,
                  CASE WHEN g.cause = 'lost' AND g.suspect THEN 'the worker went away while it held this job alone'
                       WHEN g.cause = 'lost' THEN 'the worker went away while it held the job'
                       WHEN g.cause = 'deadline' THEN 'the attempt took longer than its deadline' END AS error_message,
                  NULL::text AS traceback, g.cause AS outcome, NULL::uuid AS by_session, NULL::uuid AS by_account,
                  (CASE WHEN g.ruling = 'again' THEN 'queued' ELSE 'failed' END)::job_state AS next,
                  (CASE WHEN g.ruling <> 'again' THEN g.ruling END)::fail_reason AS next_reason,
                  CASE WHEN g.ruling <> 'again' THEN 'failed' WHEN g.cause = 'released' THEN 'released' ELSE 'rescued' END AS code,
                  g.next_run_at, g.suspect OR g.cause = 'lost' AS next_suspect
           FROM decided AS g
         )", tail!());
    sqlx::query_as(SQL).bind(jitter).bind(locked).bind(DEATHS_MAX).fetch_all(db).await
}
