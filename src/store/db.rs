//! The pools, and the only ways to use them: [`Db::run`] and [`Db::write`] own the bound in time, the guard of the connection, and
//! the transaction.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use parking_lot::Mutex;
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
/// The same for one of a search, which then answers what it has: within [`CALL_WAIT`], with the others before it.
const SEARCH_TIMEOUT: &str = "1500ms";
/// How long a statement waits for a lock.
const LOCK_TIMEOUT: &str = "3s";
/// A safety net under transactions whose client vanished.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "10s";
/// How long a connection may take to say that it lives: less than the wait for a free one, so that another can be opened.
const TEST_WAIT: Duration = Duration::from_secs(1);
/// How long a connection for the group commits is trusted unasked: one that was silent for longer may have died unnoticed.
const TRUSTED_FOR: Duration = Duration::from_secs(2);
/// The connections of what keeps leases right, in short statements: rescue, what comes due, and the waiting.
const UPKEEP_CONNECTIONS: u32 = 3;
/// The connections of the rest of the maintenance, which may be slow, and whose loops wait for each other rather than more work beside
/// the jobs.
pub const CHORE_CONNECTIONS: u32 = 5;
/// The connections of what microservices ask that goes alone. Each is busy for milliseconds: one is asked whether it serves, and a claim
/// under a limit, which waits its turn, leaves two to the others.
pub const WORK_CONNECTIONS: u32 = 4;
/// The connections of searches, which may each keep PostgreSQL busy for a second: as many at once, and other pages wait for none.
pub const SEARCH_CONNECTIONS: u32 = 4;

/// A pool of connections, which connects when first used.
#[derive(Clone, Debug)]
pub struct Db {
    pool: PgPool,
    doubt: Doubt,
}

impl Db {
    /// For people, over at most so many connections: what they ask may take long.
    pub fn common(options: PgConnectOptions, connections: u32) -> Self {
        Self::new(session_settings(options), "darkroom", connections, Duration::ZERO)
    }

    /// For the group commits: nothing else can use up their connections. To ask whether one lives is one more journey for
    /// every batch, and is done only where there is doubt.
    pub fn hot(options: PgConnectOptions, connections: u32) -> Self {
        Self::new(session_settings(options).options(HOT_PLANS), "darkroom-hot", connections, TRUSTED_FOR)
    }

    /// For what microservices ask that goes alone, and for what all of it needs to be told of images, params and models: no page
    /// that somebody reads can use up its connections.
    pub fn work(options: PgConnectOptions) -> Self {
        Self::new(session_settings(options), "darkroom-work", WORK_CONNECTIONS, Duration::ZERO)
    }

    /// For searches: planned like the group commits, whatever the statistics say; but some of their indexes only make maps.
    pub fn search(options: PgConnectOptions) -> Self {
        let own = [("enable_bitmapscan", "on"), ("statement_timeout", SEARCH_TIMEOUT)];
        let options = session_settings(options).options(HOT_PLANS).options(own);
        Self::new(options, "darkroom-search", SEARCH_CONNECTIONS, Duration::ZERO)
    }

    /// For what keeps leases right, which must not wait behind anything else.
    pub fn upkeep(options: PgConnectOptions) -> Self {
        Self::new(session_settings(options), "darkroom-upkeep", UPKEEP_CONNECTIONS, Duration::ZERO)
    }

    /// For the rest of the maintenance.
    pub fn chores(options: PgConnectOptions) -> Self {
        Self::new(session_settings(options), "darkroom-chores", CHORE_CONNECTIONS, Duration::ZERO)
    }

