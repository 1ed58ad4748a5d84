//! Submissions and their requests: who waits for which job.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sqlx::types::Json;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::place::AskedPlace;
use super::submit::Wanted;
use super::tallies::Tally;
use crate::domain::image::ContentMd5;
use crate::domain::job::JobState;

/// A submission that is to be opened.
#[derive(Debug, Clone, Copy)]
pub struct Opening {
    /// Its id, if the client gave one.
    pub id: Option<Uuid>,
    pub account: Uuid,
    pub case: Uuid,
}

/// A submission that is open, and locked.
#[derive(Debug, Clone, Copy, FromRow)]
pub struct Opened {
    pub id: Uuid,
    #[sqlx(rename = "account_id")]
    pub account: Uuid,
    #[sqlx(rename = "case_id")]
    pub case: Uuid,
}

/// Opens submissions, or locks those of these ids; answers them in the order asked, and nothing where the case takes none: it is closed,
/// deleted, or not there. The lock makes requests of one submission take turns, so that each sees what the others asked for; that of
/// the case makes who closes or deletes it wait. No id comes twice.
pub async fn open(db: &mut PgConnection, asked: &[Opening]) -> sqlx::Result<Vec<Option<Opened>>> {
    let opened: Vec<Opened> = sqlx::query_as(include_str!("sql/submissions/open.sql"))
        .bind(asked.iter().map(|asked| asked.id).collect::<Vec<_>>())
        .bind(asked.iter().map(|asked| asked.account).collect::<Vec<_>>())
        .bind(asked.iter().map(|asked| asked.case).collect::<Vec<_>>())
        .fetch_all(db)
        .await?;
    let ids: HashSet<Uuid> = asked.iter().filter_map(|asked| asked.id).collect();
    let (named, made): (Vec<Opened>, Vec<Opened>) = opened.into_iter().partition(|opened| ids.contains(&opened.id));
    let named: HashMap<Uuid, Opened> = named.into_iter().map(|opened| (opened.id, opened)).collect();
    // New ones of one account in one case are all alike.
    let mut new: HashMap<(Uuid, Uuid), Vec<Opened>> = HashMap::new();
    for opened in made {
        new.entry((opened.account, opened.case)).or_default().push(opened);
    }
    let open = |asked: &Opening| match asked.id {
        Some(id) => named.get(&id).copied(),
        None => new.get_mut(&(asked.account, asked.case))?.pop(),
    };
    Ok(asked.iter().map(open).collect())
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

/// A submission's owner, case and time.
#[derive(Debug, Clone, FromRow)]
pub struct Submission {
    pub id: Uuid,
    pub account_id: Uuid,
    pub case_id: Uuid,
    pub created_at: DateTime<Utc>,
    /// What all of it came to, once that was counted.
    pub tally: Option<Json<Tally>>,
    /// Another whenever requests were added to it or taken away.
    pub stamp: String,
}

/// One submission, of a case that is not deleted: those of one that is go step by step.
pub async fn find(db: &mut PgConnection, id: Uuid) -> sqlx::Result<Option<Submission>> {
    sqlx::query_as(
        "SELECT s.id, s.account_id, s.case_id, s.created_at, s.tally, s.xmin::text AS stamp
         FROM submission AS s JOIN casefile AS c ON c.id = s.case_id WHERE s.id = $1 AND c.deleted_at IS NULL",
    )
    .bind(id)
    .fetch_optional(db)
    .await
}

/// Submissions newest first, from before the cursor: those to these cases, or, with none given, to all that are not deleted.
pub async fn list(
    db: &mut PgConnection,
    cases: Option<&[Uuid]>,
    before: Option<(DateTime<Utc>, Uuid)>,
    limit: i64,
) -> sqlx::Result<Vec<Submission>> {
    let (at, id) = before.unwrap_or((DateTime::<Utc>::MAX_UTC, Uuid::max()));
    let list = match cases {
        Some(cases) => {
            sqlx::query_as(include_str!("sql/submissions/list.sql")).bind(at).bind(id).bind(limit).bind(cases)
        }
        None => sqlx::query_as(
            "SELECT s.id, s.account_id, s.case_id, s.created_at, s.tally, s.xmin::text AS stamp FROM submission AS s
             WHERE (s.created_at, s.id) < ($1, $2)
               AND NOT EXISTS (SELECT FROM casefile AS c WHERE c.id = s.case_id AND c.deleted_at IS NOT NULL OFFSET 0)
             ORDER BY s.created_at DESC, s.id DESC LIMIT $3",
        )
        .bind(at)
        .bind(id)
        .bind(limit),
    };
    list.fetch_all(db).await
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

/// A place among the requests of a submission, in order of their keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, FromRow)]
pub struct SubmissionPlace {
    pub(super) image_id: i64,
    pub(super) queue_id: i32,
    pub(super) params_id: i64,
}

impl SubmissionPlace {
    /// Before the requests for the image that follows this one.
    pub const fn after(image_id: i64) -> Self {
        Self { image_id, queue_id: i32::MAX, params_id: i64::MAX }
    }
}

/// The first request of a submission, from a place on, whose job lives: before it none does, if none did before the place.
pub async fn next_live(
    db: &mut PgConnection,
    submission: Uuid,
    from: SubmissionPlace,
) -> sqlx::Result<Option<SubmissionPlace>> {
    sqlx::query_as(include_str!("sql/submissions/next_live.sql"))
        .bind(submission)
        .bind(from.image_id)
        .bind(from.queue_id)
        .bind(from.params_id)
        .fetch_optional(db)
        .await
}

/// Requests of a submission that follow each other.
#[derive(Debug)]
pub struct NextRequests {
    /// The jobs for which those wait that stand and are not known to have ended.
    pub jobs: Vec<Uuid>,
    pub last: SubmissionPlace,
    /// How many they are.
    pub count: usize,
}

/// The next requests of a submission after a place, at most `limit`; nothing where none follows.
pub async fn next_requests(
    db: &mut PgConnection,
    submission: Uuid,
    after: SubmissionPlace,
    limit: i64,
) -> sqlx::Result<Option<NextRequests>> {
    #[derive(FromRow)]
    struct StandingRequest {
        #[sqlx(flatten)]
        place: SubmissionPlace,
        job: Option<Uuid>,
    }
    let rows: Vec<StandingRequest> = sqlx::query_as(
        "SELECT image_id, queue_id, params_id, CASE WHEN withdrawn_at IS NULL AND state IS NULL THEN job_id END AS job FROM request
         WHERE submission_id = $1 AND (image_id, queue_id, params_id) > ($2, $3, $4)
         ORDER BY image_id, queue_id, params_id LIMIT $5",
    )
    .bind(submission)
    .bind(after.image_id)
    .bind(after.queue_id)
    .bind(after.params_id)
    .bind(limit)
    .fetch_all(db)
    .await?;
    let (last, count) = (rows.last().map(|row| row.place), rows.len());
    let jobs = rows.into_iter().filter_map(|row| row.job).collect();
    Ok(last.map(|last| NextRequests { jobs, last, count }))
}

/// Locks those of these jobs that live, in order of id; the caller withdraws in a second statement, so that it counts what the
/// locks waited for.
pub async fn lock_jobs(db: &mut PgConnection, jobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    sqlx::query_scalar("SELECT id FROM job WHERE id = ANY($1) ORDER BY id FOR UPDATE").bind(jobs).fetch_all(db).await
}

/// Locks one live job.
pub async fn lock_job(db: &mut PgConnection, job: Uuid) -> sqlx::Result<bool> {
    let found: Option<Uuid> =
        sqlx::query_scalar("SELECT id FROM job WHERE id = $1 FOR UPDATE").bind(job).fetch_optional(db).await?;
    Ok(found.is_some())
}

/// Whose requests are withdrawn.
#[derive(Debug, Clone, Copy)]
pub enum Withdrawn<'a> {
    /// Those of one submission.
    Submission(Uuid),
    /// Those of all submissions to these cases.
    Cases(&'a [Uuid]),
}

/// Withdraws requests for these locked jobs on behalf of an account, and answers the jobs for which nobody waits any more, in order
/// of id.
pub async fn withdraw(db: &mut PgConnection, jobs: &[Uuid], whose: Withdrawn<'_>, by: Uuid) -> sqlx::Result<Vec<Uuid>> {
    let (submission, cases) = match whose {
        Withdrawn::Submission(id) => (Some(id), None),
        Withdrawn::Cases(cases) => (None, Some(cases)),
    };
    sqlx::query(include_str!("sql/submissions/withdraw.sql"))
        .bind(jobs)
        .bind(by)
        .bind(submission)
        .bind(cases)
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
