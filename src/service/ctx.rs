//! The one context parameter of every use case.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, RwLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::auth::Tokens;
use super::batch::{self, Batcher};
use super::claim::{Taken, Taking};
use super::complete::{Accepted, Completion};
use super::lookup::{Load, Loaded};
use super::remember::Remembered;
use super::submit::{Committed, Order};
use crate::blob::Blobs;
use crate::domain::inspect::Bounds;
use crate::index::Index;
use crate::index::wake::Waiters;
use crate::store::accounts::Account;
use crate::store::keys::ApiKey;
use crate::store::retention::{Days, Kind};
use crate::store::workers::{Beat, Beaten, Standing, Touch};
use crate::store::{Db, models};

/// How long what is known of an account or key is trusted without asking: revocation takes no longer.
const STANDING_FRESH: Duration = Duration::from_secs(2);
/// How long it is trusted while PostgreSQL does not answer.
const STANDING_STALE: Duration = Duration::from_secs(5 * 60);
/// How old the picture of the models may be in answers to people.
const BOARD_FRESH: Duration = Duration::from_secs(1);

/// Everything a use case may need: capabilities, not configuration.
pub struct Ctx {
    pub db: Db,
    pub index: Arc<Index>,
    pub blobs: Blobs,
    pub waiters: Arc<Waiters>,
    /// This process among the replicas.
    pub replica: Uuid,
    pub limits: Limits,
    pub tokens: Tokens,
    pub clock: DbClock,
    pub accounts: Remembered<Uuid, Option<Account>>,
    pub keys: Remembered<String, Option<ApiKey>>,
    pub board: Remembered<(), Arc<HashMap<String, Gate>>>,
    pub batches: Batches,
    /// How many passwords are stretched at once: each takes a core and 19 MiB.
    pub stretching: tokio::sync::Semaphore,
    /// Sessions whose claims wait here, with how many claims each.
    waiting: Mutex<HashMap<Uuid, usize>>,
    /// Set when the process is about to stop: waiting requests answer at once.
    pub stopping: tokio::sync::watch::Receiver<bool>,
}

/// The numbers that bound everything; each has a default that suits a small installation.
#[derive(Debug, Clone)]
pub struct Limits {
    /// How often a worker beats, in seconds.
    pub heartbeat_s: f64,
    /// How long a session lives after its last sign of life, in seconds.
    pub lease_s: f64,
    /// How long a client may be silent within a request.
    pub client_wait: Duration,
    /// How long history is kept.
    pub keep: Keep,
    /// The largest result, in bytes of JSON.
    pub result_bytes_max: usize,
    /// The largest image file, in bytes.
    pub image_bytes_max: u64,
    /// The largest upload request, in bytes.
    pub upload_bytes_max: u64,
    /// The most files or hashes in one request.
    pub images_max: usize,
    /// The most image × model pairs in one request.
    pub jobs_max: usize,
    /// What an image may declare of itself.
    pub bounds: Bounds,
    /// How long a token is valid, in seconds.
    pub token_s: i64,
    /// Wrong passwords for one name from one address before a pause.
    pub logins_max: i32,
    /// How long failures are counted, in seconds.
    pub login_window_s: f64,
}

/// How many days each part of history is kept; for ever where nothing is said.
#[derive(Debug, Clone, Default)]
pub struct Keep {
    /// Images nobody uploaded again, with their titles, results and bytes.
    pub images: Option<u32>,
    pub results: Option<u32>,
    /// Errors and tracebacks.
    pub attempts: Option<u32>,
    /// Ended jobs, submissions, and sessions of workers.
    pub jobs: Option<u32>,
    /// The audit.
    pub events: Option<u32>,
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
            (Kind::Jobs, self.jobs),
            (Kind::Events, self.events),
        ];
        all.into_iter().filter_map(|(kind, days)| Some((kind, Days(days?)))).collect()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            heartbeat_s: 10.0,
            lease_s: 30.0,
            client_wait: Duration::from_secs(30),
            keep: Keep::default(),
            result_bytes_max: 1024 * 1024,
            image_bytes_max: 64 * 1024 * 1024,
            upload_bytes_max: 2 * 1024 * 1024 * 1024,
            images_max: 1000,
            jobs_max: 10_000,
            bounds: Bounds { max_pixels: 250_000_000, max_frames: 1_000, max_side: 65_535 },
            token_s: 12 * 60 * 60,
            logins_max: 10,
            login_window_s: 15.0 * 60.0,
        }
    }
}

/// What decides whether a model's jobs can move.
#[derive(Debug, Clone)]
pub struct Gate {
    pub paused: bool,
    pub workers: i64,
    /// Counted only under a limit.
    pub running: i64,
    pub max_running: Option<i32>,
}

