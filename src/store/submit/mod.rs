//! The statements of a submission: images and titles, params, jobs made or attached to, and who waits for them.

mod answers;
mod images;
mod jobs;
mod wanted;

use sqlx::PgConnection;
use uuid::Uuid;

pub use answers::{Answered, answered_before, cached};
pub use images::{NewImage, StoredImage, give_titles, md5_collision, put};
pub use jobs::{Enqueued, NewJob, Terms, enqueue};
pub use wanted::Wanted;

/// Opens submissions, or locks those of these ids; answers their ids and owners in the order asked. The lock makes
/// requests of one submission take turns, so that each sees what the others asked for. No id comes twice.
pub async fn open(db: &mut PgConnection, asked: &[(Option<Uuid>, Uuid)]) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    sqlx::query_as(
        "WITH named AS MATERIALIZED (
           SELECT coalesce(t.id, uuid_v7()) AS id, t.account_id, t.place
           FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS t (id, account_id, place)
         ), put AS (
           INSERT INTO submission (id, account_id) SELECT id, account_id FROM named ORDER BY id
           ON CONFLICT ON CONSTRAINT submission_pkey DO UPDATE SET id = excluded.id RETURNING id, account_id
         )
         SELECT put.id, put.account_id FROM named JOIN put USING (id) ORDER BY named.place",
    )
    .bind(asked.iter().map(|(id, _)| *id).collect::<Vec<_>>())
    .bind(asked.iter().map(|(_, account)| *account).collect::<Vec<_>>())
    .fetch_all(db)
    .await
}

/// Keeps params by their hash.
pub async fn keep_params(db: &mut PgConnection, params: &[(&[u8], &serde_json::Value)]) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO params (hash, body) SELECT t.hash, t.body::jsonb FROM unnest($1::bytea[], $2::text[]) AS t (hash, body)
         ORDER BY t.hash ON CONFLICT ON CONSTRAINT params_pkey DO NOTHING",
    )
    .bind(params.iter().map(|(hash, _)| *hash).collect::<Vec<_>>())
    .bind(params.iter().map(|(_, body)| body.to_string()).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// Who asked for what under which submission, and the job that answers it.
#[derive(Debug, Clone)]
pub struct Request {
    pub submission: Uuid,
    pub account: Uuid,
    pub wanted: Wanted,
    pub job: Uuid,
}

/// Writes down who waits for which job.
pub async fn add_requests(db: &mut PgConnection, requests: &[Request]) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO request (submission_id, account_id, image_id, model, params_hash, job_id)
         SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[], $5::bytea[], $6::uuid[])
         ON CONFLICT ON CONSTRAINT request_pkey DO NOTHING",
    )
    .bind(requests.iter().map(|r| r.submission).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.account).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.wanted.image_id).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.wanted.model.as_str()).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.wanted.params_hash.as_slice()).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.job).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}
