//! Every way a job leaves a state, in one shape: a head locks the jobs and rules on each (`ruled`), and one
//! shared tail carries the ruling out — requeue or archive, newest per image and model, result, attempt,
//! event — in the same statement.

use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use crate::domain::image::ContentMd5;
use crate::domain::job::{JobError, JobState, JobStatus, Outcome};

/// Three deaths of its workers poison a job.
pub const DEATHS_MAX: i16 = 3;

/// A job after a transition: what the mirror, the queue and the waiting are told.
#[derive(Debug, Clone)]
pub struct Moved {
    pub status: JobStatus,
    pub image_id: i64,
    pub md5: ContentMd5,
    pub model: String,
    pub rank: i64,
    pub due: bool,
    /// The version that made the result, when this transition is a success.
    pub version: Option<String>,
    /// The result, when this transition is a success.
    pub document: Option<serde_json::Value>,
}

impl FromRow<'_, PgRow> for Moved {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        Ok(Self {
            status: job_status(row)?,
            image_id: row.try_get("image_id")?,
            md5: md5(row, "md5")?,
            model: row.try_get("model")?,
            rank: row.try_get("rank")?,
            due: row.try_get("due")?,
            version: row.try_get("version")?,
            document: row.try_get("document")?,
        })
    }
}

/// Reads the columns that make a [`JobStatus`].
pub fn job_status(row: &PgRow) -> sqlx::Result<JobStatus> {
    let kind: Option<String> = row.try_get("error_type")?;
    let message: Option<String> = row.try_get("error_message")?;
    Ok(JobStatus {
        id: row.try_get("id")?,
        event: row.try_get("event_id")?,
        state: state(row, "state")?,
        reason: row.try_get("reason")?,
        attempt: row.try_get("attempt")?,
        max_attempts: row.try_get("max_attempts")?,
        progress: row.try_get("progress")?,
        created_at: row.try_get("created_at")?,
        started_at: row.try_get("started_at")?,
        run_at: row.try_get("run_at")?,
        finished_at: row.try_get("finished_at")?,
        error: (kind.is_some() || message.is_some()).then_some(JobError { kind, message }),
    })
}

/// Reads a `job_state` selected as text.
pub fn state(row: &PgRow, column: &str) -> sqlx::Result<JobState> {
    let text: String = row.try_get(column)?;
    JobState::parse(&text).ok_or_else(|| sqlx::Error::Decode(format!("{column} holds the unknown state {text}").into()))
}

/// Reads an MD5 of 16 bytes.
pub fn md5(row: &PgRow, column: &str) -> sqlx::Result<ContentMd5> {
    let bytes: Vec<u8> = row.try_get(column)?;
    let bytes = bytes.try_into().map_err(|_| sqlx::Error::Decode(format!("{column} is no MD5").into()))?;
    Ok(ContentMd5(bytes))
}

/// The columns of `held` that the tail needs.
macro_rules! held_columns {
    () => {
        "j.id, j.image_id, j.model, j.params_hash, j.state, j.priority, j.run_at, j.finish_by, j.attempt, j.deaths, \
         j.lease_no, j.session_id, j.claim_id, j.started_at, j.deadline_at, j.retry_of, j.created_at"
    };
}

