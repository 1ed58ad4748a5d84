//! Redis: a rebuildable hint beside the truth in PostgreSQL. Every call has a defined answer while Redis is
//! away, and nothing here is ever asked what is so. Who writes it can cost time, and no more: a popped job is looked up before it is
//! claimed, a wake-up makes somebody look, and what it mirrors of rights and results is sealed.
//!
//! One connection, behind a circuit breaker: the first call that fails or takes too long opens it, everybody
//! falls back at once, and [`Index::connect`] and [`Index::trust`] close it again from the background. It stays open as
//! long as Redis still shows what it should have forgotten.

mod floor;
pub mod keys;
mod pack;
pub mod queue;
mod seal;
pub mod status;
pub mod wake;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ConnectionInfo, RedisError};

use self::floor::Floor;
pub use self::seal::Seal;
use crate::domain::image::ContentMd5;

/// How long connecting may take.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
/// Replies outstanding on the one connection before callers wait their turn.
const PIPELINE_DEPTH: usize = 1024;
/// Commands sent in one go: a large request must not look like a slow Redis.
const PIPELINE_MAX: usize = 200;
/// How long the key of a probe may stay, in seconds.
const PROBE_S: u64 = 10;
/// How many images are owed at most, some 5 MB; with more, everything mirrored is given up.
const OWED_MAX: usize = 100_000;

/// The index of all models' queues and all images' statuses.
pub struct Index {
    client: Client,
    namespace: String,
    seal: Seal,
    /// How long any call may take before Redis counts as away.
    call_wait: Duration,
    live: RwLock<Option<Live>>,
    /// Set when a pop met a queue that nobody vouches for.
    mistrust: AtomicBool,
    /// How many values under a wrong seal were met since this was last asked.
    forged: AtomicU64,
    connections: AtomicU64,
    /// Whether this replica listens to the others.
    listens: AtomicBool,
    /// Whether no other replica listened when this one last looked.
    alone: AtomicBool,
    /// Images whose statuses could not be taken away. While there are any, no connection is live.
    owed: Mutex<HashSet<ContentMd5>>,
    /// What mirrored statuses must not be behind.
    floor: Mutex<Floor>,
    /// The run of the Redis that was last trusted, and the epoch of what it held.
    last: Mutex<Option<(String, Arc<str>)>>,
    /// Whether another replica may change what is so without being able to say so here.
    cautious: AtomicBool,
}

/// A connection to a Redis whose content belongs to an epoch.
#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    epoch: Arc<str>,
    /// Tells connections apart, so that a late failure of an old one does not close a new one.
    generation: u64,
}

impl Index {
    /// An index that is away until [`Index::connect`] and [`Index::trust`].
    pub fn new(redis: ConnectionInfo, namespace: &str, seal: Seal, call_wait: Duration) -> Result<Self, RedisError> {
        Ok(Self {
            client: Client::open(redis)?,
            namespace: namespace.to_owned(),
            seal,
            call_wait,
            live: RwLock::new(None),
            mistrust: AtomicBool::new(false),
            forged: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            listens: AtomicBool::new(false),
            alone: AtomicBool::new(false),
            owed: Mutex::default(),
            floor: Mutex::new(Floor::new()),
            last: Mutex::default(),
            cautious: AtomicBool::new(false),
        })
    }

    /// Whether calls reach Redis at the moment.
    pub fn is_live(&self) -> bool {
        self.current().is_some()
    }

    /// Whether any call has ever been able to reach Redis.
    pub fn has_been_live(&self) -> bool {
        self.connections.load(Ordering::Relaxed) > 0
    }

