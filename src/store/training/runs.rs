//! Runs: started, listed, shown, given to their workers.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::files::{RunFile, checkpoints};
use crate::domain::job::{JobError, JobState};

/// A run that somebody asks for.
#[derive(Debug)]
pub struct NewRun {
    pub account: Uuid,
    /// The dataset's queue.
    pub queue_id: i32,
    pub params_id: i64,
    /// The client's own id of it.
    pub submission: Option<Uuid>,
    pub priority: i16,
    /// Seconds after which it expires if nobody has taken it.
    pub finish_within_s: f64,
    /// The ended run that it tries again.
    pub retry_of: Option<Uuid>,
}

/// A run's job, just made.
#[derive(Debug, Clone, FromRow)]
pub struct RunMade {
    pub id: Uuid,
    pub rank: i64,
}

/// Makes a run and its job; nothing when the account has asked for one under this submission before: see [`made_before`].
pub async fn begin(db: &mut PgConnection, new: &NewRun) -> sqlx::Result<Option<RunMade>> {
    sqlx::query_as(include_str!("../sql/training/begin.sql"))
        .bind(new.account)
        .bind(new.queue_id)
        .bind(new.params_id)
        .bind(new.submission)
        .bind(new.priority)
        .bind(new.finish_within_s)
        .bind(new.retry_of)
        .fetch_optional(db)
        .await
}

/// The run that an account asked for under a submission: its id, and whether it was of this dataset and these params.
pub async fn made_before(db: &mut PgConnection, new: &NewRun) -> sqlx::Result<Option<(Uuid, bool)>> {
    sqlx::query_as(
        "SELECT job_id, queue_id = $3 AND params_id = $4 FROM training_run WHERE account_id = $1 AND submission_id = $2",
    )
    .bind(new.account)
    .bind(new.submission)
    .bind(new.queue_id)
    .bind(new.params_id)
    .fetch_optional(db)
    .await
}

/// A run, live or ended.
#[derive(Debug, FromRow)]
pub struct RunRecord {
    pub id: Uuid,
    pub account_id: Uuid,
    pub account: String,
    pub dataset: String,
    pub params_id: i64,
    /// Nothing in a list where it is large.
    pub params: Option<Value>,
    #[sqlx(try_from = "String")]
    pub state: JobState,
    pub reason: Option<String>,
    pub attempt: i16,
    pub max_attempts: i16,
    pub priority: i16,
    /// What its worker last said of the lease that it now has.
    pub progress: Option<f64>,
    pub note: Option<String>,
    /// Nothing in a list where it is large.
    pub result: Option<Value>,
    pub error: Option<Json<JobError>>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub retry_of: Option<Uuid>,
    /// Rises with whatever is to be seen of it but its progress.
    pub revision: i32,
}

/// Which runs are listed.
#[derive(Debug, Default)]
pub struct RunFilter<'a> {
    /// Of this account; of all without.
    pub account: Option<Uuid>,
    pub dataset: Option<&'a str>,
    pub state: Option<JobState>,
    /// Made before this one.
    pub before: Option<Uuid>,
}

/// Runs, newest first.
pub async fn list(db: &mut PgConnection, filter: &RunFilter<'_>, limit: i64) -> sqlx::Result<Vec<RunRecord>> {
    read(db, None, filter, limit).await
}

/// One run, of this account or of any.
pub async fn find(db: &mut PgConnection, id: Uuid, account: Option<Uuid>) -> sqlx::Result<Option<RunRecord>> {
    Ok(read(db, Some(id), &RunFilter { account, ..RunFilter::default() }, 1).await?.pop())
}

async fn read(
    db: &mut PgConnection,
    id: Option<Uuid>,
    filter: &RunFilter<'_>,
    limit: i64,
) -> sqlx::Result<Vec<RunRecord>> {
    // Planned for what is given: only so is the index for it found.
    sqlx::query_as(include_str!("../sql/training/runs.sql"))
        .persistent(false)
        .bind(id)
        .bind(filter.account)
        .bind(filter.dataset)
        .bind(filter.state.map(JobState::as_str))
        .bind(filter.before)
        .bind(limit)
        .fetch_all(db)
        .await
}

/// What the worker of a run is given.
#[derive(Debug)]
pub struct GivenRun {
    pub params: Json<Box<RawValue>>,
    /// From which it goes on.
    pub checkpoint: Option<RunFile>,
}

/// What the workers of these runs are given, by run.
pub async fn given(db: &mut PgConnection, runs: &[Uuid]) -> sqlx::Result<HashMap<Uuid, GivenRun>> {
    let params: Vec<(Uuid, Json<Box<RawValue>>)> = sqlx::query_as(
        "SELECT r.job_id, p.body FROM training_run AS r JOIN params AS p ON p.id = r.params_id WHERE r.job_id = ANY($1)",
    )
    .bind(runs)
    .fetch_all(&mut *db)
    .await?;
    let mut given: HashMap<Uuid, GivenRun> =
        params.into_iter().map(|(run, params)| (run, GivenRun { params, checkpoint: None })).collect();
    for file in checkpoints(db, runs).await? {
        if let Some(run) = given.get_mut(&file.job_id) {
            run.checkpoint = Some(file);
        }
    }
    Ok(given)
}

/// What moves while somebody waits for a run.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct RunNews {
    pub revision: i32,
    pub ended: bool,
    /// As its worker last said.
    pub progress: Option<f64>,
    pub note: Option<String>,
}

/// What moves while somebody waits for a run; nothing where there is no such run.
pub async fn news(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<RunNews>> {
    sqlx::query_as(include_str!("../sql/training/news.sql")).bind(id).fetch_optional(db).await
}

/// What was measured after an epoch.
#[derive(Debug, Clone, FromRow)]
pub struct RunMetric {
    pub attempt: i16,
    pub epoch: i32,
    pub metrics: Json<Box<RawValue>>,
}

/// The most bytes of metrics that are told of one run.
const METRICS_BYTES_MAX: i64 = 4 * 1024 * 1024;

/// What a run measured, in order; the oldest are left out where they are too much, and it is said whether they were.
pub async fn metrics(db: &mut PgConnection, id: Uuid) -> sqlx::Result<(Vec<RunMetric>, bool)> {
    #[derive(FromRow)]
    struct ToldMetric {
        #[sqlx(flatten)]
        metric: RunMetric,
        whole: bool,
    }
    let told: Vec<ToldMetric> = sqlx::query_as(include_str!("../sql/training/metrics.sql"))
        .bind(id)
        .bind(METRICS_BYTES_MAX)
        .fetch_all(db)
        .await?;
    let whole = told.first().is_none_or(|first| first.whole);
    Ok((told.into_iter().map(|row| row.metric).collect(), !whole))
}