/// Carries out `ruled`, whose columns are those of `held` and: `next`, `next_reason`, `next_run_at`,
/// `next_attempt`, `next_deaths`, `new_event`, `at`, `code`, `outcome`, `by_session`, `by_account`, `version`,
/// `duration_s`, `document`, `error_type`, `error_message`, `traceback`.
macro_rules! tail {
    () => {
        ", back AS (
           UPDATE job SET state = 'queued', session_id = NULL, claim_id = NULL, deadline_at = NULL, started_at = NULL,
                  attempt = r.next_attempt, deaths = r.next_deaths, run_at = r.next_run_at,
                  due = r.next_run_at <= r.at, event_id = r.new_event
           FROM ruled AS r WHERE job.id = r.id AND r.next = 'queued'
           RETURNING job.id, job.rank, job.due
         ), gone AS (
           DELETE FROM job USING ruled AS r WHERE job.id = r.id AND r.next <> 'queued' RETURNING job.id
         ), archived AS (
           INSERT INTO job_archive (id, image_id, model, params_hash, state, reason, priority, run_at, finish_by, attempt,
                  deaths, lease_no, session_id, version, duration_s, started_at, event_id, retry_of, created_at, finished_at)
           SELECT id, image_id, model, params_hash, next, next_reason, priority, run_at, finish_by, next_attempt,
                  next_deaths, lease_no, by_session, version, duration_s, started_at, new_event, retry_of, created_at, at
           FROM ruled WHERE next <> 'queued'
         ), kept AS (
           INSERT INTO result (image_id, model, params_hash, version, job_id, document, finished_at)
           SELECT image_id, model, params_hash, version, id, document, at FROM ruled WHERE next = 'succeeded'
           ON CONFLICT ON CONSTRAINT result_pkey DO UPDATE
           SET job_id = excluded.job_id, document = excluded.document, finished_at = excluded.finished_at
         ), tried AS (
           INSERT INTO attempt (job_id, lease_no, attempt, session_id, outcome, error_type, error_message, traceback,
                  started_at, ended_at)
           SELECT id, lease_no, attempt, session_id, outcome, error_type, error_message, traceback, started_at, at
           FROM ruled WHERE outcome <> 'succeeded'
           ON CONFLICT ON CONSTRAINT attempt_pkey DO NOTHING
         ), told AS (
           INSERT INTO job_event (id, at, code, job_id, model, account_id, key_id, session_id, lease_no, attempt, reason)
           SELECT r.new_event, r.at, r.code, r.id, r.model, r.by_account, s.key_id, r.session_id, r.lease_no, r.attempt,
                  r.next_reason::text
           FROM ruled AS r LEFT JOIN worker_session AS s ON s.id = r.session_id
         ), newest AS (
           SELECT DISTINCT ON (image_id, model) * FROM ruled WHERE next <> 'queued' ORDER BY image_id, model, id DESC
         ), success AS (
           SELECT DISTINCT ON (image_id, model) image_id, model, id, params_hash, version FROM ruled
           WHERE next = 'succeeded' ORDER BY image_id, model, id DESC
         ), shown AS (
           INSERT INTO image_model AS i (image_id, model, job_id, state, reason, attempt, error, event_id, created_at,
                  started_at, finished_at, success_job, success_params_hash, success_version)
           SELECT n.image_id, n.model, n.id, n.next, n.next_reason, n.next_attempt,
                  CASE WHEN n.error_type IS NOT NULL OR n.error_message IS NOT NULL
                       THEN jsonb_build_object('type', n.error_type, 'message', n.error_message) END,
                  n.new_event, n.created_at, n.started_at, n.at, s.id, s.params_hash, s.version
           FROM newest AS n LEFT JOIN success AS s USING (image_id, model)
           ORDER BY n.image_id, n.model
           ON CONFLICT ON CONSTRAINT image_model_pkey DO UPDATE SET
             (job_id, state, reason, attempt, error, event_id, created_at, started_at, finished_at) = (
               SELECT excluded.job_id, excluded.state, excluded.reason, excluded.attempt, excluded.error, excluded.event_id,
                      excluded.created_at, excluded.started_at, excluded.finished_at WHERE excluded.job_id > i.job_id
               UNION ALL
               SELECT i.job_id, i.state, i.reason, i.attempt, i.error, i.event_id,
                      i.created_at, i.started_at, i.finished_at WHERE excluded.job_id <= i.job_id),
             (success_job, success_params_hash, success_version) = (
               SELECT excluded.success_job, excluded.success_params_hash, excluded.success_version
               WHERE excluded.success_job > coalesce(i.success_job, '00000000-0000-0000-0000-000000000000')
               UNION ALL
               SELECT i.success_job, i.success_params_hash, i.success_version
               WHERE (excluded.success_job > coalesce(i.success_job, '00000000-0000-0000-0000-000000000000')) IS NOT TRUE)
         )
         SELECT r.id, r.image_id, im.md5, r.model, r.next::text AS state, r.next_reason::text AS reason,
                r.next_attempt AS attempt, m.max_attempts, NULL::float8 AS progress, r.new_event AS event_id,
                r.created_at, CASE WHEN r.next = 'queued' THEN NULL ELSE r.started_at END AS started_at,
                CASE WHEN r.next = 'queued' THEN r.next_run_at END AS run_at,
                CASE WHEN r.next <> 'queued' THEN r.at END AS finished_at, r.error_type, r.error_message,
                coalesce(b.rank, 0) AS rank, coalesce(b.due, false) AS due, r.version,
                CASE WHEN r.next = 'succeeded' THEN r.document END AS document
         FROM ruled AS r
         JOIN image AS im ON im.id = r.image_id
         JOIN model AS m ON m.name = r.model
         LEFT JOIN back AS b ON b.id = r.id"
    };
}

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

