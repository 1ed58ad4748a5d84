//! A PostgreSQL of its own that counts what its statements touch.

use std::str::FromStr;
use std::time::Instant;

use darkroom::dev::Postgres;
use darkroom::store::migrate;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor, PgConnection};
use tokio::sync::Mutex;

use crate::kit::scratch;

/// As PostgreSQL comes, but for room to be filled fast, and for the counting.
const SETTINGS: [&str; 5] = [
    "shared_preload_libraries=pg_stat_statements",
    "max_connections=100",
    "shared_buffers=512MB",
    "max_wal_size=2GB",
    "autovacuum=off",
];

pub struct Meter {
    postgres: Postgres,
    watcher: Mutex<PgConnection>,
}

impl Meter {
    pub async fn start() -> anyhow::Result<Self> {
        let postgres = Postgres::start(&scratch::make("old-postgres")?, &SETTINGS, true).await?;
        let mut watcher = PgConnectOptions::from_str(&postgres.url("postgres"))?.connect().await?;
        watcher.execute("CREATE DATABASE old").await?;
        watcher.execute("CREATE EXTENSION pg_stat_statements").await?;
        migrate::migrate(&PgConnectOptions::from_str(&postgres.url("old"))?).await?;
        Ok(Self { postgres, watcher: Mutex::new(watcher) })
    }

    pub fn url(&self) -> String {
        self.postgres.url("old")
    }

    /// Does what takes longer than the server lets a statement take.
    pub async fn execute(&self, sql: String) {
        let mut db = PgConnectOptions::from_str(&self.url()).expect("a URL").connect().await.expect("a connection");
        db.execute(AssertSqlSafe(sql)).await.expect("a statement");
    }

    /// Begins to count afresh.
    pub async fn reset(&self) {
        self.watcher.lock().await.execute("SELECT pg_stat_statements_reset()").await.expect("a reset");
    }

    /// The blocks that statements of the server touched since: of tables and indexes, whether they were in memory or not, and
    /// of what was too much for it.
    pub async fn blocks(&self) -> i64 {
        sqlx::query_scalar(
            "SELECT coalesce(sum(shared_blks_hit + shared_blks_read + temp_blks_read + temp_blks_written), 0)::bigint
             FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid WHERE d.datname = 'old'",
        )
        .fetch_one(&mut *self.watcher.lock().await)
        .await
        .expect("the counts")
    }

    /// The statements that touched most, for whoever looks into it.
    pub async fn costliest(&self) -> Vec<(i64, i64, String)> {
        sqlx::query_as(
            "SELECT (shared_blks_hit + shared_blks_read + temp_blks_read + temp_blks_written)::bigint, calls, left(query, 110)
             FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid WHERE d.datname = 'old' ORDER BY 1 DESC LIMIT 3",
        )
        .fetch_all(&mut *self.watcher.lock().await)
        .await
        .expect("the counts")
    }

    /// How long a statement takes by itself, of which $1 is a number, in milliseconds: the best of many.
    pub async fn bare(&self, sql: &'static str) -> f64 {
        let mut db = PgConnectOptions::from_str(&self.url()).expect("a URL").connect().await.expect("a connection");
        let mut best = f64::MAX;
        for n in 1..100_i64 {
            let began = Instant::now();
            sqlx::query(sql).bind(n).fetch_all(&mut db).await.expect("rows");
            best = best.min(began.elapsed().as_secs_f64() * 1000.0);
        }
        best
    }
}
