//! The pure model: what Darkroom promises of its jobs and sessions, without SQL, time or network.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::training::Work;

/// The models: `fast` has no back-off, `slow` one that never passes within a case.
pub const MODELS: [&str; 2] = ["fast", "slow"];
pub const IMAGES: usize = 3;
pub const USERS: usize = 2;
/// The first shares its key with the second; the third has another.
pub const WORKERS: usize = 3;
/// A slot is a key of the single flight: image × model × one of two params.
pub const SLOTS: usize = IMAGES * MODELS.len() * 2;
/// Runs train on this, which counts as one more model; its limit is fixed. Each has a slot of its own, after the others.
pub const DATASET: &str = "digits";
pub const RUNS: usize = 3;
pub const ALL_SLOTS: usize = SLOTS + RUNS;
pub const MAX_ATTEMPTS: i16 = 2;
pub const DEATHS_MAX: i16 = 3;

/// The state of a slot's newest job, as the table's columns name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    Absent,
    Queued,
    /// Queued, not due.
    Later,
    /// Queued, due, and to be claimed alone.
    Suspect,
    Running,
    /// Running as a suspect.
    Solo,
    Succeeded,
    Failed,
    Cancelled,
}

impl State {
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Absent, "absent"),
        (Self::Queued, "queued"),
        (Self::Later, "later"),
        (Self::Suspect, "suspect"),
        (Self::Running, "running"),
        (Self::Solo, "solo"),
        (Self::Succeeded, "succeeded"),
        (Self::Failed, "failed"),
        (Self::Cancelled, "cancelled"),
    ];

    pub fn running(self) -> bool {
        matches!(self, Self::Running | Self::Solo)
    }

    pub fn ended(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }

    pub fn live(self) -> bool {
        !self.ended() && self != Self::Absent
    }

    /// As the HTTP interface names it.
    pub fn public(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Queued | Self::Later | Self::Suspect => "queued",
            Self::Running | Self::Solo => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// A row of `job` or `job_archive`, the part that the model decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub state: String,
    pub reason: Option<String>,
    pub attempt: i16,
    pub deaths: i16,
    pub lease_no: i64,
    pub session: Option<Uuid>,
    pub claim: Option<Uuid>,
    /// False in the archive, as `suspect` is.
    pub due: bool,
    pub suspect: bool,
    pub retry_of: Option<Uuid>,
}

/// A lease that ended without a success or a final failure.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    pub session: usize,
    pub lease_no: i64,
    pub how: How,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    Retry,
    Released,
    /// Replayed, lost, past its deadline or cancelled: nobody is told that it was accepted.
    Taken,
}

