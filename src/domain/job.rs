//! Jobs as everybody sees them: states, reasons, and how the jobs of an image make one status.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

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

impl JobState {
    pub const ALL: [Self; 5] = [Self::Queued, Self::Running, Self::Succeeded, Self::Failed, Self::Cancelled];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

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

impl Outcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Retry => "retry",
            Self::Rejected => "rejected",
        }
    }
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

/// One job's state at one moment, with the event that made it so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStatus {
    pub id: Uuid,
    /// Its newest event; a mirror never replaces a greater (id, event) by a lesser one.
    pub event: i64,
    pub state: JobState,
    pub reason: Option<String>,
    pub attempt: i16,
    pub max_attempts: i16,
    pub progress: Option<f64>,
    pub created_at: DateTime<Utc>,
    pub started_at: Option<DateTime<Utc>>,
    pub run_at: Option<DateTime<Utc>>,
    pub finished_at: Option<DateTime<Utc>>,
    pub error: Option<JobError>,
}

/// A model's newest success on an image.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Success {
    pub version: String,
    pub job: Uuid,
    pub finished_at: DateTime<Utc>,
    /// `{"items":[…],"fields":{…},"summary":null}`, as it is stored: nothing here looks into it.
    pub document: Box<RawValue>,
}

/// Everything a look-up by MD5 answers from: per model the newest job and the newest success.
#[derive(Debug, Clone, Default)]
pub struct ImageStatus {
    pub jobs: BTreeMap<String, JobStatus>,
    pub results: BTreeMap<String, Success>,
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
