//! One private PostgreSQL and one private Redis for the whole test process; they end with it.

use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use darkroom::dev::{Postgres, Redis};
use darkroom::store::migrate;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::scratch;

/// The servers, and the migrated database that every test's own is copied from.
pub struct Servers {
    pub postgres: Postgres,
    pub redis: Redis,
}

const TEMPLATE: &str = "template_darkroom";

/// The servers of this process, started by whoever asks first.
pub fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| {
        let start = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(start()).expect("private PostgreSQL and Redis")
        };
        std::thread::spawn(start).join().expect("the servers to start")
    })
}

async fn start() -> anyhow::Result<Servers> {
    let settings = ["shared_buffers=128MB", "max_wal_size=2GB", "autovacuum=off"];
    let postgres = Postgres::start(&scratch::make("test-postgres")?, &settings, true).await?;
    let redis = Redis::start(&scratch::make("test-redis")?, true).await?;
    execute(&postgres, "CREATE DATABASE template_darkroom").await?;
    migrate::migrate(&PgConnectOptions::from_str(&postgres.url(TEMPLATE))?).await?;
    Ok(Servers { postgres, redis })
}

async fn execute(postgres: &Postgres, sql: &str) -> anyhow::Result<()> {
    let mut connection = PgConnectOptions::from_str(&postgres.url("postgres"))?.connect().await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}

/// A new database, copied from the migrated one; answers its URL.
pub async fn new_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let servers = servers();
    execute(&servers.postgres, &format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE}")).await.expect("a database");
    servers.postgres.url(&name)
}

/// A new empty database; answers its URL.
pub async fn empty_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("e_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let servers = servers();
    execute(&servers.postgres, &format!("CREATE DATABASE {name}")).await.expect("a database");
    servers.postgres.url(&name)
}