#[derive(Debug, Clone)]
pub struct Job {
    /// Nil until the answer that made the job told it.
    pub id: Uuid,
    pub slot: usize,
    pub state: State,
    pub reason: Option<&'static str>,
    /// Also while it runs, or waits out a back-off.
    pub suspect: bool,
    /// Not due because of a failure, which an attaching request does not cut short.
    pub backing_off: bool,
    /// Its `finish_by` lies in the past.
    pub overdue: bool,
    /// Its attempt's deadline lies in the past.
    pub late: bool,
    pub attempt: i16,
    pub deaths: i16,
    pub lease_no: i64,
    pub session: Option<usize>,
    pub claim: Option<Uuid>,
    pub retry_of: Option<usize>,
    /// Per user: whether they asked, and whether they still wait.
    pub asked: [Option<bool>; USERS],
    /// An administrator had it tried again, and so waits for it.
    pub redriven: bool,
    /// It has ended, and what it came to is kept no longer.
    pub forgotten: bool,
    pub past: Vec<Past>,
    /// Of a run.
    pub work: Work,
    /// The lease whose completion ended it.
    pub winner: Option<(usize, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Left,
    Lost,
}

#[derive(Debug, Clone)]
pub struct Session {
    pub id: Uuid,
    pub model: usize,
    pub worker: usize,
    /// Its `alive_until` lies in the past; any sign of life mends that until it is given up.
    pub late: bool,
    pub end: Option<End>,
    /// Kept free for a suspect.
    pub reserved: bool,
    pub last_claim: Option<Uuid>,
}

/// Who asked for which job under which submission.
#[derive(Debug, Clone, Copy)]
pub struct Submission {
    pub id: Uuid,
    pub user: usize,
    pub slot: usize,
    pub job: usize,
}

#[derive(Debug, Clone)]
pub struct Model {
    pub jobs: Vec<Job>,
    pub sessions: Vec<Session>,
    pub submissions: Vec<Submission>,
    /// The same of runs.
    pub starts: Vec<Submission>,
    pub paused: [bool; 3],
    /// How many jobs of each model may run at once.
    pub limits: [Option<usize>; 3],
    /// Which users have a title to which images.
    pub titles: [[bool; IMAGES]; USERS],
    /// Some job was put off by a jittered back-off.
    pub jittered: bool,
}

impl Default for Model {
    fn default() -> Self {
        Self {
            jobs: Vec::new(),
            sessions: Vec::new(),
            submissions: Vec::new(),
            starts: Vec::new(),
            paused: [false; 3],
            limits: [None, None, Some(1)],
            titles: Default::default(),
            jittered: false,
        }
    }
}

pub fn is_run(slot: usize) -> bool {
    slot >= SLOTS
}

pub fn image_of(slot: usize) -> usize {
    slot / 4
}

pub fn model_of(slot: usize) -> usize {
    if is_run(slot) { MODELS.len() } else { slot / 2 % 2 }
}

pub fn variant_of(slot: usize) -> usize {
    slot % 2
}

impl Model {
    pub fn newest(&self, slot: usize) -> Option<usize> {
        self.jobs.iter().rposition(|job| job.slot == slot)
    }

    pub fn state(&self, slot: usize) -> State {
        self.newest(slot).map_or(State::Absent, |job| self.jobs[job].state)
    }

    /// The job whose result answers a submission that does not insist.
    pub fn result(&self, slot: usize) -> Option<usize> {
        self.jobs.iter().rposition(|job| job.slot == slot && job.state == State::Succeeded && !job.forgotten)
    }

    /// The running jobs of a session.
    pub fn held(&self, session: usize) -> Vec<usize> {
        (0..self.jobs.len())
            .filter(|&j| self.jobs[j].state.running() && self.jobs[j].session == Some(session))
            .collect()
    }

    /// The newest session of a model's worker.
    pub fn session_of(&self, model: usize, worker: usize) -> usize {
        self.sessions
            .iter()
            .rposition(|s| s.model == model && s.worker == worker)
            .expect("every worker registers first")
    }

    /// How many more jobs of a model may run, under a limit.
    pub fn room(&self, model: usize) -> Option<usize> {
        let running = self.jobs.iter().filter(|job| job.state.running() && model_of(job.slot) == model).count();
        Some(self.limits[model]?.saturating_sub(running))
    }

    fn of_model(&self, model: usize, state: State) -> Vec<usize> {
        (0..self.jobs.len()).filter(|&j| model_of(self.jobs[j].slot) == model && self.jobs[j].state == state).collect()
    }

    pub fn is_anything_suspected(&self) -> bool {
        self.jobs.iter().any(|job| matches!(job.state, State::Suspect | State::Solo))
    }

    pub fn suspects(&self, model: usize) -> Vec<usize> {
        self.of_model(model, State::Suspect)
    }

    pub fn claimable(&self, model: usize) -> Vec<usize> {
        self.of_model(model, State::Queued)
    }

    /// The rows that the database must hold.
    pub fn rows(&self) -> BTreeMap<Uuid, Row> {
        let row = |job: &Job| {
            let held_or_won = job.session.or(job.winner.map(|w| w.0));
            let row = Row {
                state: job.state.public().to_owned(),
                reason: job.reason.map(str::to_owned),
                attempt: job.attempt,
                deaths: job.deaths,
                lease_no: job.lease_no,
                session: held_or_won.map(|s| self.sessions[s].id),
                claim: job.claim,
                due: job.state.live() && job.state != State::Later,
                suspect: job.state.live() && job.suspect,
                retry_of: job.retry_of.map(|of| self.jobs[of].id),
            };
            (job.id, row)
        };
        self.jobs.iter().map(row).collect()
    }
}
