//! Jobs in detail and in lists, for those who may see them.

use chrono::{DateTime, Utc};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::row::{job_status, md5};
use crate::domain::image::ContentMd5;
use crate::domain::job::JobStatus;

/// A job, live or ended.
#[derive(Debug, Clone)]
pub struct JobRecord {
    pub status: JobStatus,
    pub md5: ContentMd5,
    pub image_id: i64,
    pub model: String,
    pub model_owner: Option<Uuid>,
    pub params_hash: Vec<u8>,
    pub params: serde_json::Value,
    pub priority: i16,
    pub finish_by: DateTime<Utc>,
    pub lease_no: i64,
    pub deaths: i16,
    pub worker: Option<Uuid>,
    pub version: Option<String>,
    pub duration_s: Option<f32>,
    pub retry_of: Option<Uuid>,
    /// Whether the asking account asked for it.
    pub requested: bool,
}

impl FromRow<'_, PgRow> for JobRecord {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            status: job_status(row)?,
            md5: md5(row, "md5")?,
            image_id: row.try_get("image_id")?,
            model: row.try_get("model")?,
            model_owner: row.try_get("model_owner")?,
            params_hash: row.try_get("params_hash")?,
            params: row.try_get("params")?,
            priority: row.try_get("priority")?,
            finish_by: row.try_get("finish_by")?,
            lease_no: row.try_get("lease_no")?,
            deaths: row.try_get("deaths")?,
            worker: row.try_get("session_id")?,
            version: row.try_get("version")?,
            duration_s: row.try_get("duration_s")?,
            retry_of: row.try_get("retry_of")?,
            requested: row.try_get("requested")?,
        })
    }
}

