//! Jobs in detail and in lists, for those who may see them.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
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
    /// Nothing of a run.
    pub image_id: Option<i64>,
    pub queue_id: i32,
    pub params_id: i64,
    pub md5: Option<Vec<u8>>,
    /// What its queue is called: a model's name, or `dataset/` and a dataset's.
    pub path: String,
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
    /// Whether it was asked for in a case of who asks.
    pub asked: bool,
    /// Whether it is a run that who asks started.
    pub own_run: bool,
}

impl JobRecord {
    /// Whether it was asked for in a case of who asks, or started by them.
    pub fn requested(&self) -> bool {
        self.own_run || self.asked
    }

    /// What it was asked for, if it is no run.
    pub fn wanted(&self) -> Option<(Wanted, ContentMd5)> {
        let md5 = ContentMd5::try_from(self.md5.clone()?).ok()?;
        Some((Wanted { image_id: self.image_id?, queue_id: self.queue_id, params_id: self.params_id }, md5))
    }

    /// The name of its model, if it has one, or else that of its dataset.
    pub fn subject(&self) -> (Option<&str>, Option<&str>) {
        match self.path.strip_prefix("dataset/") {
            None => (Some(&self.path), None),
            dataset => (None, dataset),
        }
    }
}

/// Who asks for jobs.
#[derive(Debug, Clone)]
pub struct Asker {
    pub account: Uuid,
    /// The cases of which they are a member; nothing for who sees all.
    pub cases: Option<Vec<Uuid>>,
}

/// One job, whoever asks; the caller judges by `requested` and `model_owner`.
pub async fn find(db: &mut PgConnection, id: Uuid, asker: &Asker) -> sqlx::Result<Option<JobRecord>> {
    Ok(find_all(db, &[id], asker, &Filter::default()).await?.pop())
}

/// Which of these cases asked for which of these jobs, in order: whatever number of times each was asked for.
pub async fn asked_in(db: &mut PgConnection, jobs: &[Uuid], cases: &[Uuid]) -> sqlx::Result<Vec<(Uuid, Uuid)>> {
    // OFFSET 0: by the requests for each job, not through all submissions to the cases.
    sqlx::query_as(
        "SELECT DISTINCT w.job, s.case_id
         FROM unnest($1::uuid[]) AS w (job)
         CROSS JOIN LATERAL (SELECT submission_id FROM request WHERE job_id = w.job OFFSET 0) AS r
         CROSS JOIN LATERAL (SELECT case_id FROM submission WHERE id = r.submission_id OFFSET 0) AS s
         WHERE s.case_id = ANY($2) ORDER BY 1, 2",
    )
    .bind(jobs)
    .bind(cases)
    .fetch_all(db)
    .await
}

/// Those of these jobs that are there and that the filter's state, reason and last word let pass, in their order.
async fn find_all(db: &mut PgConnection, ids: &[Uuid], asker: &Asker, filter: &Filter) -> sqlx::Result<Vec<JobRecord>> {
    let mut found: Vec<JobRecord> = sqlx::query_as(include_str!("sql/jobs/find.sql"))
        .bind(ids)
        .bind(&asker.cases)
        .bind(filter.state)
        .bind(filter.reason.as_deref())
        .bind(filter.last_word)
        .bind(asker.account)
        .persistent(false)
        .fetch_all(db)
        .await?;
    let places: HashMap<Uuid, usize> = ids.iter().enumerate().map(|(place, id)| (*id, place)).collect();
    found.sort_by_key(|job| places.get(&job.status.id));
    Ok(found)
}

/// What a list of jobs is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub model: Option<String>,
    pub state: Option<&'static str>,
    pub reason: Option<String>,
    pub md5: Option<ContentMd5>,
    pub submission: Option<Uuid>,
    /// The place that the page before gave.
    pub after: Option<JobPlace>,
    /// Only jobs after which nothing was tried for their image and model, nor is under way.
    pub last_word: bool,
}

/// Where a list of jobs goes on. First come those that were asked for, newest request first; then those of models, or of all,
/// newest job first.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub enum JobPlace {
    /// After this request.
    Asked(RequestPlace),
    /// After the job of this id.
    Made(Uuid),
}

