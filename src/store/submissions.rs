//! Submissions and their requests: who waits for which job.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use super::row::{md5, state};
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;

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
