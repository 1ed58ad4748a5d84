//! Jobs in detail and in lists, for those who may see them.

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::status::StatusRow;
use super::submit::Wanted;
use crate::domain::history::{Attempt, Event};
use crate::domain::image::ContentMd5;
use crate::domain::job::JobStatus;

/// A job, live or ended.
#[derive(Debug, Clone, FromRow)]
pub struct JobRecord {
    #[sqlx(flatten, try_from = "StatusRow")]
    pub status: JobStatus,
    #[sqlx(flatten)]
    pub wanted: Wanted,
    #[sqlx(try_from = "Vec<u8>")]
    pub md5: ContentMd5,
    pub model: String,
    pub model_owner: Option<Uuid>,
    pub params: serde_json::Value,
    pub priority: i16,
    pub finish_by: DateTime<Utc>,
    pub lease_no: i32,
    pub deaths: i16,
    #[sqlx(rename = "session_id")]
    pub worker: Option<Uuid>,
    pub version: Option<String>,
    pub duration_s: Option<f32>,
    pub retry_of: Option<Uuid>,
    /// Whether the asking account asked for it.
    pub requested: bool,
}

/// One job, whoever asks; the caller judges by `requested` and `model_owner`.
pub async fn find(db: &mut PgConnection, id: Uuid, account: Option<Uuid>) -> sqlx::Result<Option<JobRecord>> {
    Ok(find_all(db, &[id], account).await?.pop())
}

/// Those of these jobs that are there, newest first.
async fn find_all(db: &mut PgConnection, ids: &[Uuid], account: Option<Uuid>) -> sqlx::Result<Vec<JobRecord>> {
    sqlx::query_as(include_str!("sql/jobs/find.sql")).bind(ids).bind(account).fetch_all(db).await
}

/// What a list of jobs is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub model: Option<String>,
    pub state: Option<&'static str>,
    pub reason: Option<String>,
    pub md5: Option<ContentMd5>,
    pub submission: Option<Uuid>,
    pub before: Option<Uuid>,
    /// Only jobs after which nothing was tried for their image and model, nor is under way.
    pub last_word: bool,
}

/// Jobs newest first. An account sees those that it asked for and, where neither an image nor a submission is named, those
/// of models that it owns; without an account, all.
pub async fn list(
    db: &mut PgConnection,
    account: Option<Uuid>,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<JobRecord>> {
    let queues = match &filter.model {
        Some(model) => Some(queues_of(db, Some(model), None).await?),
        None => None,
    };
    let mut ids = if account.is_none() && filter.md5.is_none() && filter.submission.is_none() {
        newest(db, queues.as_deref(), filter, limit).await?
    } else {
        asked(db, account, queues.as_deref(), filter, limit).await?
    };
    if account.is_some() && filter.md5.is_none() && filter.submission.is_none() {
        let owned = queues_of(db, filter.model.as_deref(), account).await?;
        ids.extend(newest(db, Some(&owned), filter, limit).await?);
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.dedup();
        ids.truncate(usize::try_from(limit).unwrap_or_default());
    }
    find_all(db, &ids, account).await
}

/// The queues of models of this name, or of this owner.
async fn queues_of(db: &mut PgConnection, model: Option<&str>, owner: Option<Uuid>) -> sqlx::Result<Vec<i32>> {
    sqlx::query_scalar(
        "SELECT id FROM queue WHERE kind = 'model' AND ($1::text IS NULL OR name = $1) AND ($2::uuid IS NULL OR owner = $2)",
    )
    .bind(model)
    .bind(owner)
    .fetch_all(db)
    .await
}

async fn newest(db: &mut PgConnection, queues: Option<&[i32]>, filter: &Filter, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    // Without any queue there is nothing to walk along for.
    if queues.is_some_and(<[i32]>::is_empty) {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(include_str!("sql/jobs/newest.sql"))
        .bind(queues)
        .bind(filter.state)
        .bind(filter.reason.as_deref())
        .bind(filter.before.unwrap_or(Uuid::max()))
        .bind(filter.last_word)
        .bind(limit)
        .fetch_all(db)
        .await
}

async fn asked(
    db: &mut PgConnection,
    account: Option<Uuid>,
    queues: Option<&[i32]>,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(include_str!("sql/jobs/asked.sql"))
        .bind(account)
        .bind(filter.submission)
        .bind(filter.md5.map(|md5| md5.0.to_vec()))
        .bind(queues)
        .bind(filter.state)
        .bind(filter.reason.as_deref())
        .bind(filter.before.unwrap_or(Uuid::max()))
        .bind(filter.last_word)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// The most tries, and the most events, of a job that are told.
const HISTORY_MAX: i64 = 1000;

/// The tries of a job that are over, in order, at most [`HISTORY_MAX`].
pub async fn attempts(db: &mut PgConnection, job: Uuid) -> sqlx::Result<Vec<Attempt>> {
    sqlx::query_as(include_str!("sql/jobs/attempts.sql")).bind(job).bind(HISTORY_MAX).fetch_all(db).await
}

/// A job's events in order, at most [`HISTORY_MAX`].
pub async fn events(db: &mut PgConnection, job: Uuid) -> sqlx::Result<Vec<Event>> {
    sqlx::query_as(
        "SELECT id, at, code, lease_no, attempt, worker, reason FROM audit_events WHERE job_id = $1 ORDER BY id LIMIT $2",
    )
    .bind(job)
    .bind(HISTORY_MAX)
    .fetch_all(db)
    .await
}
