//! Submissions and their requests: who waits for which job.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::jobs::Wanted;
use super::moves::{md5, state};
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;

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

/// A job that answers an (image, model, params).
#[derive(Debug, Clone)]
pub struct Answered {
    pub wanted: Wanted,
    pub job_id: Uuid,
    pub state: JobState,
}

impl FromRow<'_, PgRow> for Answered {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            wanted: Wanted {
                image_id: row.try_get("image_id")?,
                model: row.try_get("model")?,
                params_hash: row.try_get("params_hash")?,
            },
            job_id: row.try_get("job_id")?,
            state: state(row, "state")?,
        })
    }
}

/// Those of the wanted that their submissions have asked for before, with their jobs as they now are.
pub async fn answered_before(db: &mut PgConnection, wanted: &[(Uuid, &Wanted)]) -> sqlx::Result<Vec<Answered>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(
        "SELECT w.image_id, w.model, w.params_hash, r.job_id, coalesce(j.state, a.state, 'cancelled')::text AS state
         FROM unnest($1::bigint[], $2::text[], $3::bytea[], $4::uuid[]) AS w (image_id, model, params_hash, submission_id)
         JOIN request AS r ON (r.submission_id, r.image_id, r.model, r.params_hash) = (w.submission_id, w.image_id, w.model, w.params_hash)
         LEFT JOIN job AS j ON j.id = r.job_id
         LEFT JOIN job_archive AS a ON a.id = r.job_id",
    )
    .bind(wanted.iter().map(|(_, w)| w.image_id).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, w)| w.model.as_str()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(_, w)| w.params_hash.as_slice()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|(submission, _)| *submission).collect::<Vec<_>>())
    .fetch_all(db)
    .await
}

/// Those of the wanted that a cached success answers: of a version that a live worker serves or, none being
/// live, the last one seen.
pub async fn cached(db: &mut PgConnection, wanted: &[&Wanted]) -> sqlx::Result<Vec<Answered>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    // The versions of a model are looked up once, not for every image.
    sqlx::query_as(
        "WITH served AS MATERIALIZED (
           SELECT m.name, coalesce((
             SELECT array_agg(DISTINCT s.version) FROM worker_session AS s
             WHERE s.model = m.name AND s.ended_at IS NULL AND s.alive_until > clock_timestamp()), ARRAY[m.last_version]) AS versions
           FROM model AS m WHERE m.name IN (SELECT DISTINCT unnest($2::text[]))
         )
         SELECT DISTINCT ON (w.image_id, w.model, w.params_hash) w.image_id, w.model, w.params_hash, r.job_id, 'succeeded' AS state
         FROM unnest($1::bigint[], $2::text[], $3::bytea[]) AS w (image_id, model, params_hash)
         JOIN result AS r ON (r.image_id, r.model, r.params_hash) = (w.image_id, w.model, w.params_hash)
         JOIN served ON served.name = w.model
         WHERE r.version = ANY(served.versions)
         ORDER BY w.image_id, w.model, w.params_hash, r.finished_at DESC",
    )
    .bind(wanted.iter().map(|w| w.image_id).collect::<Vec<_>>())
    .bind(wanted.iter().map(|w| w.model.as_str()).collect::<Vec<_>>())
    .bind(wanted.iter().map(|w| w.params_hash.as_slice()).collect::<Vec<_>>())
    .fetch_all(db)
    .await
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

/// A submission's owner and time.
#[derive(Debug, Clone)]
pub struct Submission {
    pub id: Uuid,
    pub account_id: Uuid,
    pub created_at: DateTime<Utc>,
}

