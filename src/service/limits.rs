//! The numbers that bound everything.

use std::time::Duration;

use crate::inspect::Bounds;
use crate::store::retention::{Days, Kind};

/// The numbers that bound everything.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How often a worker beats, in seconds.
    pub heartbeat_s: f64,
    /// How long a session lives after its last sign of life, in seconds.
    pub lease_s: f64,
    /// How long a client may be silent within a request.
    pub client_wait: Duration,
    /// How long the body of a request may take in all.
    pub body_wait: Duration,
    /// How long history is kept.
    pub keep: Keep,
    /// The largest result, in bytes of JSON.
    pub result_bytes_max: usize,
    /// The largest image file, in bytes.
    pub image_bytes_max: u64,
    /// The largest checkpoint or model of a training run, in bytes.
    pub artifact_bytes_max: u64,
    /// The largest upload request, in bytes.
    pub upload_bytes_max: u64,
    /// The largest export, in bytes.
    pub export_bytes_max: u64,
    /// How long an export is kept after it was made, in seconds.
    pub export_kept_s: f64,
    /// How many clients may be connected.
    pub connections_max: usize,
    /// Bytes of JSON bodies and answers under way, in all.
    pub bytes_in_flight_max: usize,
    /// Uploads under way, in all.
    pub uploads_max: usize,
    /// Claims that wait for work, in all.
    pub claims_waiting_max: usize,
    /// Look-ups that wait for an end, in all.
    pub lookups_waiting_max: usize,
    /// Streams of events, in all.
    pub streams_max: usize,
    /// The most files or hashes in one request.
    pub images_max: usize,
    /// The most image × model pairs in one request.
    pub jobs_max: usize,
    /// What an image may declare of itself.
    pub bounds: Bounds,
    /// How long a token is valid, in seconds.
    pub token_s: i64,
}

/// How many days each part of history is kept; for ever where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Images nobody uploaded again, with their titles, results and bytes.
    pub images: Option<u32>,
    pub results: Option<u32>,
    /// Errors and tracebacks.
    pub attempts: Option<u32>,
    /// Ended jobs, submissions, sessions of workers, and the events that tell of them.
    pub jobs: Option<u32>,
    /// Events, where they go sooner than ended jobs; they never stay longer.
    pub events: Option<u32>,
    /// Ended training runs with their metrics and files, but for those that are versions of models.
    pub runs: Option<u32>,
    /// Checkpoints of ended runs, where they go sooner than these; they never stay longer.
    pub checkpoints: Option<u32>,
}

impl Keep {
    /// What is not kept for ever.
    pub fn kinds(&self) -> Vec<(Kind, Days)> {
        let all = [
            (Kind::Images, self.images),
            (Kind::Results, self.results),
            (Kind::Attempts, self.attempts),
            (Kind::Submissions, self.jobs),
            (Kind::Sessions, self.jobs),
            // Before the jobs that they tell of.
            (Kind::Events, self.events.or(self.jobs)),
            (Kind::Jobs, self.jobs),
            // Before the runs that they are of; of runs that stay, too.
            (Kind::Checkpoints, self.checkpoints.or(self.runs)),
            (Kind::Runs, self.runs),
        ];
        all.into_iter().filter_map(|(kind, days)| Some((kind, Days(days?)))).collect()
    }
}
