//! The one context parameter of every use case.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use uuid::Uuid;

use super::accounts::Tokens;
use super::batch::{self, Batcher};
use super::cache::Cache;
use super::clock::DbClock;
use super::limits::Limits;
use super::status::{Load, Loaded};
use super::submit::{Committed, Order};
use super::waiters::Waiters;
use super::work::{Accepted, Completion, Taken, Taking};
use crate::blob::Blobs;
use crate::index::Index;
use crate::store::Db;
use crate::store::accounts::Account;
use crate::store::keys::ApiKey;
use crate::store::queues::Gate;
use crate::store::workers::{Beat, Beaten, Standing, Touch};

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
    pub accounts: Cache<Uuid, Option<Account>>,
    pub keys: Cache<String, Option<ApiKey>>,
    pub board: Cache<(), Arc<HashMap<String, Gate>>>,
    pub batches: Batches,
    /// How many passwords are stretched at once: each takes a core and 19 MiB.
    pub stretching: tokio::sync::Semaphore,
    /// Set when the process is about to stop: waiting requests answer at once.
    pub stopping: tokio::sync::watch::Receiver<bool>,
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
            accounts: Cache::new(STANDING_FRESH, STANDING_STALE),
            keys: Cache::new(STANDING_FRESH, STANDING_STALE),
            board: Cache::new(BOARD_FRESH, STANDING_STALE),
            batches: Batches::default(),
            stretching: tokio::sync::Semaphore::new(2),
            stopping,
        }
    }
}