/// Jobs live and ended under one shape; `$1` is the asking account.
macro_rules! select {
    ($live:literal, $ended:literal, $where:literal) => {
        concat!(
            "SELECT j.*, i.md5, p.body AS params, m.max_attempts, m.owner AS model_owner,
                    EXISTS (SELECT FROM request AS r WHERE r.job_id = j.id AND r.account_id = $1) AS requested,
                    e.error_type, e.error_message
             FROM (
               SELECT j.id, j.image_id, j.model, j.params_hash, j.state::text AS state, NULL::text AS reason, j.priority, j.attempt,
                      j.deaths, j.lease_no, j.session_id, s.version, NULL::real AS duration_s, j.event_id, j.retry_of, j.created_at,
                      j.started_at, CASE WHEN j.state = 'queued' THEN j.run_at END AS run_at, j.finish_by,
                      NULL::timestamptz AS finished_at,
                      (SELECT (h ->> 'progress')::float8 FROM jsonb_array_elements(s.holds) AS h
                       WHERE h ->> 'id' = j.id::text AND h ->> 'lease_no' = j.lease_no::text LIMIT 1) AS progress
               FROM job AS j LEFT JOIN worker_session AS s ON s.id = j.session_id WHERE ", $live, "
               UNION ALL
               SELECT a.id, a.image_id, a.model, a.params_hash, a.state::text, a.reason::text, a.priority, a.attempt,
                      a.deaths, a.lease_no, a.session_id, a.version, a.duration_s, a.event_id, a.retry_of, a.created_at,
                      a.started_at, NULL, a.finish_by, a.finished_at, NULL
               FROM job_archive AS a WHERE ", $ended, "
             ) AS j
             JOIN image AS i ON i.id = j.image_id
             JOIN params AS p ON p.hash = j.params_hash
             JOIN model AS m ON m.name = j.model
             LEFT JOIN LATERAL (SELECT t.error_type, t.error_message FROM attempt AS t
                                WHERE t.job_id = j.id AND j.state = 'failed' ORDER BY t.lease_no DESC LIMIT 1) AS e ON true
             WHERE ", $where)
    };
}

/// One job, whoever asks; the caller judges by `requested` and `model_owner`.
pub async fn find(db: &mut PgConnection, id: Uuid, account: Option<Uuid>) -> sqlx::Result<Option<JobRecord>> {
    const SQL: &str = select!("j.id = $2", "a.id = $2", "true");
    sqlx::query_as(SQL).bind(account).bind(id).fetch_optional(db).await
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

/// Jobs newest first. An account sees those that it asked for and those of models that it owns; without an
/// account, all.
pub async fn list(
    db: &mut PgConnection,
    account: Option<Uuid>,
    filter: &Filter,
    limit: i64,
) -> sqlx::Result<Vec<JobRecord>> {
    const SQL: &str = select!(
        "($3::text IS NULL OR j.model = $3) AND ($4::text IS NULL OR j.state::text = $4) AND ($2::uuid IS NULL OR j.id < $2)",
        "($3::text IS NULL OR a.model = $3) AND ($4::text IS NULL OR a.state::text = $4) AND ($2::uuid IS NULL OR a.id < $2)",
        "($5::bytea IS NULL OR i.md5 = $5) AND ($6::text IS NULL OR j.reason = $6)
           AND ($7::uuid IS NULL OR EXISTS (SELECT FROM request AS r WHERE r.submission_id = $7 AND r.job_id = j.id))
           AND ($1::uuid IS NULL OR m.owner = $1 OR EXISTS (SELECT FROM request AS r WHERE r.job_id = j.id AND r.account_id = $1))
           AND (NOT $9 OR (EXISTS (SELECT FROM image_model AS n WHERE (n.image_id, n.model, n.job_id) = (j.image_id, j.model, j.id))
                           AND NOT EXISTS (SELECT FROM job AS l WHERE (l.image_id, l.model, l.params_hash) = (j.image_id, j.model, j.params_hash))))
         ORDER BY j.id DESC LIMIT $8");
    sqlx::query_as(SQL)
        .bind(account)
        .bind(filter.before)
        .bind(filter.model.as_deref())
        .bind(filter.state)
        .bind(filter.md5.map(|md5| md5.0.to_vec()))
        .bind(filter.reason.as_deref())
        .bind(filter.submission)
        .bind(limit)
        .bind(filter.last_word)
        .fetch_all(db)
        .await
}

/// One try at a job.
#[derive(Debug, Clone)]
pub struct AttemptRecord {
    pub lease_no: i64,
    pub attempt: i16,
    pub worker: Uuid,
    pub version: Option<String>,
    pub outcome: String,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    pub traceback: Option<String>,
    pub started_at: DateTime<Utc>,
    pub ended_at: DateTime<Utc>,
}

/// The tries of a job that ended, in order; the one that succeeded is read from the archive.
pub async fn attempts(db: &mut PgConnection, job: Uuid) -> sqlx::Result<Vec<AttemptRecord>> {
    let rows = sqlx::query(
        "SELECT t.lease_no, t.attempt, t.session_id, s.version, t.outcome, t.error_type, t.error_message, t.traceback, t.started_at, t.ended_at
         FROM attempt AS t LEFT JOIN worker_session AS s ON s.id = t.session_id WHERE t.job_id = $1
         UNION ALL
         SELECT a.lease_no, a.attempt, a.session_id, a.version, 'succeeded', NULL, NULL, NULL, a.started_at, a.finished_at
         FROM job_archive AS a WHERE a.id = $1 AND a.state = 'succeeded'
         ORDER BY 1 LIMIT 1000",
    )
    .bind(job)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(AttemptRecord {
                lease_no: row.try_get(0)?,
                attempt: row.try_get(1)?,
                worker: row.try_get(2)?,
                version: row.try_get(3)?,
                outcome: row.try_get(4)?,
                error_type: row.try_get(5)?,
                error_message: row.try_get(6)?,
                traceback: row.try_get(7)?,
                started_at: row.try_get(8)?,
                ended_at: row.try_get(9)?,
            })
        })
        .collect()
}

/// One line of a job's history.
#[derive(Debug, Clone)]
pub struct EventRecord {
    pub id: i64,
    pub at: DateTime<Utc>,
    pub code: String,
    pub lease_no: Option<i64>,
    pub attempt: Option<i16>,
    pub worker: Option<Uuid>,
    pub reason: Option<String>,
}

/// A job's events in order, at most 1,000.
pub async fn events(db: &mut PgConnection, job: Uuid) -> sqlx::Result<Vec<EventRecord>> {
    let rows = sqlx::query(
        "SELECT id, at, code, lease_no, attempt, session_id, reason FROM job_event WHERE job_id = $1 ORDER BY id LIMIT 1000",
    )
    .bind(job)
    .fetch_all(db)
    .await?;
    rows.iter()
        .map(|row| {
            Ok(EventRecord {
                id: row.try_get(0)?,
                at: row.try_get(1)?,
                code: row.try_get(2)?,
                lease_no: row.try_get(3)?,
                attempt: row.try_get(4)?,
                worker: row.try_get(5)?,
                reason: row.try_get(6)?,
            })
        })
        .collect()
}
