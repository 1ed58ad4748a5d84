//! What came of a submission: per photograph, per model, and in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::api::status::{ResultOut, StatusItem};
use crate::api::submit::SubmittedImage;
use crate::domain::job::{JobError, JobState, JobStatus, Waiting};

/// A file that was taken.
#[derive(Debug, Serialize)]
pub struct Photo {
    /// The path as given, for people.
    pub name: String,
    /// The local file.
    #[serde(skip)]
    pub path: PathBuf,
    /// 32 lower-case hex digits; equal for files of the same bytes.
    pub md5: String,
    /// Size of the file.
    pub bytes: u64,
    /// The first of the files with the same bytes, if that is another.
    pub duplicate_of: Option<String>,
    /// Whether the server saw these bytes for the first time.
    pub new: bool,
    /// What the server found odd about the file.
    pub warnings: Vec<String>,
    /// One entry per model, by its name.
    pub jobs: Vec<PhotoJob>,
}

/// What a model made of a photograph.
#[derive(Debug, Serialize)]
pub struct PhotoJob {
    /// The model's name.
    pub model: String,
    /// How the submission came by it: `created`, `attached` or `finished` (answered from the cache).
    pub outcome: Option<String>,
    /// The job as last seen.
    pub job: SeenJob,
    /// The newest success; of a failed job, an earlier one.
    pub result: Option<ResultOut>,
}

/// A job as far as the client saw it.
#[derive(Debug, Clone, Serialize)]
pub struct SeenJob {
    /// The job's id.
    pub id: Uuid,
    /// Its state, perhaps of the moment of the upload.
    pub state: JobState,
    /// Why it failed: `rejected`, `exhausted`, `poisoned`, `expired`.
    pub reason: Option<String>,
    /// Why it is still queued.
    pub waiting: Option<Waiting>,
    /// The present or last attempt, from 1.
    pub attempt: Option<i16>,
    /// How many attempts it may take.
    pub max_attempts: Option<i16>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// What the worker said went wrong.
    pub error: Option<JobError>,
}

/// A file that was not taken.
#[derive(Debug, Serialize)]
pub struct RejectedPhoto {
    /// The path as given, for people.
    pub name: String,
    /// Why, and how to mend it.
    pub problem: Problem,
}

/// A file that was not sent, because it is no photograph.
#[derive(Debug, Serialize)]
pub struct SkippedFile {
    /// The path as given, for people.
    pub name: String,
    /// Why it was not sent.
    pub reason: SkipReason,
}

/// Why a file is no photograph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// It begins like no format that is known.
    NotAnImage,
    /// It has no bytes.
    Empty,
    /// A pipe, a socket or a device.
    NotAFile,
    /// A link that leads nowhere, or in a circle.
    BrokenLink,
    /// A link to a folder, which is not followed.
    LinkedFolder,
}

impl SkipReason {
    /// Said of such files.
    pub const fn told(self) -> &'static str {
        match self {
            Self::NotAnImage => "not an image, by its content",
            Self::Empty => "empty",
            Self::NotAFile => "a pipe, a socket or a device",
            Self::BrokenLink => "a link that leads nowhere",
            Self::LinkedFolder => "a link to a folder: name it to have it followed",
        }
    }
}

/// What a look-up found of an image.
#[derive(Debug)]
pub struct LookedUp {
    /// 32 lower-case hex digits, or what was sent in place of them.
    pub md5: String,
    /// The newest job per model.
    pub jobs: BTreeMap<String, JobStatus>,
    /// The newest success per model.
    pub results: BTreeMap<String, ResultOut>,
    /// Why nothing is known.
    pub problem: Option<Problem>,
}

impl TryFrom<StatusItem> for LookedUp {
    type Error = serde_json::Error;

    fn try_from(item: StatusItem) -> serde_json::Result<Self> {
        let jobs = item.jobs.iter().map(|(model, job)| Ok((model.clone(), serde_json::from_str(job.get())?)));
        let results = item.results.iter().map(|(model, one)| Ok((model.clone(), serde_json::from_str(one.get())?)));
        Ok(Self {
            jobs: jobs.collect::<serde_json::Result<_>>()?,
            results: results.collect::<serde_json::Result<_>>()?,
            md5: item.md5,
            problem: item.problem,
        })
    }
}

impl LookedUp {
    /// One entry per model known for the image.
    pub fn jobs(&self) -> Vec<PhotoJob> {
        let models: BTreeSet<&String> = self.jobs.keys().chain(self.results.keys()).collect();
        let entry = |model: &String| {
            let (job, result) = self.seen(model)?;
            Some(PhotoJob { model: model.clone(), outcome: None, job, result })
        };
        models.into_iter().filter_map(entry).collect()
    }

    /// An image's newest job may be known by its result alone.
    fn seen(&self, model: &str) -> Option<(SeenJob, Option<ResultOut>)> {
        let result = self.results.get(model);
        let job = match (self.jobs.get(model), result) {
            (Some(job), _) => SeenJob {
                reason: job.reason.clone(),
                waiting: job.waiting,
                attempt: Some(job.attempt),
                max_attempts: Some(job.max_attempts),
                finished_at: job.finished_at,
                error: job.error.clone(),
                ..SeenJob::new(job.id, job.state)
            },
            (None, Some(result)) => {
                SeenJob { finished_at: Some(result.finished_at), ..SeenJob::new(result.job, JobState::Succeeded) }
            }
            (None, None) => return None,
        };
        Some((job, result.cloned()))
    }
}

impl SeenJob {
    const fn new(id: Uuid, state: JobState) -> Self {
        Self {
            id,
            state,
            reason: None,
            waiting: None,
            attempt: None,
            max_attempts: None,
            finished_at: None,
            error: None,
        }
    }
}

impl Photo {
    /// A file that the server took: what the upload answered, and what the look-up found if it was asked.
    pub fn taken(name: String, path: PathBuf, image: SubmittedImage, found: Option<&LookedUp>) -> Self {
        let mut jobs: BTreeMap<String, PhotoJob> = BTreeMap::new();
        for told in image.jobs {
            let seen = found.and_then(|found| found.seen(&told.model));
            let (job, result) = seen.unwrap_or((SeenJob::new(told.id, told.state), None));
            let outcome = Some(told.outcome.into_owned());
            jobs.insert(told.model.clone(), PhotoJob { model: told.model, outcome, job, result });
        }
        Self {
            name,
            path,
            md5: image.md5,
            bytes: image.bytes,
            duplicate_of: None,
            new: image.new,
            warnings: image.warnings,
            jobs: jobs.into_values().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_job_known_only_by_its_result_has_succeeded() {
        let id = "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f";
        let item = json!({"md5": "a", "status": "partial", "done": true, "problem": null, "later": 1,
            "results": {"m": {"version": "1", "job": id, "finished_at": "2026-11-22T09:00:01Z", "items": [], "fields": {},
                "summary": null, "later": 1}},
            "jobs": {"ocr": {"id": id, "state": "failed", "reason": "rejected", "waiting": null, "attempt": 1, "max_attempts": 5,
                "progress": null, "created_at": "2026-11-22T09:00:00Z", "started_at": null, "run_at": null,
                "finished_at": null, "error": {"type": null, "message": "no"}, "later": 1}}});
        let item: StatusItem = serde_json::from_str(&item.to_string()).unwrap();
        let jobs = LookedUp::try_from(item).unwrap().jobs();
        assert_eq!((jobs[0].job.state, jobs[0].job.id.to_string().as_str()), (JobState::Succeeded, id));
        assert_eq!(jobs[1].summary(), "rejected: no");
    }
}