/// One submission.
pub async fn find(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Submission>> {
    let row: Option<(Uuid, Uuid, DateTime<Utc>)> =
        sqlx::query_as("SELECT id, account_id, created_at FROM submission WHERE id = $1")
            .bind(id)
            .fetch_optional(db)
            .await?;
    Ok(row.map(|(id, account_id, created_at)| Submission { id, account_id, created_at }))
}

/// Submissions newest first, from before the cursor; everybody's when no account is given.
pub async fn list(
    db: &mut PgConnection,
    account: Option<Uuid>,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<Submission>> {
    let rows: Vec<(Uuid, Uuid, DateTime<Utc>)> = sqlx::query_as(
        "SELECT id, account_id, created_at FROM submission
         WHERE ($1::uuid IS NULL OR account_id = $1) AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
         ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(account)
    .bind(before.map(|b| b.0))
    .bind(before.map_or(Uuid::nil(), |b| b.1))
    .bind(limit)
    .fetch_all(db)
    .await?;
    Ok(rows.into_iter().map(|(id, account_id, created_at)| Submission { id, account_id, created_at }).collect())
}

/// One request of a submission with its job's state.
#[derive(Debug, Clone)]
pub struct RequestRow {
    pub submission_id: Uuid,
    pub image_id: i64,
    pub md5: ContentMd5,
    pub name: Option<String>,
    pub model: String,
    pub job_id: Uuid,
    pub state: JobState,
}

/// Every request of these submissions, by image and model. A withdrawn request counts as cancelled.
pub async fn requests(db: &mut PgConnection, submissions: &[Uuid]) -> sqlx::Result<Vec<RequestRow>> {
    let rows = sqlx::query(
        "SELECT r.submission_id, r.image_id, i.md5, t.name, r.model, r.job_id,
                CASE WHEN r.withdrawn_at IS NOT NULL THEN 'cancelled'
                     ELSE coalesce(j.state, a.state, 'cancelled')::text END AS state
         FROM request AS r
         JOIN image AS i ON i.id = r.image_id
         LEFT JOIN job AS j ON j.id = r.job_id
         LEFT JOIN job_archive AS a ON a.id = r.job_id
         LEFT JOIN LATERAL (SELECT u.name FROM upload AS u WHERE u.image_id = r.image_id AND u.account_id = r.account_id
                            ORDER BY u.at DESC LIMIT 1) AS t ON true
         WHERE r.submission_id = ANY($1)
         ORDER BY r.submission_id, r.image_id, r.model",
    )
    .bind(submissions)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(RequestRow {
                submission_id: row.try_get("submission_id")?,
                image_id: row.try_get("image_id")?,
                md5: md5(row, "md5")?,
                name: row.try_get("name")?,
                model: row.try_get("model")?,
                job_id: row.try_get("job_id")?,
                state: state(row, "state")?,
            })
        })
        .collect()
}

/// Locks the live jobs that a submission's standing requests wait for, in the one order; the caller withdraws
/// in a second statement, so that it counts what the locks waited for.
pub async fn lock_jobs(db: &mut PgConnection, submission: Uuid) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT j.id FROM job AS j WHERE j.id IN (
           SELECT r.job_id FROM request AS r WHERE r.submission_id = $1 AND r.withdrawn_at IS NULL)
         ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE",
    )
    .bind(submission)
    .fetch_all(db)
    .await
}

/// Locks one live job.
pub async fn lock_job(db: &mut PgConnection, job: Uuid) -> sqlx::Result<bool> {
    let found: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM job WHERE id = $1 FOR UPDATE").bind(job).fetch_optional(db).await?;
    Ok(found.is_some())
}

/// Withdraws an account's requests for these locked jobs (of one submission, or of all its submissions) and
/// answers the jobs for which nobody waits any more.
pub async fn withdraw(
    db: &mut PgConnection,
    jobs: &[Uuid],
    account: Uuid,
    submission: Option<Uuid>,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query(
        "WITH gone AS (
           UPDATE request SET withdrawn_at = clock_timestamp()
           WHERE job_id = ANY($1) AND account_id = $2 AND withdrawn_at IS NULL AND ($3::uuid IS NULL OR submission_id = $3)
           RETURNING job_id, submission_id, model
         )
         INSERT INTO job_event (code, job_id, submission_id, model, account_id)
         SELECT 'withdrawn', job_id, submission_id, model, $2 FROM gone",
    )
    .bind(jobs)
    .bind(account)
    .bind(submission)
    .execute(&mut *db)
    .await?;
    sqlx::query_scalar(
        "SELECT j FROM unnest($1::uuid[]) AS j
         WHERE NOT EXISTS (SELECT FROM request AS r WHERE r.job_id = j AND r.withdrawn_at IS NULL)",
    )
    .bind(jobs)
    .fetch_all(db)
    .await
}

/// Whether an account asked for this job and has not withdrawn.
pub async fn waits_for(db: &mut PgConnection, job: Uuid, account: Uuid) -> sqlx::Result<bool> {
    sqlx::query_scalar("SELECT EXISTS (SELECT FROM request WHERE job_id = $1 AND account_id = $2)")
        .bind(job)
        .bind(account)
        .fetch_one(db)
        .await
}