    /// Opens a connection, sees that it can be written to, and reads which run of which Redis answers, at each connect.
    pub async fn connect(&self) -> Result<(MultiplexedConnection, String), RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WAIT))
            .set_response_timeout(Some(self.call_wait))
            .set_pipeline_buffer_size(PIPELINE_DEPTH);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        self.write_probe().query_async::<()>(&mut connection).await?;
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or("unknown");
        Ok((connection, run_id.trim().to_owned()))
    }

    /// What only a Redis that takes writes answers: one that is full, follows another or lacks its own followers does not.
    fn write_probe(&self) -> redis::Pipeline {
        let mut pipe = redis::pipe();
        let key = keys::probe(&self.namespace);
        pipe.set_ex(&key, 1, PROBE_S).ignore();
        pipe.unlink(&key).ignore();
        pipe
    }

    /// The run of the Redis that was last trusted.
    pub fn last_run(&self) -> Option<String> {
        self.last().map(|(run, _)| run)
    }

    fn last(&self) -> Option<(String, Arc<str>)> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on mirrors nothing for long, or does again: another replica may change what is so without being able to say so.
    pub fn be_cautious(&self, cautious: bool) {
        self.cautious.store(cautious, Ordering::Relaxed);
    }

    fn is_cautious(&self) -> bool {
        self.cautious.load(Ordering::Relaxed)
    }

    /// Starts to use a connection to a run of Redis whose content belongs to this epoch, once everything owed is taken away.
    pub async fn trust(&self, mut connection: MultiplexedConnection, run: &str, epoch: &str) -> Result<(), RedisError> {
        loop {
            let owed: Vec<ContentMd5> = {
                let mut owed = self.owed();
                if owed.is_empty() {
                    // Under the lock, so that nothing is owed to a live connection.
                    let generation = self.connections.fetch_add(1, Ordering::Relaxed);
                    self.alone.store(false, Ordering::Relaxed);
                    let epoch: Arc<str> = epoch.into();
                    *self.last.lock().unwrap_or_else(PoisonError::into_inner) =
                        Some((run.to_owned(), Arc::clone(&epoch)));
                    self.set_live(Some(Live { connection, epoch, generation }));
                    return Ok(());
                }
                owed.drain().collect()
            };
            // The transactions that owe them may still be under way.
            if let Err(error) = self.mark_in(&mut connection, epoch, &owed).await {
                self.owe(&owed);
                return Err(error);
            }
        }
    }

    /// Notes statuses that could not be taken away, and gives up the connection: reading on would show them.
    fn owe(&self, images: &[ContentMd5]) {
        let mut owed = self.owed();
        for md5 in images {
            if owed.len() < OWED_MAX {
                owed.insert(*md5);
            }
        }
        self.set_live(None);
    }

    /// Whether anything is owed.
    pub fn owes(&self) -> bool {
        !self.owed().is_empty()
    }

    /// Whether more is owed than is remembered, so that only a new epoch helps.
    pub fn owes_too_much(&self) -> bool {
        self.owed().len() >= OWED_MAX
    }

    /// Forgets what is owed: its epoch is over.
    pub fn forget_owed(&self) {
        self.owed().clear();
    }

    fn owed(&self) -> MutexGuard<'_, HashSet<ContentMd5>> {
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn floor(&self) -> MutexGuard<'_, Floor> {
        self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_live(&self, live: Option<Live>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = live;
    }

    /// The epoch of the connection in use.
    pub fn epoch(&self) -> Option<Arc<str>> {
        self.current().map(|live| live.epoch)
    }

    /// Gives up the connection, as when another epoch has begun.
    pub fn disconnect(&self) {
        self.set_live(None);
    }

    /// The eviction policy, to warn about at start.
    pub async fn eviction_policy(&self) -> Option<String> {
        let reply = self
            .run(async |live| {
                redis::cmd("CONFIG")
                    .arg("GET")
                    .arg("maxmemory-policy")
                    .query_async::<Vec<String>>(&mut live.connection)
                    .await
            })
            .await?;
        reply.into_iter().nth(1)
    }

    /// Whether a pop met a queue that nobody vouches for since this was last asked.
    pub fn take_mistrust(&self) -> bool {
        self.mistrust.swap(false, Ordering::Relaxed)
    }

    /// How many mirrored values were not sealed here, since this was last asked.
    pub fn take_forged(&self) -> u64 {
        self.forged.swap(0, Ordering::Relaxed)
    }

    fn current(&self) -> Option<Live> {
        self.live.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Runs a call, or answers nothing: Redis is away, or this call found it so.
    async fn run<T>(&self, call: impl AsyncFnOnce(&mut Live) -> Result<T, RedisError>) -> Option<T> {
        let mut live = self.current()?;
        let generation = live.generation;
        match tokio::time::timeout(self.call_wait, call(&mut live)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                tracing::warn!(%error, "redis call failed; going on without its answer");
                // An answer that says no is still an answer, unless it says no to everybody.
                if error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() || is_refusal(&error) {
                    self.lose(generation);
                }
                None
            }
            Err(_) => {
                tracing::warn!(
                    wait_ms = self.call_wait.as_millis() as u64,
                    "redis does not answer; going on without it"
                );
                self.lose(generation);
                None
            }
        }
    }

    fn lose(&self, generation: u64) {
        let mut live = self.live.write().unwrap_or_else(PoisonError::into_inner);
        if live.as_ref().is_some_and(|l| l.generation == generation) {
            *live = None;
        }
    }
}

/// Codes of a Redis that takes no writes, or none of ours: what it reads out may be old, and what it is told is lost.
const REFUSALS: [&str; 9] =
    ["READONLY", "NOREPLICAS", "MISCONF", "OOM", "NOPERM", "NOAUTH", "LOADING", "MASTERDOWN", "CLUSTERDOWN"];

fn is_refusal(error: &RedisError) -> bool {
    // A script wraps the code of what it called.
    let text = error.to_string();
    REFUSALS.iter().any(|code| error.code() == Some(code) || text.contains(code))
}
