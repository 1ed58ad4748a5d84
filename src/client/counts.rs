//! A submission in numbers.

use std::collections::{BTreeSet, HashMap};

use indicatif::HumanBytes;
use serde::Serialize;

use super::outcome::{Photo, RejectedPhoto, SkippedFile};
use super::text;
use crate::api::submissions::StateCounts;
use crate::domain::job::JobState;

/// Files, images and jobs in numbers.
///
/// Jobs are counted once, however many of the files hold the same bytes.
#[derive(Debug, Default, Serialize)]
pub struct PhotoCounts {
    /// Files taken.
    pub files: usize,
    /// Different images among them.
    pub images: usize,
    /// Bytes of the files taken.
    pub bytes: u64,
    /// Files with the bytes of another one.
    pub duplicates: usize,
    /// Files not taken.
    pub rejected: usize,
    /// Files not sent: no photographs.
    pub skipped: usize,
    /// Jobs altogether.
    pub jobs: usize,
    /// Jobs made by this submission.
    pub computed_now: usize,
    /// Jobs answered by an earlier result.
    pub cached: usize,
    /// Jobs that somebody else already waited for.
    pub attached: usize,
    #[serde(flatten)]
    pub states: StateCounts,
}

/// Counts photographs and their jobs, each job once.
pub fn count(photos: &[Photo], rejected: &[RejectedPhoto], skipped: &[SkippedFile]) -> PhotoCounts {
    let mut jobs: HashMap<(&str, &str), (JobState, Vec<&str>)> = HashMap::new();
    for photo in photos {
        for job in &photo.jobs {
            let entry = jobs.entry((&photo.md5, &job.model)).or_insert((job.job.state, Vec::new()));
            entry.0 = job.job.state;
            entry.1.extend(job.outcome.as_deref());
        }
    }
    let images: BTreeSet<&str> = photos.iter().map(|photo| photo.md5.as_str()).collect();
    let mut states = StateCounts::default();
    jobs.values().for_each(|(state, _)| states.add(*state, 1));
    // The second of two equal files attaches to the job that the first one made.
    let rank = |outcomes: &[&str]| ["created", "attached", "finished"].into_iter().find(|name| outcomes.contains(name));
    let by = |outcome| jobs.values().filter(|(_, all)| rank(all) == Some(outcome)).count();
    PhotoCounts {
        files: photos.len(),
        images: images.len(),
        bytes: photos.iter().map(|photo| photo.bytes).sum(),
        duplicates: photos.len() - images.len(),
        rejected: rejected.len(),
        skipped: skipped.len(),
        jobs: jobs.len(),
        computed_now: by("created"),
        cached: by("finished"),
        attached: by("attached"),
        states,
    }
}

impl PhotoCounts {
    /// The numbers as two lines for people; what is zero and unexpected is left out.
    pub fn lines(&self) -> String {
        let mut states = Vec::new();
        let named = [
            (self.states.succeeded, "succeeded"),
            (self.states.failed, "failed"),
            (self.states.cancelled, "cancelled"),
            (self.states.running, "running"),
            (self.states.queued, "queued"),
        ];
        for (n, name) in named {
            if n > 0 || name == "succeeded" || name == "failed" {
                states.push(format!("{name} {n}"));
            }
        }
        let files = text::count(self.files, "file");
        let images = text::count(self.images, "image");
        let jobs = text::count(self.jobs, "job");
        let origin = [
            format!("new {}", self.computed_now),
            format!("cached {}", self.cached),
            format!("attached {}", self.attached),
        ];
        format!(
            "{files} ({images}, {}), {jobs}: {}\n{}; files: rejected {}, duplicate {}, skipped {}",
            HumanBytes(self.bytes),
            states.join(", "),
            origin.join(", "),
            self.rejected,
            self.duplicates,
            self.skipped
        )
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::json;

    use super::*;

    fn photo(md5: &str, state: &str, outcome: &str) -> Photo {
        let id = "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f";
        let image = json!({"index": 0, "name": null, "md5": md5, "sha256": "", "bytes": 1, "new": true, "warnings": [],
            "jobs": [{"id": id, "model": "m", "state": state, "outcome": outcome}]});
        Photo::taken("a.jpg".to_owned(), PathBuf::new(), serde_json::from_value(image).unwrap(), None)
    }

    #[test]
    fn equal_files_are_one_image_and_one_job() {
        let photos =
            [photo("a", "succeeded", "attached"), photo("a", "succeeded", "created"), photo("b", "failed", "finished")];
        let counts = count(&photos, &[], &[]);
        assert_eq!((counts.files, counts.images, counts.jobs), (3, 2, 2));
        assert_eq!((counts.computed_now, counts.cached, counts.attached), (1, 1, 0));
        assert_eq!((counts.states.succeeded, counts.states.failed), (1, 1));
    }
}
