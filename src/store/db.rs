//! The pools, and the only ways to use them: [`Db::read`], [`Db::run`] and [`Db::write`] own the bound in time, the guard of
//! the connection, and the transaction.

use std::time::Duration;

use futures_util::FutureExt;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Connection, PgConnection, PgPool, Postgres};

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

/// A pool of connections, which connects when first used.
#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
}

impl Db {
    /// For whatever goes alone, over at most so many connections.
    pub fn common(options: PgConnectOptions, connections: u32) -> Self {
        let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_WAIT);
        Self { pool: pool.connect_lazy_with(session_settings(options)) }
    }

    /// For the group commits: nothing else can use up their connections.
    pub fn hot(options: PgConnectOptions, connections: u32) -> Self {
        let pool = PgPoolOptions::new().max_connections(connections).acquire_timeout(ACQUIRE_WAIT);
        // A connection is not asked whether it lives, which is one more journey for every batch: what fails for a lost
        // one is told, or carried out again.
        let pool = pool.test_before_acquire(false);
        Self { pool: pool.connect_lazy_with(session_settings(options).options(HOT_PLANS)) }
    }

    /// Looks things up.
    pub async fn read<T, E: From<sqlx::Error>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run(work).await
    }

    /// Looks things up for as long as it takes: for a command that a person waits for.
    pub async fn read_at_leisure<T, E: From<sqlx::Error>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        // Never handed back, and so closed: no other use shall be without a time-out.
        let mut connection = InUse(Some(self.pool.acquire().await?));
        sqlx::query("SET statement_timeout = 0").execute(connection.get()?).await?;
        work(connection.get()?).await
    }

    /// Carries statements out, each of which commits by itself: for one alone, or where what is cut off in between does no
    /// harm.
    pub async fn run<T, E: From<sqlx::Error>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        within(async {
            let mut connection = InUse(Some(self.pool.acquire().await?));
            let done = work(connection.get()?).await;
            connection.hand_back();
            done
        })
        .await
    }

    /// Carries statements out in a transaction, which is committed at the end; an error rolls it back.
    pub async fn write<T, E: From<sqlx::Error>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run(async |connection| {
            let mut tx = connection.begin().await?;
            let done = work(&mut tx).await?;
            tx.commit().await?;
            Ok(done)
        })
        .await
    }

    /// How many connections are open, and how many of them idle.
    pub fn connections(&self) -> (u32, usize) {
        (self.pool.size(), self.pool.num_idle())
    }

    /// The pool itself, for tests that look on from outside.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}

/// One connection of its own: unlike a pool, it says at once why there is none.
pub async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let late = |_| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "it does not answer").into());
    tokio::time::timeout(CALL_WAIT, PgConnection::connect_with(options)).await.unwrap_or_else(late)
}

/// Puts a bound of [`CALL_WAIT`] on what waits for the database.
// Not async, which would hold the work twice.
pub fn within<T, E: From<sqlx::Error>>(work: impl Future<Output = Result<T, E>>) -> impl Future<Output = Result<T, E>> {
    let timed_out = |_| Err(sqlx::Error::PoolTimedOut.into());
    tokio::time::timeout(CALL_WAIT, work).map(move |done| done.unwrap_or_else(timed_out))
}

/// A connection in use. One that is dropped before it is handed back was cut short in the middle of something: it is closed,
/// for the pool would ask it whether it lives, without a bound, and keep its place meanwhile.
struct InUse(Option<PoolConnection<Postgres>>);

impl InUse {
    fn get(&mut self) -> sqlx::Result<&mut PgConnection> {
        self.0.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Gives it back to the pool, which rolls back what was left open; one that does not answer to that is closed.
    fn hand_back(mut self) {
        if let Some(mut connection) = self.0.take() {
            tokio::spawn(tokio::time::timeout(CALL_WAIT, connection.return_to_pool()));
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.0 {
            connection.close_on_drop();
        }
    }
}

/// The statements of the group commits find every row by its key, and are planned once: so planned that a table which
/// was empty a moment ago, or whose statistics are old, does not make them walk over it. What they are given to look up
/// ends with LIMIT and its length, which the planner takes for one row: it compares no list with a whole table.
const HOT_PLANS: [(&str, &str); 5] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_bitmapscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
];

fn session_settings(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("darkroom").options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        ("timezone", "UTC"),
        // No statement here runs long enough to gain by these.
        ("jit", "off"),
        ("max_parallel_workers_per_gather", "0"),
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

/// Constraints that a statement breaks when another transaction was faster: its job was made, or its claim served.
const CROSSED: [&str; 3] = ["job_single_flight", "claim_open_range", "request_pkey"];

/// Whether another transaction crossed this one, so that the same again finds what the other did: a deadlock, or one of
/// [`CROSSED`].
pub fn is_crossed(error: &sqlx::Error) -> bool {
    let Some(database) = error.as_database_error() else { return false };
    database.code().is_some_and(|code| code.starts_with("40"))
        || database.constraint().is_some_and(|name| CROSSED.contains(&name))
}

/// Whether a value was refused by its type (class 22, data exception).
pub fn is_bad_value(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code.starts_with("22"))
}
