//! Submissions and their requests: who waits for which job.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::place::AskedPlace;
use super::submit::Wanted;
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;

/// Opens submissions, or locks those of these ids; answers their ids and owners in the order asked. The lock makes
/// requests of one submission take turns, so that each sees what the others asked for. No id comes twice.
pub async fn open(db: &mut PgConnection, asked: &[(Option<Uuid>, Uuid)]) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    let opened: Vec<(Uuid, Uuid)> = sqlx::query_as(include_str!("sql/submissions/open.sql"))
        .bind(asked.iter().map(|(id, _)| *id).collect::<Vec<_>>())
        .bind(asked.iter().map(|(_, account)| *account).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    let named: HashSet<Uuid> = asked.iter().filter_map(|(id, _)| *id).collect();
    let owners: HashMap<Uuid, Uuid> = opened.iter().copied().collect();
    // New ones of one account are all alike.
    let mut new: HashMap<Uuid, Vec<Uuid>> = HashMap::new();
    for (id, account) in opened.into_iter().filter(|(id, _)| !named.contains(id)) {
        new.entry(account).or_default().push(id);
    }
    let open = |(id, account): &(Option<Uuid>, Uuid)| match id {
        Some(id) => Some((*id, *owners.get(id)?)),
        None => Some((new.get_mut(account)?.pop()?, *account)),
    };
    Ok(asked.iter().filter_map(open).collect())
}

/// A job that answers what is wanted.
#[derive(Debug, Clone, FromRow)]
pub struct Answered {
    /// Which of the wanted.
    #[sqlx(try_from = "i64")]
    pub place: AskedPlace,
    pub job_id: Uuid,
    #[sqlx(try_from = "String")]
    pub state: JobState,
}

/// Those of the wanted that their submissions have asked for before, with their jobs as they now are.
pub async fn answered_before(db: &mut PgConnection, wanted: &[(Uuid, Wanted)]) -> sqlx::Result<Vec<Answered>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    sqlx::query_as(include_str!("sql/submissions/answered_before.sql"))
        .bind(wanted.iter().map(|(_, w)| w.image_id).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, w)| w.queue_id).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(_, w)| w.params_id).collect::<Vec<_>>())
        .bind(wanted.iter().map(|(submission, _)| *submission).collect::<Vec<_>>())
        .bind(wanted.len() as i64)
        .fetch_all(db)
        .await
}

/// Who asked for what, and the job that answers it.
#[derive(Debug, Clone, Copy)]
pub struct Request {
    pub submission: Uuid,
    pub wanted: Wanted,
    pub job: Uuid,
    /// How the job ended, if it has: the archive may have let it go already, and will not be asked.
    pub ended: Option<JobState>,
}

/// Writes down who waits for which job, or was answered by it.
pub async fn add_requests(db: &mut PgConnection, requests: &[Request]) -> sqlx::Result<()> {
    if requests.is_empty() {
        return Ok(());
    }
    sqlx::query(
        "INSERT INTO request (submission_id, image_id, queue_id, params_id, job_id, state)
         SELECT submission_id, image_id, queue_id, params_id, job_id, state::job_state
         FROM unnest($1::uuid[], $2::bigint[], $3::integer[], $4::bigint[], $5::uuid[], $6::text[])
           AS t (submission_id, image_id, queue_id, params_id, job_id, state)
         ON CONFLICT ON CONSTRAINT request_pkey DO NOTHING",
    )
    .bind(requests.iter().map(|r| r.submission).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.wanted.image_id).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.wanted.queue_id).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.wanted.params_id).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.job).collect::<Vec<_>>())
    .bind(requests.iter().map(|r| r.ended.map(JobState::as_str)).collect::<Vec<_>>())
    .execute(db)
    .await?;
    Ok(())
}

/// A submission's owner and time.
#[derive(Debug, Clone, FromRow)]
pub struct Submission {
    pub id: Uuid,
    pub account_id: Uuid,
    pub created_at: DateTime<Utc>,
}