/// Ends or requeues the jobs whose lease this session holds; what is not returned was not accepted.
pub async fn complete(db: &mut PgConnection, session: Uuid, items: &[Finish]) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH item AS (
           SELECT * FROM unnest($2::uuid[], $3::bigint[], $4::text[], $5::text[], $6::real[], $7::float8[], $8::float8[],
                                $9::text[], $10::text[], $11::text[])
             AS t (id, lease_no, outcome, document, duration_s, retry_after_s, jitter, error_type, error_message, traceback)
         ), held AS MATERIALIZED (
           SELECT ", held_columns!(), ", t.outcome, t.document, t.duration_s, t.retry_after_s, t.jitter, t.error_type,
                  t.error_message, t.traceback
           FROM job AS j JOIN item AS t ON t.id = j.id
           WHERE j.state = 'running' AND j.lease_no = t.lease_no AND j.session_id = $1
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         ), judged AS MATERIALIZED (
           SELECT h.*, m.backoff_base_s, m.backoff_cap_s, s.version, nextval('job_event_id') AS new_event, clock_timestamp() AS at,
                  CASE WHEN h.outcome = 'succeeded' THEN 'succeeded'
                       WHEN h.outcome = 'rejected' THEN 'rejected'
                       WHEN h.finish_by <= clock_timestamp() THEN 'expired'
                       WHEN h.attempt >= m.max_attempts THEN 'exhausted'
                       ELSE 'again' END AS ruling
           FROM held AS h JOIN model AS m ON m.name = h.model JOIN worker_session AS s ON s.id = $1
         ), ruled AS MATERIALIZED (
           SELECT g.id, g.image_id, g.model, g.params_hash, g.priority, g.run_at, g.finish_by, g.attempt, g.deaths, g.lease_no,
                  g.session_id, g.started_at, g.retry_of, g.created_at, g.version, g.duration_s, g.document::jsonb AS document,
                  g.error_type, g.error_message, g.traceback, g.new_event, g.at, g.outcome, $1 AS by_session,
                  NULL::uuid AS by_account,
                  (CASE g.ruling WHEN 'succeeded' THEN 'succeeded' WHEN 'again' THEN 'queued' ELSE 'failed' END)::job_state AS next,
                  (CASE WHEN g.ruling NOT IN ('succeeded', 'again') THEN g.ruling END)::fail_reason AS next_reason,
                  CASE g.ruling WHEN 'succeeded' THEN 'succeeded' WHEN 'again' THEN 'requeued' ELSE 'failed' END AS code,
                  g.at + interval '1 s' * coalesce(g.retry_after_s,
                     g.jitter * least(g.backoff_cap_s, g.backoff_base_s * 2.0 ^ least(g.attempt - 1, 20))) AS next_run_at,
                  g.attempt AS next_attempt, g.deaths AS next_deaths
           FROM judged AS g
         )", tail!());
    let column = |of: fn(&Finish) -> Option<String>| items.iter().map(of).collect::<Vec<_>>();
    sqlx::query_as(SQL)
        .bind(session)
        .bind(items.iter().map(|i| i.id).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.lease_no).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.outcome.as_str()).collect::<Vec<_>>())
        .bind(column(|i| i.document.clone()))
        .bind(items.iter().map(|i| i.duration_s).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.retry_after_s).collect::<Vec<_>>())
        .bind(items.iter().map(|i| i.jitter).collect::<Vec<_>>())
        .bind(column(|i| i.error_type.clone()))
        .bind(column(|i| i.error_message.clone()))
        .bind(column(|i| i.traceback.clone()))
        .fetch_all(db)
        .await
}

