//! Completions: the worker says what became of its jobs.

use sqlx::PgConnection;
use uuid::Uuid;

use super::Moved;
use crate::domain::job::Outcome;

/// One item of a completion, already checked.
#[derive(Debug, Clone)]
pub struct Finish {
    pub id: Uuid,
    pub lease_no: i64,
    pub outcome: Outcome,
    /// The normalised result as JSON text; present exactly when the outcome is a success.
    pub document: Option<String>,
    /// How long the model worked, in seconds, as the worker says.
    pub duration_s: Option<f32>,
    /// The worker's wish for the back-off, in seconds.
    pub retry_after_s: Option<f64>,
    /// A random fraction 0…1 of the back-off (full jitter).
    pub jitter: f64,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    pub traceback: Option<String>,
}

/// Ends or requeues the jobs whose lease this session holds; what is not returned was not accepted.
///
/// The back-off is exponential with full jitter (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
/// A worker that lives to ask for another try has survived the job: it is no suspect any more.
pub async fn complete(db: &mut PgConnection, session: Uuid, items: &[Finish]) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH item AS (
           SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::real[], $7::float8[], $8::float8[],
                                $9::text[], $10::text[], $11::text[])
             AS t (id, lease_no, outcome, document, duration_s, retry_after_s, jitter, error_type, error_message, traceback)
         ), held AS MATERIALIZED (
           SELECT ", held_columns!(), ", j.begun_at, t.outcome, t.document, t.duration_s, t.retry_after_s, t.jitter, t.error_type,
                  t.error_message, t.traceback
           FROM job AS j JOIN item AS t ON t.id = j.id
           WHERE j.state = 'running' AND j.lease_no = t.lease_no AND j.session_id = $1
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         ), judged AS MATERIALIZED (
           SELECT h.*, s.version, nextval('job_event_id') AS new_event, t.at, t.at + interval '1 s' * coalesce(h.retry_after_s,
                     h.jitter * least(m.backoff_cap_s, m.backoff_base_s * 2.0 ^ least(h.attempt - 1, 20))) AS next_run_at,
                  m.max_attempts, m.retry_budget_s
           FROM held AS h JOIN model AS m ON m.name = h.model JOIN worker_session AS s ON s.id = $1,
                LATERAL (SELECT clock_timestamp() AS at) AS t
         ), decided AS (
           SELECT j.*, CASE WHEN j.outcome IN ('succeeded', 'rejected') THEN j.outcome
                            WHEN j.finish_by <= j.at THEN 'expired'
                            WHEN j.attempt >= j.max_attempts THEN 'exhausted'
                            WHEN j.next_run_at > j.begun_at + interval '1 s' * j.retry_budget_s THEN 'exhausted'
                            ELSE 'again' END AS ruling
           FROM judged AS j
         ), ruled AS MATERIALIZED (
           SELECT g.id, g.image_id, g.model, g.params_hash, g.priority, g.run_at, g.finish_by, g.attempt, g.deaths, g.lease_no,
                  g.session_id, g.started_at, g.retry_of, g.created_at, g.suspect, g.version, g.duration_s,
                  g.document::jsonb AS document, g.error_type, g.error_message, g.traceback, g.new_event, g.at, g.outcome,
                  $1 AS by_session, NULL::uuid AS by_account,
                  (CASE g.ruling WHEN 'succeeded' THEN 'succeeded' WHEN 'again' THEN 'queued' ELSE 'failed' END)::job_state AS next,
                  (CASE WHEN g.ruling NOT IN ('succeeded', 'again') THEN g.ruling END)::fail_reason AS next_reason,
                  CASE g.ruling WHEN 'succeeded' THEN 'succeeded' WHEN 'again' THEN 'requeued' ELSE 'failed' END AS code,
                  g.next_run_at, g.attempt AS next_attempt, g.deaths AS next_deaths, false AS next_suspect
           FROM decided AS g
         )", tail!());
    let column = |of: fn(&Finish) -> Option<String>| items.iter().map(of).collect::<Vec<_>>();
    sqlx::query_as(SQL)
        .bind(session)
        .bind(items.iter().map(|i| i.id).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.lease_no).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.outcome.as_str()).collect::<Vec<_>>())
        .bind(column(|i| i.document.clone()))
        .bind(items.iter().map(|i| i.duration_s).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.retry_after_s).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.jitter).collect::<Vec<_>>())
        .bind(column(|i| i.error_type.clone()))
        .bind(column(|i| i.error_message.clone()))
        .bind(column(|i| i.traceback.clone()))
        .fetch_all(db)
        .await
}
