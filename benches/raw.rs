//! The limit: the same rows written by plain SQL on the same schema, without HTTP, users, keys, Redis, validation, or
//! any of the checks that make the protocol safe.

use std::time::Instant;

use futures_util::future::try_join_all;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::lifecycle::DOCUMENT;
use crate::site::{Installation, MODELS};

/// The connections of the raw load.
const CONNECTIONS: usize = 4;

/// Enqueues, claims and completes `jobs` jobs in batches, on four connections, each with a model of its own; answers
/// jobs per second.
pub async fn run(on: &Installation, jobs: usize, batch: usize) -> anyhow::Result<f64> {
    let share = jobs / CONNECTIONS;
    let images: Vec<i64> = on.add_images(share as i64).await?.collect();
    sqlx::query("INSERT INTO params (hash, body) VALUES ($1, '{}') ON CONFLICT DO NOTHING")
        .bind(params_hash())
        .execute(&on.pool)
        .await?;
    let mut connections = Vec::new();
    for model in MODELS.iter().take(CONNECTIONS) {
        let mut db = on.pool.acquire().await?;
        let session = open_session(&mut db, on, model).await?;
        connections.push((db, *model, session));
    }
    let started = Instant::now();
    let (images, account) = (&images, on.account);
    try_join_all(connections.into_iter().map(|(mut db, model, session)| async move {
        for images in images.chunks(batch) {
            enqueue(&mut db, account, model, images).await?;
            let held = claim(&mut db, session, model, images.len()).await?;
            anyhow::ensure!(held.len() == images.len(), "{} of {} were claimed", held.len(), images.len());
            complete(&mut db, session, &held).await?;
        }
        Ok(())
    }))
    .await?;
    Ok((share * CONNECTIONS) as f64 / started.elapsed().as_secs_f64())
}

fn params_hash() -> Vec<u8> {
    use sha2::Digest;
    sha2::Sha256::digest("{}").to_vec()
}

async fn open_session(db: &mut PgConnection, on: &Installation, model: &str) -> anyhow::Result<Uuid> {
    let sql = "INSERT INTO worker_session (key_id, model, version, instance, batch_max, alive_until)
               VALUES ($1, $2, 'v1', gen_random_uuid(), 1000, clock_timestamp() + interval '1 hour') RETURNING id";
    Ok(sqlx::query_scalar(sql).bind(&on.key_id).bind(model).fetch_one(db).await?)
}

async fn enqueue(db: &mut PgConnection, account: Uuid, model: &str, images: &[i64]) -> sqlx::Result<()> {
    sqlx::query(
        "WITH opened AS (
           INSERT INTO submission (account_id) VALUES ($1) RETURNING id
         ), made AS (
           INSERT INTO job (image_id, model, params_hash, run_at, due, finish_by, event_id)
           SELECT i, $2, $4, clock_timestamp(), true, clock_timestamp() + interval '30 days', nextval('job_event_id')
           FROM unnest($3::bigint[]) AS i
           RETURNING id, image_id, event_id
         ), asked AS (
           INSERT INTO request (submission_id, image_id, model, params_hash, job_id, account_id)
           SELECT o.id, m.image_id, $2, $4, m.id, $1 FROM made AS m, opened AS o
         )
         INSERT INTO job_event (id, code, job_id, model, submission_id, account_id)
         SELECT m.event_id, 'created', m.id, $2, o.id, $1 FROM made AS m, opened AS o",
    )
    .bind(account)
    .bind(model)
    .bind(images)
    .bind(params_hash())
    .execute(db)
    .await?;
    Ok(())
}

async fn claim(db: &mut PgConnection, session: Uuid, model: &str, count: usize) -> sqlx::Result<Vec<(Uuid, i64)>> {
    sqlx::query_as(
        "WITH cand AS (
           SELECT id FROM job WHERE model = $2 AND state = 'queued' AND due
           ORDER BY rank, id LIMIT $3 FOR UPDATE SKIP LOCKED
         ), put AS (
           UPDATE job AS j SET state = 'running', lease_no = j.lease_no + 1, attempt = j.attempt + 1, session_id = $1,
                  claim_id = gen_random_uuid(), started_at = clock_timestamp(), begun_at = clock_timestamp(),
                  deadline_at = clock_timestamp() + interval '10 minutes', event_id = nextval('job_event_id')
           FROM cand WHERE j.id = cand.id RETURNING j.id, j.model, j.lease_no, j.attempt, j.event_id
         ), told AS (
           INSERT INTO job_event (id, code, job_id, model, session_id, lease_no, attempt)
           SELECT event_id, 'claimed', id, model, $1, lease_no, attempt FROM put
         )
         SELECT id, lease_no FROM put",
    )
    .bind(session)
    .bind(model)
    .bind(count as i64)
    .fetch_all(db)
    .await
}

/// Found by id, not by walking over what the session holds: the server says it the same way.
async fn complete(db: &mut PgConnection, session: Uuid, held: &[(Uuid, i64)]) -> sqlx::Result<()> {
    sqlx::query(
        "WITH gone AS (
           DELETE FROM job USING unnest($2::uuid[], $3::bigint[], $4::text[]) AS t (id, lease_no, document)
           WHERE job.id = t.id AND job.lease_no = t.lease_no AND job.session_id IS NOT DISTINCT FROM $1 AND job.state <> 'queued'
           RETURNING job.*, t.document::jsonb AS document, nextval('job_event_id') AS new_event, clock_timestamp() AS at
         ), archived AS (
           INSERT INTO job_archive (id, image_id, model, params_hash, state, priority, run_at, finish_by, attempt,
                  deaths, lease_no, session_id, version, duration_s, started_at, event_id, created_at, finished_at)
           SELECT id, image_id, model, params_hash, 'succeeded', priority, run_at, finish_by, attempt,
                  deaths, lease_no, $1, 'v1', 0.1, started_at, new_event, created_at, at FROM gone
         ), kept AS (
           INSERT INTO result (image_id, model, params_hash, version, job_id, document, finished_at)
           SELECT image_id, model, params_hash, 'v1', id, document, at FROM gone
           ON CONFLICT ON CONSTRAINT result_pkey DO UPDATE
           SET job_id = excluded.job_id, document = excluded.document, finished_at = excluded.finished_at
         ), shown AS (
           INSERT INTO image_model (image_id, model, job_id, state, attempt, event_id, created_at, started_at,
                  finished_at, success_job, success_params_hash, success_version)
           SELECT image_id, model, id, 'succeeded', attempt, new_event, created_at, started_at, at, id, params_hash, 'v1'
           FROM gone
           ON CONFLICT ON CONSTRAINT image_model_pkey DO UPDATE
           SET job_id = excluded.job_id, state = excluded.state, event_id = excluded.event_id
         )
         INSERT INTO job_event (id, at, code, job_id, model, session_id, lease_no, attempt)
         SELECT new_event, at, 'succeeded', id, model, $1, lease_no, attempt FROM gone",
    )
    .bind(session)
    .bind(held.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(held.iter().map(|(_, lease_no)| *lease_no).collect::<Vec<_>>())
    .bind(vec![DOCUMENT; held.len()])
    .execute(db)
    .await?;
    Ok(())
}
