//! Jobs given back at no cost.

use sqlx::PgConnection;
use uuid::Uuid;

use super::moved::Moved;

/// The part of a head that every free requeue shares: the attempt is not counted, and the place in line is kept.
macro_rules! ruled_released {
    ($outcome:literal, $code:literal) => {
        concat!(
            ", ruled AS MATERIALIZED (
               SELECT h.*, NULL::text AS version, NULL::real AS duration_s, NULL::jsonb AS document, NULL::text AS error_type,
                      NULL::text AS error_message, NULL::text AS traceback, nextval('job_event_id') AS new_event,
                      clock_timestamp() AS at, '", $outcome, "' AS outcome, NULL::uuid AS by_session, NULL::uuid AS by_account,
                      'queued'::job_state AS next, NULL::fail_reason AS next_reason, '", $code, "' AS code,
                      h.run_at AS next_run_at, (h.attempt - 1)::smallint AS next_attempt, h.deaths AS next_deaths, h.suspect AS next_suspect
               FROM held AS h
             )"
        )
    };
}

/// Gives held jobs back at no cost; what is not returned was not held.
pub async fn release(db: &mut PgConnection, session: Uuid, items: &[(Uuid, i64)]) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH item AS (SELECT * FROM unnest($2::uuid[], $3::bigint[]) AS t (id, lease_no)
         ), held AS MATERIALIZED (
           SELECT ",
        held_columns!(),
        " FROM job AS j JOIN item AS t ON t.id = j.id
           WHERE j.state = 'running' AND j.lease_no = t.lease_no AND j.session_id = $1
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         )",
        ruled_released!("released", "released"),
        tail!()
    );
    sqlx::query_as(SQL)
        .bind(session)
        .bind(items.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(items.iter().map(|(_, lease_no)| *lease_no).collect::<Vec<_>>())
        .fetch_all(db)
        .await
}

/// Gives back what a live session runs by our books but did not list, one lease after its claim: the answer
/// to that claim never arrived.
pub async fn release_unlisted(
    db: &mut PgConnection,
    session: Uuid,
    listed: &[(Uuid, i64)],
    lease_s: f64,
) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH item AS (SELECT * FROM unnest($2::uuid[], $3::bigint[]) AS t (id, lease_no)
         ), held AS MATERIALIZED (
           SELECT ",
        held_columns!(),
        " FROM job AS j
           WHERE j.state = 'running' AND j.session_id = $1
             AND j.started_at < clock_timestamp() - interval '1 s' * $4
             AND NOT EXISTS (SELECT FROM item AS t WHERE t.id = j.id AND t.lease_no = j.lease_no)
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         )",
        ruled_released!("released", "released"),
        tail!()
    );
    sqlx::query_as(SQL)
        .bind(session)
        .bind(listed.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(listed.iter().map(|(_, lease_no)| *lease_no).collect::<Vec<_>>())
        .bind(lease_s)
        .fetch_all(db)
        .await
}
