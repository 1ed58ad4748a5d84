//! Jobs as everybody sees them: states, reasons, and how the jobs of an image make one status.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

use super::image::ContentMd5;
use super::words::words;

/// `queued` → `running` → `succeeded` | `failed` | `cancelled`; an ended job never lives again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

words!(JobState { Queued "queued", Running "running", Succeeded "succeeded", Failed "failed", Cancelled "cancelled" });

impl JobState {
    pub const fn ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// What a worker said of one attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has a result.
    Succeeded,
    /// It failed and may be tried again.
    Retry,
    /// This image will never do.
    Rejected,
}

words!(Outcome { Succeeded "succeeded", Retry "retry", Rejected "rejected" });

/// Why a job is still queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Waiting {
    /// Nobody serves its model.
    NoLiveWorker,
    /// Its model is paused.
    Paused,
    /// It is to be tried again later.
    Backoff,
    /// As many jobs of its model run as may.
    Limit,
}

/// The type and message of a worker's error; its traceback is kept with the attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct JobError {
    #[serde(rename = "type")]
    #[schema(example = "ValueError")]
    pub kind: Option<String>,
    #[schema(example = "cannot decode")]
    pub message: Option<String>,
}

/// One job's state at one moment, as it is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = JobOut)]
pub struct JobStatus {
    pub id: Uuid,
    /// +1 with each of its transitions; a greater (id, version) is never followed by a lesser one.
    #[serde(skip)]
    pub version: i64,
    pub state: JobState,
    /// Of a failure: `rejected`, `exhausted`, `poisoned` or `expired`.
    pub reason: Option<String>,
    /// Why it is still queued. Found out when somebody asks.
    pub waiting: Option<Waiting>,
    pub attempt: i16,
    pub max_attempts: i16,
    /// 0…1, as its worker last said.
    pub progress: Option<f64>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    /// When a queued job is due.
    pub run_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub error: Option<JobError>,
}

impl JobStatus {
    /// As JSON.
    pub fn to_json(&self) -> String {
        // What only holds numbers, texts and times can always be written.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// A model's newest success on an image.
#[derive(Debug, Clone)]
pub struct Success {
    pub version: String,
    pub job: Uuid,
    pub finished_at: DateTime<Utc>,
    /// `{"items":[…],"fields":{…},"summary":null}`, as it is stored: nothing here looks into it.
    pub document: Box<RawValue>,
}

impl Success {
    /// As JSON, the parts of the document beside the rest.
    pub fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Head<'s> {
            version: &'s str,
            job: Uuid,
            finished_at: DateTime<Utc>,
        }
        let head = Head { version: &self.version, job: self.job, finished_at: self.finished_at };
        let mut json = serde_json::to_string(&head).unwrap_or_default();
        json.pop();
        json.push(',');
        json.push_str(self.document.get().trim_start_matches('{'));
        json
    }
}

/// Everything a look-up by MD5 answers from: per model the newest job and the newest success. They are passed on as they
/// were once written, from PostgreSQL through the mirror to whoever asks.
#[derive(Debug, Clone, Default)]
pub struct ImageStatus {
    pub jobs: BTreeMap<String, JobView>,
    pub results: BTreeMap<String, ResultView>,
}

impl ImageStatus {
    /// The whole answer to a look-up as JSON, in which nothing waits to be explained: for images whose jobs have all ended.
    pub fn finished_answer(&self, md5: ContentMd5) -> Option<String> {
        #[derive(Serialize)]
        struct WholeAnswer<'s> {
            md5: String,
            status: Overall,
            done: bool,
            results: BTreeMap<&'s str, &'s RawValue>,
            jobs: BTreeMap<&'s str, &'s RawValue>,
        }
        let status = Overall::of(self.jobs.values().map(|job| job.state));
        let told = WholeAnswer {
            md5: md5.to_string(),
            status,
            done: status.done(),
            results: self.results.iter().map(|(model, result)| (model.as_str(), &*result.json)).collect(),
            jobs: self.jobs.iter().map(|(model, job)| (model.as_str(), &*job.json)).collect(),
        };
        serde_json::to_string(&told).ok().filter(|_| status.done())
    }
}

/// A [`JobStatus`] as JSON, with what is needed without reading it.
#[derive(Debug, Clone)]
pub struct JobView {
    pub id: Uuid,
    /// Rises with every transition of the job.
    pub version: i64,
    pub state: JobState,
    pub json: Box<RawValue>,
}

/// A [`Success`] as JSON.
#[derive(Debug, Clone)]
pub struct ResultView {
    pub job: Uuid,
    pub json: Box<RawValue>,
}

impl JobView {
    pub fn new(job: &JobStatus) -> serde_json::Result<Self> {
        Ok(Self { id: job.id, version: job.version, state: job.state, json: RawValue::from_string(job.to_json())? })
    }

    /// The status, but for its version.
    pub fn read(&self) -> serde_json::Result<JobStatus> {
        serde_json::from_str(self.json.get())
    }
}

impl ResultView {
    pub fn new(success: &Success) -> serde_json::Result<Self> {
        Ok(Self { job: success.job, json: RawValue::from_string(success.to_json())? })
    }
}

/// The status of an image or a submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overall {
    Queued,
    Running,
    Succeeded,
    /// All ended, some succeeded.
    Partial,
    Failed,
    Cancelled,
}

words!(Overall {
    Queued "queued", Running "running", Succeeded "succeeded", Partial "partial", Failed "failed", Cancelled "cancelled"
});

impl Overall {
    /// Folds the states of the newest job per model; without any job there is nothing to wait for, and the
    /// status is `succeeded`.
    pub fn of(states: impl IntoIterator<Item = JobState>) -> Self {
        let mut count = [0usize; 5];
        for state in states {
            count[state as usize] += 1;
        }
        let [queued, running, succeeded, failed, cancelled] = count;
        match (queued + running, succeeded + failed + cancelled) {
            (0, ended) if succeeded == ended => Self::Succeeded,
            (0, _) if succeeded > 0 => Self::Partial,
            (0, ended) if cancelled == ended => Self::Cancelled,
            (0, _) => Self::Failed,
            (_, 0) if running == 0 => Self::Queued,
            _ => Self::Running,
        }
    }

    pub const fn done(self) -> bool {
        !matches!(self, Self::Queued | Self::Running)
    }
}

#[cfg(test)]
mod tests {
    use super::JobState::{Cancelled, Failed, Queued, Running, Succeeded};
    use super::*;

    #[test]
    fn the_jobs_of_an_image_make_one_status() {
        let cases: [(&[JobState], Overall); 10] = [
            (&[Queued, Queued], Overall::Queued),
            (&[Queued, Running], Overall::Running),
            (&[Queued, Succeeded], Overall::Running),
            (&[Running], Overall::Running),
            (&[Succeeded, Succeeded], Overall::Succeeded),
            (&[Succeeded, Failed], Overall::Partial),
            (&[Succeeded, Cancelled], Overall::Partial),
            (&[Failed, Cancelled], Overall::Failed),
            (&[Cancelled, Cancelled], Overall::Cancelled),
            (&[], Overall::Succeeded),
        ];
        for (states, expected) in cases {
            assert_eq!(Overall::of(states.iter().copied()), expected, "{states:?}");
        }
    }
}
