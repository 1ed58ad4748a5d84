//! Redis: a rebuildable hint beside the truth in PostgreSQL. Every call has a defined answer while Redis is
//! away, and nothing here is ever asked what is so.
//!
//! One connection, behind a circuit breaker: the first call that fails or takes too long opens it, everybody
//! falls back at once, and [`Index::connect`] closes it again from the background.

pub mod keys;
pub mod queue;
pub mod status;
pub mod wake;

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};

use crate::domain::image::ContentMd5;

/// How long connecting may take.
const CONNECT_WAIT: Duration = Duration::from_millis(500);
/// Replies outstanding on the one connection before callers wait their turn.
const PIPELINE_DEPTH: usize = 1024;
/// Commands sent in one go: a large request must not look like a slow Redis.
const PIPELINE_MAX: usize = 200;
/// How many images with missed changes are remembered.
const MISSED_MAX: usize = 100_000;

/// The index of all models' queues and all images' statuses.
pub struct Index {
    client: Client,
    namespace: String,
    /// How long any call may take before Redis counts as away.
    call_wait: Duration,
    live: RwLock<Option<Live>>,
    /// Set when a pop met a queue that nobody vouches for.
    mistrust: AtomicBool,
    connections: AtomicU64,
    /// Images of which a change could not be mirrored while Redis was away.
    missed: Mutex<HashSet<ContentMd5>>,
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
    pub fn new(url: &str, namespace: &str, call_wait: Duration) -> Result<Self, RedisError> {
        Ok(Self {
            client: Client::open(url)?,
            namespace: namespace.to_owned(),
            call_wait,
            live: RwLock::new(None),
            mistrust: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            missed: Mutex::default(),
        })
    }

    /// Whether calls reach Redis at the moment.
    pub fn is_live(&self) -> bool {
        self.current().is_some()
    }

    /// Opens a connection and reads which run of which Redis answers, at each connect.
    pub async fn connect(&self) -> Result<(MultiplexedConnection, String), RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_WAIT))
            .set_response_timeout(Some(self.call_wait))
            .set_pipeline_buffer_size(PIPELINE_DEPTH);
        let mut connection = self.client.get_multiplexed_async_connection_with_config(&config).await?;
        let info: String = redis::cmd("INFO").arg("server").query_async(&mut connection).await?;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:")).unwrap_or("unknown");
        Ok((connection, run_id.trim().to_owned()))
    }

    /// Takes the statuses that missed a change out of a Redis that is the one of before; false when there are too many
    /// to tell, and only a new epoch helps.
    pub async fn drop_missed(&self, connection: &mut MultiplexedConnection, epoch: &str) -> Result<bool, RedisError> {
        let missed: Vec<ContentMd5> = {
            let mut missed = self.missed.lock().unwrap_or_else(|e| e.into_inner());
            if missed.len() >= MISSED_MAX {
                return Ok(false);
            }
            missed.drain().collect()
        };
        let dropped = self.drop_from(connection, epoch, &missed).await;
        if dropped.is_err() {
            // They are as stale at the next try.
            self.miss(missed);
        }
        dropped.map(|()| true)
    }

    /// Takes out what missed a change while Redis was there but would not write, or came back just then.
    pub async fn make_up(&self) {
        let missed: Vec<ContentMd5> = {
            let mut missed = self.missed.lock().unwrap_or_else(|e| e.into_inner());
            if missed.len() >= MISSED_MAX {
                // Connecting again takes up a new epoch.
                *self.live.write().unwrap_or_else(|e| e.into_inner()) = None;
                return;
            }
            missed.drain().collect()
        };
        self.drop_statuses(&missed).await;
    }

    /// Forgets what missed a change: its epoch is over.
    pub fn forget_missed(&self) {
        self.missed.lock().unwrap_or_else(|e| e.into_inner()).clear();
    }

    async fn drop_from(
        &self,
        connection: &mut MultiplexedConnection,
        epoch: &str,
        images: &[ContentMd5],
    ) -> Result<(), RedisError> {
        for images in images.chunks(PIPELINE_MAX) {
            let mut pipe = redis::pipe();
            for md5 in images {
                pipe.del(keys::status(&self.namespace, *md5, epoch)).ignore();
            }
            pipe.query_async::<()>(connection).await?;
        }
        Ok(())
    }

    /// Notes images whose change was not mirrored.
    fn miss(&self, images: impl IntoIterator<Item = ContentMd5>) {
        let mut missed = self.missed.lock().unwrap_or_else(|e| e.into_inner());
        for md5 in images {
            if missed.len() < MISSED_MAX {
                missed.insert(md5);
            }
        }
    }

    /// Starts to use a connection whose content belongs to this epoch.
    pub fn trust(&self, connection: MultiplexedConnection, epoch: &str) {
        let mut live = self.live.write().unwrap_or_else(|e| e.into_inner());
        let generation = self.connections.fetch_add(1, Ordering::Relaxed);
        *live = Some(Live { connection, epoch: epoch.into(), generation });
    }

    /// Asks Redis for a sign of life; a failure opens the circuit like that of any other call.
    pub async fn ping(&self) -> bool {
        self.run(async |live| redis::cmd("PING").query_async::<String>(&mut live.connection).await).await.is_some()
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

    fn current(&self) -> Option<Live> {
        self.live.read().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// Runs a call, or answers nothing: Redis is away, or this call found it so.
    async fn run<T>(&self, call: impl AsyncFnOnce(&mut Live) -> Result<T, RedisError>) -> Option<T> {
        let mut live = self.current()?;
        let generation = live.generation;
        match tokio::time::timeout(self.call_wait, call(&mut live)).await {
            Ok(Ok(value)) => Some(value),
            Ok(Err(error)) => {
                tracing::warn!(%error, "redis call failed; going on without its answer");
                // An answer that says no is still an answer.
                if error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error() {
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
        let mut live = self.live.write().unwrap_or_else(|e| e.into_inner());
        if live.as_ref().is_some_and(|l| l.generation == generation) {
            *live = None;
        }
    }
}