/// A request among those of one's cases.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, FromRow)]
pub struct RequestPlace {
    at: DateTime<Utc>,
    submission: Uuid,
    image: i64,
    queue: i32,
    params: i64,
}

impl RequestPlace {
    const START: Self = Self {
        at: DateTime::<Utc>::MAX_UTC,
        submission: Uuid::max(),
        image: i64::MAX,
        queue: i32::MAX,
        params: i64::MAX,
    };
}

/// A page of jobs. One that is short is not the last while there is a next place: a walk looks at a bounded number of
/// candidates, however few of them were looked for.
#[derive(Debug, Default)]
pub struct JobsPage {
    pub jobs: Vec<JobRecord>,
    pub next: Option<JobPlace>,
}

/// How many requests one page looks at, each of whose jobs is found by its key.
const REQUESTS_LOOKED_AT: i64 = 2_000;
/// How many jobs one page looks at along their ids, where many lie in one block.
const JOBS_LOOKED_AT: i64 = 20_000;

/// Jobs from the filter's place on. Who asks sees those that were asked for in their cases and, where neither an image nor a submission
/// is named, then those of models that they own; who sees all, all.
pub async fn list(db: &mut PgConnection, asker: &Asker, filter: &Filter, limit: i64) -> sqlx::Result<JobsPage> {
    let named = filter.md5.is_some() || filter.submission.is_some();
    let mut queue = None;
    if let Some(model) = &filter.model {
        queue = queue_of(db, model).await?;
        if queue.is_none() {
            return Ok(JobsPage::default());
        }
    }
    let narrowed = asker.cases.is_some();
    let queues = match narrowed {
        _ if named => Some(Vec::new()),
        true => Some(queues_owned(db, asker.account, queue).await?),
        false => queue.map(|queue| vec![queue]),
    };
    let look = JobLook { asker, queue, queues, filter, limit };
    match filter.after {
        Some(JobPlace::Made(after)) if !named => look.made(db, after, limit).await,
        Some(JobPlace::Asked(after)) if named || narrowed => look.asked(db, after).await,
        _ if named || narrowed => look.asked(db, RequestPlace::START).await,
        _ => look.made(db, Uuid::max(), limit).await,
    }
}

async fn queue_of(db: &mut PgConnection, model: &str) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar("SELECT id FROM queue WHERE kind = 'model' AND name = $1").bind(model).fetch_optional(db).await
}

async fn queues_owned(db: &mut PgConnection, owner: Uuid, only: Option<i32>) -> sqlx::Result<Vec<i32>> {
    sqlx::query_scalar("SELECT id FROM queue WHERE kind = 'model' AND owner = $1 AND ($2::integer IS NULL OR id = $2)")
        .bind(owner)
        .bind(only)
        .fetch_all(db)
        .await
}

/// A request that a walk came by, with its job, if it is to be looked at.
#[derive(FromRow)]
struct Candidate {
    #[sqlx(flatten)]
    place: RequestPlace,
    job: Option<Uuid>,
}

/// One look for jobs.
struct JobLook<'f> {
    asker: &'f Asker,
    /// Only jobs of this queue.
    queue: Option<i32>,
    /// Whose jobs are told besides those that were asked for; nothing for all.
    queues: Option<Vec<i32>>,
    filter: &'f Filter,
    limit: i64,
}