/// The part of a head that every free requeue shares: the attempt is not counted, and the place in line is kept.
macro_rules! ruled_released {
    ($outcome:literal, $code:literal) => {
        concat!(
            ", ruled AS MATERIALIZED (
               SELECT h.*, NULL::text AS version, NULL::real AS duration_s, NULL::jsonb AS document, NULL::text AS error_type,
                      NULL::text AS error_message, NULL::text AS traceback, nextval('job_event_id') AS new_event,
                      clock_timestamp() AS at, '", $outcome, "' AS outcome, NULL::uuid AS by_session, NULL::uuid AS by_account,
                      'queued'::job_state AS next, NULL::fail_reason AS next_reason, '", $code, "' AS code,
                      h.run_at AS next_run_at, (h.attempt - 1)::smallint AS next_attempt, h.deaths AS next_deaths
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

/// Locks at most `limit` running jobs whose session is over or missing, or whose attempt is past its deadline.
pub async fn lock_orphans(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT j.id FROM job AS j LEFT JOIN worker_session AS s ON s.id = j.session_id
         WHERE j.state = 'running' AND (s.id IS NULL OR s.ended_at IS NOT NULL OR j.deadline_at < clock_timestamp())
         ORDER BY j.image_id, j.model, j.params_hash LIMIT $1 FOR UPDATE OF j SKIP LOCKED",
    )
    .bind(limit)
    .fetch_all(db)
    .await
}

/// Takes those of the locked jobs away that are still orphaned or overdue: a statement of its own, because the one
/// that locked may have joined a job's new row with its old session.
///
/// A death costs no attempt but counts; [`DEATHS_MAX`] of them poison. A missed deadline is a failed attempt.
/// `jitter` is a random fraction 0…1 of the back-off.
pub async fn rescue(db: &mut PgConnection, jitter: f64, locked: &[Uuid]) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH held AS MATERIALIZED (
           SELECT ", held_columns!(), ", (s.id IS NULL OR s.ended_at IS NOT NULL) AS orphan
           FROM job AS j LEFT JOIN worker_session AS s ON s.id = j.session_id
           WHERE j.id = ANY($2) AND j.state = 'running'
             AND (s.id IS NULL OR s.ended_at IS NOT NULL OR j.deadline_at < clock_timestamp())
           ORDER BY j.image_id, j.model, j.params_hash FOR UPDATE OF j
         ), judged AS MATERIALIZED (
           SELECT h.*, m.backoff_base_s, m.backoff_cap_s, nextval('job_event_id') AS new_event, clock_timestamp() AS at,
                  (CASE WHEN h.orphan THEN h.deaths + 1 ELSE h.deaths END)::smallint AS next_deaths,
                  (CASE WHEN h.orphan THEN h.attempt - 1 ELSE h.attempt END)::smallint AS next_attempt,
                  CASE WHEN h.orphan AND h.deaths + 1 >= $3 THEN 'poisoned'
                       WHEN h.finish_by <= clock_timestamp() THEN 'expired'
                       WHEN NOT h.orphan AND h.attempt >= m.max_attempts THEN 'exhausted'
                       ELSE 'again' END AS ruling
           FROM held AS h JOIN model AS m ON m.name = h.model
         ), ruled AS MATERIALIZED (
           SELECT g.id, g.image_id, g.model, g.params_hash, g.priority, g.run_at, g.finish_by, g.attempt, g.deaths, g.lease_no,
                  g.session_id, g.started_at, g.retry_of, g.created_at, g.new_event, g.at, g.next_deaths, g.next_attempt,
                  NULL::text AS version, NULL::real AS duration_s, NULL::jsonb AS document,
                  CASE WHEN g.orphan THEN 'WorkerLost' ELSE 'DeadlineExceeded' END AS error_type,
                  CASE WHEN g.orphan THEN 'the worker went away while it held the job'
                       ELSE 'the attempt took longer than its deadline' END AS error_message,
                  NULL::text AS traceback, CASE WHEN g.orphan THEN 'lost' ELSE 'deadline' END AS outcome,
                  NULL::uuid AS by_session, NULL::uuid AS by_account,
                  (CASE WHEN g.ruling = 'again' THEN 'queued' ELSE 'failed' END)::job_state AS next,
                  (CASE WHEN g.ruling <> 'again' THEN g.ruling END)::fail_reason AS next_reason,
                  CASE WHEN g.ruling = 'again' THEN 'rescued' ELSE 'failed' END AS code,
                  g.at + interval '1 s' * (CASE WHEN g.orphan AND g.deaths = 0 THEN 0 ELSE
                     $1 * least(g.backoff_cap_s, g.backoff_base_s * 2.0 ^ least(g.next_deaths + g.next_attempt, 20)) END) AS next_run_at
           FROM judged AS g
         )", tail!());
    sqlx::query_as(SQL).bind(jitter).bind(locked).bind(DEATHS_MAX).fetch_all(db).await
}

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
                      h.attempt AS next_attempt, h.deaths AS next_deaths
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

/// Fails at most `limit` queued jobs that are past `finish_by`.
pub async fn expire(db: &mut PgConnection, limit: i64) -> sqlx::Result<Vec<Moved>> {
    const SQL: &str = concat!(
        "WITH held AS MATERIALIZED (
           SELECT ",
        held_columns!(),
        " FROM job AS j WHERE j.state = 'queued' AND j.finish_by <= clock_timestamp()
           ORDER BY j.image_id, j.model, j.params_hash LIMIT $1 FOR UPDATE OF j SKIP LOCKED
         )",
        ruled_ended!("failed", "'expired'", "NULL"),
        tail!()
    );
    sqlx::query_as(SQL).bind(limit).fetch_all(db).await
}
