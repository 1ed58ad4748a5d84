//! What this replica read from PostgreSQL and did not put into the mirror: until the transition that made it so has taken
//! the mirrored status away, nobody is answered from one that is behind it.

use std::collections::HashMap;
use std::mem;
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::domain::image::ContentMd5;
use crate::domain::job::ImageStatus;

/// How long a note counts at least: a transition that is not told is forgotten as fast, with the status that it changed.
const NOTED_FOR: Duration = Duration::from_secs(15);
/// The most images noted in half of that time, some 2 MB; beyond it the oldest are forgotten sooner.
const IMAGES_MAX: usize = 10_000;

/// Per model the newest job and its version.
type Jobs = Vec<(String, Uuid, i64)>;

/// The notes, in two generations.
pub(super) struct Floor {
    new: HashMap<ContentMd5, Jobs>,
    old: HashMap<ContentMd5, Jobs>,
    since: Instant,
}

impl Floor {
    pub(super) fn new() -> Self {
        Self { new: HashMap::new(), old: HashMap::new(), since: Instant::now() }
    }

    /// Notes what was read.
    pub(super) fn note(&mut self, md5: ContentMd5, status: &ImageStatus) {
        if self.since.elapsed() > NOTED_FOR || self.new.len() >= IMAGES_MAX {
            self.old = mem::take(&mut self.new);
            self.since = Instant::now();
        }
        let jobs = status.jobs.iter().map(|(model, job)| (model.clone(), job.id, job.version)).collect();
        self.new.insert(md5, jobs);
    }

    /// Whether anything is noted of an image that still counts.
    pub(super) fn knows(&self, md5: ContentMd5) -> bool {
        self.since.elapsed() < 2 * NOTED_FOR && (self.new.contains_key(&md5) || self.old.contains_key(&md5))
    }

    /// Whether a status is behind what was noted of its image.
    pub(super) fn is_above(&self, md5: ContentMd5, status: &ImageStatus) -> bool {
        let Some(noted) = self.new.get(&md5).or_else(|| self.old.get(&md5)) else { return false };
        let is_behind = |(model, id, version): &(String, Uuid, i64)| match status.jobs.get(model) {
            Some(job) => (job.id, job.version) < (*id, *version),
            None => true,
        };
        noted.iter().any(is_behind)
    }
}
