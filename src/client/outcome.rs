//! What came of a submission: per photograph, per model, and in numbers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::counts::Counts;
use super::exit::Exit;
use super::problem::Problem;
use super::wire::{AcceptedImage, JobView, LookupItem, ResultView};

/// What came of a submission; `--json` prints it, the table and the report show it.
#[derive(Debug, Serialize)]
pub struct Outcome {
    /// Address of the server.
    pub server: String,
    /// Id of the submission, for `darkroom status` and the server's own pages.
    pub submission: String,
    /// The models asked for.
    pub models: Vec<String>,
    /// When the upload began, by this machine's clock.
    pub started_at: DateTime<Utc>,
    /// When the last answer came, by this machine's clock.
    pub finished_at: DateTime<Utc>,
    /// Whether the time for waiting ran out first.
    pub timed_out: bool,
    /// The files taken, in the order of the command line.
    pub photos: Vec<Photo>,
    /// The files not taken.
    pub rejected: Vec<Rejected>,
    /// All of it in numbers.
    pub counts: Counts,
}

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
    /// Whether the server saw these bytes for the first time.
    pub new: bool,
    /// What the server found odd about the file.
    pub warnings: Vec<Value>,
    /// One entry per model.
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
    pub job: JobView,
    /// The newest success; of a failed job, an earlier one.
    pub result: Option<ResultView>,
}

/// A file that was not taken.
#[derive(Debug, Serialize)]
pub struct Rejected {
    /// The path as given, for people.
    pub name: String,
    /// Why, and how to mend it.
    pub problem: Problem,
}

impl Outcome {
    /// The exit code that fits: a time-out weighs more than a failure.
    pub fn exit(&self) -> Exit {
        if self.timed_out {
            return Exit::TimedOut;
        }
        let bad = self.counts.failed + self.counts.cancelled + self.counts.rejected;
        if bad > 0 { Exit::SomeFailed } else { Exit::Success }
    }
}

impl Photo {
    /// Joins what the upload answered with what the look-up found, if it was asked.
    pub(super) fn put_in(mut self, accepted: AcceptedImage, found: Option<&LookupItem>) -> Self {
        let mut jobs: BTreeMap<String, PhotoJob> = BTreeMap::new();
        for job in accepted.jobs {
            let view = JobView { id: Some(job.id), state: job.state, ..JobView::default() };
            let entry = PhotoJob::of(&job.model, view, Some(job.outcome), found);
            jobs.insert(job.model, entry);
        }
        self.md5 = accepted.md5;
        self.new = accepted.new;
        self.warnings = accepted.warnings;
        self.jobs = jobs.into_values().collect();
        self
    }
}

impl PhotoJob {
    fn of(model: &str, told: JobView, outcome: Option<String>, found: Option<&LookupItem>) -> Self {
        let result = found.and_then(|found| found.results.get(model)).cloned();
        let job = match (found.and_then(|found| found.jobs.get(model)), &result) {
            (Some(job), _) => job.clone(),
            // An image's newest job may be known by its result alone.
            (None, Some(result)) => JobView {
                id: result.job.clone(),
                state: "succeeded".to_owned(),
                finished_at: result.finished_at,
                ..JobView::default()
            },
            (None, None) => told,
        };
        Self { model: model.to_owned(), outcome, job, result }
    }

    /// The entries of a look-up, one per model known for the image.
    pub(super) fn of_lookup(found: &LookupItem) -> Vec<Self> {
        let models: BTreeSet<&String> = found.jobs.keys().chain(found.results.keys()).collect();
        let entry = |model: &String| Self::of(model, JobView::default(), None, Some(found));
        models.into_iter().map(entry).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn exits_tell_time_outs_before_failures() {
        let outcome = |timed_out, failed, rejected| Outcome {
            server: String::new(),
            submission: String::new(),
            models: Vec::new(),
            started_at: Utc::now(),
            finished_at: Utc::now(),
            timed_out,
            photos: Vec::new(),
            rejected: Vec::new(),
            counts: Counts { failed, rejected, ..Counts::default() },
        };
        assert_eq!(outcome(false, 0, 0).exit(), Exit::Success);
        assert_eq!(outcome(false, 1, 0).exit(), Exit::SomeFailed);
        assert_eq!(outcome(false, 0, 1).exit(), Exit::SomeFailed);
        assert_eq!(outcome(true, 1, 1).exit(), Exit::TimedOut);
    }

    #[test]
    fn a_job_known_only_by_its_result_has_succeeded() {
        let found: LookupItem = serde_json::from_value(json!({"md5": "a",
            "results": {"m": {"version": "1", "job": "j"}},
            "jobs": {"ocr": {"state": "failed", "reason": "rejected", "error": {"message": "no"}}}}))
        .unwrap();
        let jobs = PhotoJob::of_lookup(&found);
        assert_eq!((jobs[0].job.state.as_str(), jobs[0].job.id.as_deref()), ("succeeded", Some("j")));
        assert_eq!(jobs[1].summary(), "rejected: no");
    }
}
