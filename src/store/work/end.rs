//! Live jobs ended by people or by time.

use sqlx::PgConnection;
use uuid::Uuid;

use super::moved::Moved;

/// The part of a head that ends live jobs without a completion.
macro_rules! ruled_ended {
    ($next:literal, $reason:literal, $account:literal) => {
        concat!(
            ", ruled AS MATERIALIZED (
               SELECT h.*, NULL::text AS version, NULL::real AS duration_s, NULL::jsonb AS document, NULL::text AS error_type,
                      NULL::text AS error_message, NULL::text AS traceback, nextval('job_event_id') AS new_event,
                      clock_timestamp() AS at, CASE WHEN h.state = 'running' THEN 'cancelled' END AS outcome,
                      NULL::uuid AS by_session, ", $account, "::uuid AS by_account, '", $next, "'::job_state AS next,
                      ", $reason, "::fail_reason AS next_reason, '", $next, "' AS code, h.run_at AS next_run_at,
                      h.attempt AS next_attempt, h.deaths AS next_deaths, h.suspect AS next_suspect
               FROM held AS h
             )"
        )
    };
}

/// Ends live jobs as cancelled, running ones too: terminal at once, a late result is stale.
pub async fn cancel(db: &mut PgConnection, jobs: &[Uuid], by: Option<Uuid>) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH held AS MATERIALIZED (
           SELECT ",
        held_columns!(),
        " FROM job AS j WHERE j.id = ANY($1)
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         )",
        ruled_ended!("cancelled", "NULL", "$2"),
        tail!()
    );
    sqlx::query_as(SQL).bind(jobs).bind(by).fetch_all(db).await
}

/// Cancels at most `limit` queued jobs of a model that was retired.
pub async fn cancel_queued_of(
    db: &mut PgConnection,
    model: &str,
    by: Option<Uuid>,
    limit: i64,
) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH held AS MATERIALIZED (
           SELECT ",
        held_columns!(),
        " FROM job AS j WHERE j.model = $1 AND j.state = 'queued'
           ORDER BY j.image_id, j.model, j.params_hash LIMIT $3 FOR UPDATE OF j
         )",
        ruled_ended!("cancelled", "NULL", "$2"),
        tail!()
    );
    sqlx::query_as(SQL).bind(model).bind(by).bind(limit).fetch_all(db).await
}

/// Fails at most `limit` queued jobs that are past `finish_by`. The clock is read in a sub-select, once: only so does the
/// index serve, and the pass not walk over the whole queue every second.
pub async fn expire(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH late AS MATERIALIZED (
           SELECT id FROM job WHERE state = 'queued' AND finish_by <= (SELECT clock_timestamp()) ORDER BY finish_by LIMIT $1
         ), held AS MATERIALIZED (
           SELECT ",
        held_columns!(),
        " FROM job AS j JOIN late ON late.id = j.id WHERE j.state = 'queued' AND j.finish_by <= clock_timestamp()
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j SKIP LOCKED
         )",
        ruled_ended!("failed", "'expired'", "NULL"),
        tail!()
    );
    sqlx::query_as(SQL).bind(limit).fetch_all(db).await
}