/// One submission.
pub async fn find(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Submission>> {
    sqlx::query_as("SELECT id, account_id, created_at FROM submission WHERE id = $1").bind(id).fetch_optional(db).await
}

/// Submissions newest first, from before the cursor; everybody's when no account is given.
pub async fn list(
    db: &mut PgConnection,
    account: Option<Uuid>,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<Submission>> {
    sqlx::query_as(
        "SELECT id, account_id, created_at FROM submission
         WHERE ($1::uuid IS NULL OR account_id = $1) AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
         ORDER BY created_at DESC, id DESC LIMIT $4",
    )
    .bind(account)
    .bind(before.map(|b| b.0))
    .bind(before.map_or(Uuid::nil(), |b| b.1))
    .bind(limit)
    .fetch_all(db)
    .await
}

/// How many requests of a submission for a model are in a state.
#[derive(Debug, Clone, FromRow)]
pub struct Count {
    pub submission_id: Uuid,
    pub model: String,
    #[sqlx(try_from = "String")]
    pub state: JobState,
    pub jobs: i64,
}

/// The requests of these submissions, counted by model and state. A withdrawn request counts as cancelled.
pub async fn counts(db: &mut PgConnection, submissions: &[Uuid]) -> sqlx::Result<Vec<Count>> {
    sqlx::query_as(include_str!("sql/submissions/counts.sql")).bind(submissions).fetch_all(db).await
}

/// How many images each of these submissions has.
pub async fn count_images(db: &mut PgConnection, submissions: &[Uuid]) -> sqlx::Result<Vec<(Uuid, i64)>> {
    sqlx::query_as(
        "SELECT submission_id, count(*)
         FROM (SELECT DISTINCT submission_id, image_id FROM request WHERE submission_id = ANY($1)) AS r GROUP BY submission_id",
    )
    .bind(submissions)
    .fetch_all(db)
    .await
}

/// One request of a submission with its job's state.
#[derive(Debug, Clone, FromRow)]
pub struct RequestRow {
    pub submission_id: Uuid,
    pub image_id: i64,
    #[sqlx(try_from = "Vec<u8>")]
    pub md5: ContentMd5,
    pub name: Option<String>,
    /// The names under which it came in the submission, in order; none, if it was named by its hash.
    pub names: Vec<String>,
    #[sqlx(try_from = "String")]
    pub state: JobState,
}

/// Of each of these submissions the requests for its next `images` images after this one, by image and model. A withdrawn
/// request counts as cancelled.
pub async fn requests_page(
    db: &mut PgConnection,
    submissions: &[Uuid],
    after_image: Option<i64>,
    images: i64,
) -> sqlx::Result<Vec<RequestRow>> {
    sqlx::query_as(include_str!("sql/submissions/requests_page.sql"))
        .bind(submissions)
        .bind(after_image.unwrap_or(i64::MIN))
        .bind(images)
        .fetch_all(db)
        .await
}

/// How far a wait for a submission has come: before this place every request has ended, unless it was added since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitProgress(i64, i32, i64);

impl WaitProgress {
    pub const START: Self = Self(i64::MIN, i32::MIN, i64::MIN);
}

/// Whether no job that a submission waits for lives. An ended job never lives again, so a wait that keeps its `progress`
/// looks at each request about once, however often it asks.
pub async fn is_done(db: &mut PgConnection, submission: Uuid, progress: &mut WaitProgress) -> sqlx::Result<bool> {
    let mut from = *progress;
    loop {
        let live: Option<(i64, i32, i64)> = sqlx::query_as(include_str!("sql/submissions/next_live.sql"))
            .bind(submission)
            .bind(from.0)
            .bind(from.1)
            .bind(from.2)
            .fetch_optional(&mut *db)
            .await?;
        match live {
            Some((image, queue, params)) => {
                *progress = WaitProgress(image, queue, params);
                return Ok(false);
            }
            None if from == WaitProgress::START => return Ok(true),
            // Requests may have been added before it.
            None => from = WaitProgress::START,
        }
    }
}

/// Locks live jobs that a submission's standing requests wait for, at most `limit`, in order of id; the caller withdraws in a
/// second statement, so that it counts what the locks waited for, and goes on until none is left.
pub async fn lock_jobs(db: &mut PgConnection, submission: Uuid, limit: i64) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar(
        "SELECT j.id FROM job AS j WHERE j.id IN (
           SELECT r.job_id FROM request AS r WHERE r.submission_id = $1 AND r.withdrawn_at IS NULL AND r.state IS NULL)
         ORDER BY j.id LIMIT $2 FOR UPDATE",
    )
    .bind(submission)
    .bind(limit)
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
/// answers the jobs for which nobody waits any more, in order of id.
pub async fn withdraw(
    db: &mut PgConnection,
    jobs: &[Uuid],
    account: Uuid,
    submission: Option<Uuid>,
) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query(include_str!("sql/submissions/withdraw.sql"))
        .bind(jobs)
        .bind(account)
        .bind(submission)
        .execute(&mut *db)
        .await?;
    sqlx::query_scalar(
        "SELECT j FROM unnest($1::uuid[]) AS j
         WHERE NOT EXISTS (SELECT FROM request AS r WHERE r.job_id = j AND r.withdrawn_at IS NULL) ORDER BY j",
    )
    .bind(jobs)
    .fetch_all(db)
    .await
}
