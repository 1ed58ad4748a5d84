//! Completions: the worker says what became of its jobs.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::moved::Moved;
use crate::domain::job::Outcome;
use crate::store::workers::{COALESCED, Holder};

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

/// A job that succeeded.
#[derive(Debug, Clone)]
pub struct Succeeded {
    pub moved: Moved,
    /// Its session is to be prolonged: nothing was heard of it for a while.
    pub overdue: bool,
}

impl FromRow<'_, PgRow> for Succeeded {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self { moved: Moved::from_row(row)?, overdue: row.try_get("overdue")? })
    }
}

/// Ends the jobs whose leases these sessions hold with their results; passes over suspects. What most completions are, and
/// [`complete`] without all that such need not: it starts in half the time. No lease is named twice.
pub async fn succeed(db: &mut PgConnection, items: &[(Holder, Finish)], lease_s: f64) -> sqlx::Result<Vec<Succeeded>> {
    // The event is numbered after the lock, so that of two changes of a job the later has the greater number.
    const SQL: &str = concat!(
        "WITH held AS MATERIALIZED (
           SELECT ", held_columns!(), ", t.key_id, s.version, t.document, t.duration_s,
                  s.alive_until < clock_timestamp() + interval '1 s' * $8 AS overdue
           FROM (
             SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::real[])
               AS t (session_id, key_id, id, lease_no, document, duration_s)
             LIMIT $7
           ) AS t JOIN worker_session AS s ON s.id = t.session_id JOIN job AS j ON j.id = t.id
           WHERE j.state <> 'queued' AND j.lease_no = t.lease_no AND j.session_id IS NOT DISTINCT FROM t.session_id
             AND s.key_id = t.key_id AND NOT j.suspect
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         ), ruled AS MATERIALIZED (
           SELECT h.id, h.image_id, h.model, h.params_hash, h.priority, h.run_at, h.finish_by, h.attempt, h.deaths, h.lease_no,
                  h.session_id, h.started_at, h.retry_of, h.created_at, h.key_id, h.version, h.duration_s, h.overdue,
                  h.document::jsonb AS document, NULL::text AS error_type, NULL::text AS error_message,
                  nextval('job_event_id') AS new_event, clock_timestamp() AS at, h.session_id AS by_session, NULL::uuid AS by_account,
                  'succeeded'::job_state AS next, NULL::fail_reason AS next_reason, 'succeeded' AS code,
                  NULL::timestamptz AS next_run_at, h.attempt AS next_attempt, h.deaths AS next_deaths
           FROM held AS h
         ), newest AS (
           SELECT DISTINCT ON (image_id, model) *, id AS success_job, params_hash AS success_params_hash, version AS success_version
           FROM ruled ORDER BY image_id, model, id DESC
         )",
        told!("r.key_id", "ruled AS r"),
        ended!(),
        moved_rows!(", overdue", "")
    );
    sqlx::query_as(SQL)
        .bind(items.iter().map(|(h, _)| h.session).collect::<Vec<_>>())
        .bind(items.iter().map(|(h, _)| h.key.as_str()).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, i)| i.id).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, i)| i.lease_no).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, i)| i.document.as_deref()).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, i)| i.duration_s).collect::<Vec<_>>())
        .bind(items.len() as i64)
        .bind(lease_s * (1.0 - COALESCED))
        .fetch_all(db)
        .await
}

/// Ends or requeues the jobs whose leases these sessions hold; what is not returned was not accepted. No lease is named
/// twice.
///
/// The back-off is exponential with full jitter (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>).
/// A worker that lives to ask for another try has survived the job: it is no suspect any more.
pub async fn complete(db: &mut PgConnection, items: &[(Holder, Finish)]) -> sqlx::Result<Vec<Moved>> {
    // Compared so that no other index serves, "not queued" included (of a live job: running): a job is found by its id, never
    // by walking over all that its session held.
    const SQL: &str = concat!(
        "WITH item AS (
           SELECT * FROM unnest($1::uuid[], $2::text[], $3::uuid[], $4::bigint[], $5::text[], $6::text[], $7::real[], $8::float8[],
                                $9::float8[], $10::text[], $11::text[], $12::text[])
             AS t (session_id, key_id, id, lease_no, outcome, document, duration_s, retry_after_s, jitter, error_type,
                   error_message, traceback)
           LIMIT $13
         ), held AS MATERIALIZED (
           SELECT ", held_columns!(), ", j.begun_at, s.version, t.outcome, t.document, t.duration_s, t.retry_after_s, t.jitter,
                  t.error_type, t.error_message, t.traceback
           FROM item AS t JOIN worker_session AS s ON s.id = t.session_id JOIN job AS j ON j.id = t.id
           WHERE j.state <> 'queued' AND j.lease_no = t.lease_no AND j.session_id IS NOT DISTINCT FROM t.session_id
             AND s.key_id = t.key_id
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         ), judged AS MATERIALIZED (
           SELECT h.*, nextval('job_event_id') AS new_event, t.at, t.at + interval '1 s' * coalesce(h.retry_after_s,
                     h.jitter * least(m.backoff_cap_s, m.backoff_base_s * 2.0 ^ least(h.attempt - 1, 20))) AS next_run_at,
                  m.max_attempts, m.retry_budget_s
           FROM held AS h JOIN model AS m ON m.name = h.model, LATERAL (SELECT clock_timestamp() AS at) AS t
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
                  g.session_id AS by_session, NULL::uuid AS by_account,
                  (CASE g.ruling WHEN 'succeeded' THEN 'succeeded' WHEN 'again' THEN 'queued' ELSE 'failed' END)::job_state AS next,
                  (CASE WHEN g.ruling NOT IN ('succeeded', 'again') THEN g.ruling END)::fail_reason AS next_reason,
                  CASE g.ruling WHEN 'succeeded' THEN 'succeeded' WHEN 'again' THEN 'requeued' ELSE 'failed' END AS code,
                  g.next_run_at, g.attempt AS next_attempt, g.deaths AS next_deaths, false AS next_suspect
           FROM decided AS g
         )", tail!());
    let column =
        |of: fn(&Finish) -> Option<&String>| items.iter().map(|(_, i)| of(i).map(String::as_str)).collect::<Vec<_>>();
    sqlx::query_as(SQL)
        .bind(items.iter().map(|(h, _)| h.session).collect::<Vec<_>>())
        .bind(items.iter().map(|(h, _)| h.key.as_str()).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, i)| i.id).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, i)| i.lease_no).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, i)| i.outcome.as_str()).collect::<Vec<_>>())
        .bind(column(|i| i.document.as_ref()))
        .bind(items.iter().map(|(_, i)| i.duration_s).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, i)| i.retry_after_s).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, i)| i.jitter).collect::<Vec<_>>())
        .bind(column(|i| i.error_type.as_ref()))
        .bind(column(|i| i.error_message.as_ref()))
        .bind(column(|i| i.traceback.as_ref()))
        .bind(items.len() as i64)
        .fetch_all(db)
        .await
}
