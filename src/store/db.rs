//! The pools, how a transaction is opened, and what an error of PostgreSQL means.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, PgTransaction};
use tracing::Instrument;

/// How long a request waits for a free connection before it is told to come again.
pub const ACQUIRE_WAIT: Duration = Duration::from_secs(3);

/// How long any one use of the database may take, seen from here: a stopped server answers nothing. A request waits
/// at most five seconds in all; the rest is for what comes before.
pub const CALL_WAIT: Duration = Duration::from_secs(4);

/// How long PostgreSQL works on one statement before it gives up by itself.
const STATEMENT_TIMEOUT: &str = "10s";

/// How long a statement waits for a lock.
const LOCK_TIMEOUT: &str = "3s";

/// A safety net under transactions whose client vanished.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";

/// Connections of the group commits, besides those of the pool: as many as run at once.
pub const HOT_CONNECTIONS: u32 = 11;

/// The pools, and the one way to open a transaction.
#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
    hot: PgPool,
}

impl Db {
    /// A pool of at most `connections` that connects when first used.
    pub fn new(options: PgConnectOptions, connections: u32) -> Self {
        let pool = |connections| PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_WAIT);
        let options = session_settings(options);
        let hot = options.clone().options(HOT_PLANS);
        Self {
            // A connection is not asked whether it lives, which is one more journey for every batch: what fails for a lost
            // one is told, or carried out again.
            hot: pool(HOT_CONNECTIONS).test_before_acquire(false).connect_lazy_with(hot),
            pool: pool(connections).connect_lazy_with(options),
        }
    }

    /// For the group commits only: nothing else can use up their connections.
    pub fn hot(&self) -> &PgPool {
        &self.hot
    }

    /// For single statements.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Opens a transaction in a task of its own: sqlx up to 0.9.0 leaves a connection inside an open
    /// transaction when `begin` is cancelled, and here a client may hang up at any await.
    pub async fn begin(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        begin(self.pool.clone()).await
    }

    /// The same for the group commits.
    pub async fn begin_hot(&self) -> Result<PgTransaction<'static>, sqlx::Error> {
        begin(self.hot.clone()).await
    }

    /// Puts a bound of [`CALL_WAIT`] on a use of the database.
    // Not async, which would hold the work twice.
    pub fn within<T, E: From<sqlx::Error>>(
        &self,
        work: impl Future<Output = Result<T, E>>,
    ) -> impl Future<Output = Result<T, E>> {
        let timed_out = |_| Err(sqlx::Error::PoolTimedOut.into());
        tokio::time::timeout(CALL_WAIT, work).map(move |done| done.unwrap_or_else(timed_out))
    }
}

async fn begin(pool: PgPool) -> Result<PgTransaction<'static>, sqlx::Error> {
    #[expect(clippy::disallowed_methods, reason = "this is the wrapper that the lint points to")]
    tokio::spawn(async move { pool.begin().await }.in_current_span())
        .await
        .map_err(|e| sqlx::Error::Io(std::io::Error::other(e)))?
}

/// The statements of the group commits find every row by its key, and are planned once: so planned that a table which
/// was empty a moment ago, or whose statistics are old, does not make them walk over it. What they are given to look up
/// ends with LIMIT and its length, which the planner takes for one row: it compares no list with a whole table.
const HOT_PLANS: [(&str, &str); 6] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("jit", "off"),
];

fn session_settings(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("darkroom").options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        ("timezone", "UTC"),
    ])
}

/// The named constraint that a failed statement broke, if one is the cause.
pub fn broken_constraint(error: &sqlx::Error) -> Option<&str> {
    error.as_database_error()?.constraint()
}

/// Whether the database could not be reached or was too busy, so that the same call may work later.
pub fn is_unavailable(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::Protocol(_) => true,
        // Class 08 connection, 53 resources, 57 operator intervention, 40 rollback, 55P03 lock timeout.
        sqlx::Error::Database(e) => e.code().is_some_and(|code| {
            ["08", "53", "57", "40"].iter().any(|class| code.starts_with(class)) || code == "55P03" || code == "25006"
        }),
        _ => false,
    }
}

/// Whether a value was refused by its type (class 22, data exception).
pub fn is_bad_value(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code.starts_with("22"))
}