impl JobLook<'_> {
    /// Jobs that were asked for, newest request first: more and more candidates at once, until the page is full or enough
    /// were looked at; then those of the queues.
    async fn asked(&self, db: &mut PgConnection, mut after: RequestPlace) -> sqlx::Result<JobsPage> {
        let mut jobs: Vec<JobRecord> = Vec::new();
        let (mut looked, mut most) = (0, self.limit);
        while looked < REQUESTS_LOOKED_AT {
            let candidates = self.walk(db, after, most).await?;
            let mut found = self.find_asked(db, &candidates).await?;
            let room = self.limit - jobs.len() as i64;
            if found.len() as i64 > room {
                found.truncate(room as usize);
                let last = found.last().map(|job| job.status.id);
                let place = candidates.iter().find(|candidate| candidate.job == last).map(|candidate| candidate.place);
                jobs.extend(found);
                return Ok(JobsPage { jobs, next: place.map(JobPlace::Asked) });
            }
            jobs.extend(found);
            if (candidates.len() as i64) < most {
                let rest = self.made(db, Uuid::max(), self.limit - jobs.len() as i64).await?;
                jobs.extend(rest.jobs);
                return Ok(JobsPage { jobs, next: rest.next });
            }
            if let Some(last) = candidates.last() {
                after = last.place;
            }
            if jobs.len() as i64 == self.limit {
                break;
            }
            looked += most;
            most = (4 * most).min(REQUESTS_LOOKED_AT);
        }
        Ok(JobsPage { jobs, next: Some(JobPlace::Asked(after)) })
    }

    async fn walk(&self, db: &mut PgConnection, after: RequestPlace, most: i64) -> sqlx::Result<Vec<Candidate>> {
        let walk = match self.filter.md5 {
            None => include_str!("sql/jobs/asked.sql"),
            Some(_) => include_str!("sql/jobs/asked_of_image.sql"),
        };
        // Planned for what is given: only so is the index for it found.
        let walk = sqlx::query_as(walk).persistent(false);
        let walk = walk.bind(&self.asker.cases).bind(self.filter.submission).bind(after.at).bind(after.submission);
        let walk = match self.filter.md5 {
            None => walk.bind(after.image),
            Some(md5) => walk.bind(md5.0.to_vec()),
        };
        walk.bind(after.queue).bind(after.params).bind(self.queue).bind(most).fetch_all(db).await
    }

    /// The jobs of these candidates that are looked for, each at the newest request for it.
    async fn find_asked(&self, db: &mut PgConnection, candidates: &[Candidate]) -> sqlx::Result<Vec<JobRecord>> {
        let ids: Vec<Uuid> = candidates.iter().filter_map(|candidate| candidate.job).collect();
        let mut found = find_all(db, &ids, self.asker, self.filter).await?;
        if self.filter.submission.is_none() && !found.is_empty() {
            let kept: HashSet<Uuid> = found.iter().map(|job| job.status.id).collect();
            let of = |candidate: &Candidate| Some((candidate.job?, candidate.place.at, candidate.place.submission));
            let came: Vec<_> = candidates.iter().filter_map(of).filter(|(job, ..)| kept.contains(job)).collect();
            let first: Vec<Uuid> = sqlx::query_scalar(include_str!("sql/jobs/told_first.sql"))
                .bind(&self.asker.cases)
                .bind(came.iter().map(|(job, ..)| *job).collect::<Vec<_>>())
                .bind(came.iter().map(|(_, at, _)| *at).collect::<Vec<_>>())
                .bind(came.iter().map(|(.., submission)| *submission).collect::<Vec<_>>())
                .fetch_all(db)
                .await?;
            let first: HashSet<Uuid> = first.into_iter().collect();
            found.retain(|job| first.contains(&job.status.id));
        }
        Ok(found)
    }

    /// Jobs of the queues, newest first, but for those that were asked for in the cases of who asks, which were told before.
    async fn made(&self, db: &mut PgConnection, after: Uuid, limit: i64) -> sqlx::Result<JobsPage> {
        if self.queues.as_ref().is_some_and(Vec::is_empty) {
            return Ok(JobsPage::default());
        }
        if limit == 0 {
            return Ok(JobsPage { jobs: Vec::new(), next: Some(JobPlace::Made(after)) });
        }
        let only = self.queues.as_ref().and_then(|queues| if let [only] = queues[..] { Some(only) } else { None });
        let walked: Vec<(Uuid, bool)> = sqlx::query_as(include_str!("sql/jobs/newest.sql"))
            .persistent(false)
            .bind(&self.queues)
            .bind(only)
            .bind(self.filter.state)
            .bind(self.filter.reason.as_deref())
            .bind(after)
            .bind(JOBS_LOOKED_AT)
            .bind(limit)
            .fetch_all(&mut *db)
            .await?;
        // Full, or cut off.
        let last = walked.last().filter(|(_, found)| walked.len() as i64 == limit || !found);
        let next = last.map(|(id, _)| JobPlace::Made(*id));
        let ids: Vec<Uuid> = walked.iter().filter(|(_, found)| *found).map(|(id, _)| *id).collect();
        let mut jobs = find_all(db, &ids, self.asker, self.filter).await?;
        jobs.retain(|job| self.asker.cases.is_none() || !job.requested());
        Ok(JobsPage { jobs, next })
    }
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