/// The group commits, one for each kind of call: completions and beats do not wait behind submissions.
pub struct Batches {
    pub touches: Arc<Batcher<Touch, Option<Standing>>>,
    pub claims: Arc<Batcher<Taking, Taken>>,
    pub completions: Arc<Batcher<Completion, Vec<Option<Accepted>>>>,
    pub beats: Arc<Batcher<Beat, Option<Beaten>>>,
    /// Submissions of images that are stored.
    pub reruns: Arc<Batcher<Order, Committed>>,
    pub uploads: Arc<Batcher<Order, Committed>>,
    /// Look-ups that the mirror cannot answer.
    pub loads: Arc<Batcher<Load, Loaded>>,
    pub accounts: Arc<Batcher<Uuid, Option<Account>>>,
}

impl Default for Batches {
    /// A batch of 1,000 jobs takes PostgreSQL some tens of milliseconds, and a line of 20,000 is a second or two of work.
    /// One batch of claims and one of completions at once: while one commits, PostgreSQL works on the other, and the larger
    /// the batches, the less each job costs. Submissions are large by themselves.
    fn default() -> Self {
        const LIMITS: batch::Limits = batch::Limits { waiting: 20_000, weight: 1_000, at_once: 1, repeatable: false };
        // The same lease ends once, and a sign of life may come twice.
        const REPEATABLE: batch::Limits = batch::Limits { repeatable: true, ..LIMITS };
        const LARGE: batch::Limits = batch::Limits { at_once: 2, ..LIMITS };
        Self {
            touches: Batcher::new(REPEATABLE),
            claims: Batcher::new(LIMITS),
            completions: Batcher::new(REPEATABLE),
            beats: Batcher::new(REPEATABLE),
            reruns: Batcher::new(LARGE),
            uploads: Batcher::new(LARGE),
            loads: Batcher::new(batch::Limits { at_once: 2, ..REPEATABLE }),
            accounts: Batcher::new(REPEATABLE),
        }
    }
}

impl Ctx {
    #[expect(clippy::too_many_arguments, reason = "called once, by the composition root")]
    pub fn new(
        db: Db,
        index: Arc<Index>,
        blobs: Blobs,
        waiters: Arc<Waiters>,
        replica: Uuid,
        limits: Limits,
        tokens: Tokens,
        stopping: tokio::sync::watch::Receiver<bool>,
    ) -> Self {
        Self {
            db,
            index,
            blobs,
            waiters,
            replica,
            limits,
            tokens,
            clock: DbClock::default(),
            accounts: Remembered::new(STANDING_FRESH, STANDING_STALE),
            keys: Remembered::new(STANDING_FRESH, STANDING_STALE),
            board: Remembered::new(BOARD_FRESH, STANDING_STALE),
            batches: Batches::default(),
            stretching: tokio::sync::Semaphore::new(2),
            waiting: Mutex::default(),
            stopping,
        }
    }

    /// Notes that a session waits here, until the guard is dropped: it is kept alive meanwhile.
    pub fn waiting_session(&self, session: Uuid) -> WaitingSession<'_> {
        *self.waiting.lock().unwrap_or_else(|e| e.into_inner()).entry(session).or_default() += 1;
        WaitingSession { ctx: self, session }
    }

    /// The sessions that wait here now.
    pub fn waiting_sessions(&self) -> Vec<Uuid> {
        self.waiting.lock().unwrap_or_else(|e| e.into_inner()).keys().copied().collect()
    }

    /// The gates of all models, at most [`BOARD_FRESH`] old while PostgreSQL answers.
    pub async fn gates(&self) -> super::Result<Arc<HashMap<String, Gate>>> {
        let read = || async {
            let mut db = self.db.pool().acquire().await?;
            let models = models::gates(&mut db).await?;
            Ok(Arc::new(
                models
                    .into_iter()
                    .map(|m| {
                        (
                            m.name,
                            Gate {
                                paused: m.paused,
                                workers: m.workers,
                                running: m.running,
                                max_running: m.max_running,
                            },
                        )
                    })
                    .collect(),
            ))
        };
        self.board.get(&(), || self.db.within(read())).await
    }

    /// The gates as they are now: before somebody is refused because of them.
    pub async fn fresh_gates(&self) -> super::Result<Arc<HashMap<String, Gate>>> {
        self.board.forget(&());
        self.gates().await
    }
}

/// A session's claim that waits; see [`Ctx::waiting_session`].
pub struct WaitingSession<'c> {
    ctx: &'c Ctx,
    session: Uuid,
}

impl Drop for WaitingSession<'_> {
    fn drop(&mut self) {
        let mut waiting = self.ctx.waiting.lock().unwrap_or_else(|e| e.into_inner());
        if let Some(count) = waiting.get_mut(&self.session) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.session);
            }
        }
    }
}

/// The database's clock as last read, carried forward by the monotonic one of this machine.
#[derive(Default)]
pub struct DbClock(RwLock<Option<(DateTime<Utc>, Instant)>>);

impl DbClock {
    /// Notes a time that the database just told.
    pub fn anchor(&self, now: DateTime<Utc>) {
        *self.0.write().unwrap_or_else(|e| e.into_inner()) = Some((now, Instant::now()));
    }

    /// The database's time by now; nothing before the first reading.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        let (told, at) = (*self.0.read().unwrap_or_else(|e| e.into_inner()))?;
        told.checked_add_signed(chrono::TimeDelta::from_std(at.elapsed()).ok()?)
    }
}