    /// `name` is what PostgreSQL shows of its connections.
    fn new(options: PgConnectOptions, name: &'static str, connections: u32, trusted_for: Duration) -> Self {
        let doubt = Doubt::default();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_WAIT)
            // The pool's own question has no bound.
            .test_before_acquire(false)
            .before_acquire({
                let doubt = doubt.clone();
                move |connection, about| {
                    let idle = about.idle_for;
                    let trusted = idle < trusted_for && !doubt.is_about(idle);
                    Box::pin(async move {
                        let lives = trusted
                            || tokio::time::timeout(TEST_WAIT, connection.ping())
                                .await
                                .is_ok_and(|answer| answer.is_ok());
                        if !lives {
                            tracing::debug!(pool = name, "an idle connection is dead; another is opened");
                        }
                        Ok(lives)
                    })
                }
            });
        Self { pool: pool.connect_lazy_with(options.application_name(name)), doubt }
    }

    /// Looks things up for as long as it takes: for a command that a person waits for.
    pub async fn read_at_leisure<T, E: From<sqlx::Error>>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        // Never handed back, and so closed: no other use shall be without a time-out.
        let mut connection = self.acquire().await?;
        sqlx::query("SET statement_timeout = 0").execute(connection.get()?).await?;
        work(connection.get()?).await
    }

    /// Carries statements out, each of which commits by itself: for one alone, or where what is cut off in between does no
    /// harm.
    pub async fn run<T, E: WorkError>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        within(async {
            let mut connection = self.acquire().await?;
            let done = work(connection.get()?).await;
            let doubtful = done.as_ref().is_err_and(E::is_unavailable);
            if doubtful && connection.get()?.ping().await.is_err() {
                // Dropped: whoever tries again shall not be given one that died with it.
                return done;
            }
            connection.hand_back();
            done
        })
        .await
    }

    /// Carries statements out in a transaction, which is committed at the end; an error rolls it back.
    pub async fn write<T, E: WorkError>(
        &self,
        work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.run(async |connection| {
            let mut tx = connection.begin().await?;
            let done = work(&mut tx).await;
            match &done {
                Ok(_) => tx.commit().await?,
                // At once: left to the pool, its locks would be held for a while after this has answered.
                Err(error) if !error.is_unavailable() => tx.rollback().await?,
                Err(_) => {}
            }
            done
        })
        .await
    }

    async fn acquire(&self) -> sqlx::Result<InUse> {
        Ok(InUse { connection: Some(self.pool.acquire().await?), doubt: self.doubt.clone() })
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

/// Carries out a part of a transaction. What PostgreSQL refuses of it is undone, and the rest stands: then this answers why.
pub async fn attempt(
    tx: &mut PgConnection,
    part: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<()>,
) -> sqlx::Result<Option<sqlx::Error>> {
    let mut step = tx.begin().await?;
    match part(&mut step).await {
        Ok(()) => step.commit().await.map(|()| None),
        Err(error) if is_refused(&error) => step.rollback().await.map(|()| Some(error)),
        Err(error) => Err(error),
    }
}

/// What there is to say where PostgreSQL cannot be reached: where it was looked for, without the password.
pub fn unreached(options: &PgConnectOptions) -> String {
    let address = || format!("{}:{}", options.get_host(), options.get_port());
    let place = options.get_socket().map_or_else(address, |socket| socket.display().to_string());
    format!(
        "cannot connect to PostgreSQL at {place}; is DATABASE_URL right, and does it run? `darkroom demo` brings its own"
    )
}

/// One connection of its own: unlike a pool, it says at once why there is none.
pub async fn connect(options: &PgConnectOptions) -> sqlx::Result<PgConnection> {
    let late = |_| Err(std::io::Error::new(std::io::ErrorKind::TimedOut, "it does not answer").into());
    tokio::time::timeout(CALL_WAIT, PgConnection::connect_with(options)).await.unwrap_or_else(late)
}

/// What work on a connection fails with.
pub trait WorkError: From<sqlx::Error> {
    /// Whether PostgreSQL was not reached, or not served: then the connection may be dead.
    fn is_unavailable(&self) -> bool;
}

impl WorkError for sqlx::Error {
    fn is_unavailable(&self) -> bool {
        is_unavailable(self)
    }
}

impl WorkError for anyhow::Error {
    fn is_unavailable(&self) -> bool {
        self.downcast_ref().is_some_and(is_unavailable)
    }
}

/// Puts a bound of [`CALL_WAIT`] on what waits for the database.
// Not async, which would hold the work twice.
pub fn within<T, E: From<sqlx::Error>>(work: impl Future<Output = Result<T, E>>) -> impl Future<Output = Result<T, E>> {
    let timed_out = |_| Err(sqlx::Error::PoolTimedOut.into());
    tokio::time::timeout(CALL_WAIT, work).map(move |done| done.unwrap_or_else(timed_out))
}

/// When a use last lost its connection. The others that idled then may be as dead, and are asked before they are used.
#[derive(Clone, Debug, Default)]
struct Doubt(Arc<Mutex<Option<Instant>>>);

impl Doubt {
    fn arises(&self) {
        *self.0.lock() = Some(Instant::now());
    }

    /// Whether a connection that has been idle for so long was idle already when another was lost.
    fn is_about(&self, idle: Duration) -> bool {
        self.0.lock().is_some_and(|lost| lost.elapsed() <= idle)
    }
}

/// A connection in use. One that is dropped before it is handed back was cut short in the middle of something: it is closed,
/// for the pool would ask it whether it lives, without a bound, and keep its place meanwhile.
struct InUse {
    connection: Option<PoolConnection<Postgres>>,
    doubt: Doubt,
}

impl InUse {
    fn get(&mut self) -> sqlx::Result<&mut PgConnection> {
        self.connection.as_deref_mut().ok_or(sqlx::Error::PoolClosed)
    }

    /// Gives it back to the pool, which rolls back what was left open; one that does not answer to that is closed.
    fn hand_back(mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let (returning, doubt) = (connection.return_to_pool(), self.doubt.clone());
        tokio::spawn(async move {
            if tokio::time::timeout(CALL_WAIT, returning).await.is_err() {
                doubt.arises();
            }
        });
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        if let Some(connection) = &mut self.connection {
            self.doubt.arises();
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
    options.options([
        ("statement_timeout", STATEMENT_TIMEOUT),
        ("lock_timeout", LOCK_TIMEOUT),
        ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION_TIMEOUT),
        // The other side of a connection that died unnoticed: what it runs, and what it locked, ends as soon. On a Unix socket
        // they mean nothing.
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_user_timeout", "10000"),
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

/// Whether a statement was given up because it took too long.
pub fn is_timed_out(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|e| e.code()).is_some_and(|code| code == "57014")
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
    is_of_class(error, &["22"])
}

/// Whether PostgreSQL does not take a row, and never will: its value, a constraint, or what it or an index can hold (classes 22, 23, 54).
fn is_refused(error: &sqlx::Error) -> bool {
    is_of_class(error, &["22", "23", "54"])
}

fn is_of_class(error: &sqlx::Error, classes: &[&str]) -> bool {
    let code = error.as_database_error().and_then(|e| e.code());
    code.is_some_and(|code| classes.iter().any(|class| code.starts_with(class)))
}
