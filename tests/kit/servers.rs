//! One private PostgreSQL and one private Redis for the whole test process; they end with it.

use std::str::FromStr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use darkroom::dev::{Postgres, Redis};
use darkroom::store::migrate;
use darkroom::store::rights::{Login, Logins};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, Executor};

use super::{scratch, shim};

/// The servers, and the migrated database that every test's own is copied from.
pub struct Servers {
    pub postgres: Postgres,
    pub redis: Redis,
}

const TEMPLATE: &str = "template_darkroom";
/// Who may do everything in the cluster; tests look on from outside as this one.
const SUPERUSER: &str = "darkroom";
/// The three roles of every test's database: who owns its tables, as who the servers log in, and who audits.
const OWNER: &str = "test_owner";
const APPLICATION: &str = "test_application";
const AUDITOR: &str = "test_auditor";

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
    let folder = scratch::make("test-postgres")?;
    // A large file of one test would else hold up the COMMITs of all others for seconds.
    let unsynced = ["env".to_owned(), format!("LD_PRELOAD={}", shim::compile("unsynced", &folder)?)];
    let postgres = Postgres::start_under(&folder, &unsynced, &settings, true).await?;
    let redis = Redis::start(&scratch::make("test-redis")?, true).await?;
    execute(&postgres.url("postgres"), &format!("CREATE ROLE {OWNER} LOGIN CREATEROLE")).await?;
    execute(&postgres.url("postgres"), &format!("CREATE DATABASE {TEMPLATE} OWNER {OWNER}")).await?;
    // As in one that was made by PostgreSQL 14.
    execute(&postgres.url(TEMPLATE), "GRANT CREATE ON SCHEMA public TO PUBLIC").await?;
    let owner = PgConnectOptions::from_str(&as_role(&postgres.url(TEMPLATE), OWNER))?;
    migrate::migrate(&owner).await?;
    let login = |name: &str| Some(Login { name: name.to_owned(), password: None });
    let logins = Logins { application: login(APPLICATION), auditor: login(AUDITOR) };
    let left = migrate::settle_rights(&owner, &logins).await?;
    anyhow::ensure!(left.is_empty(), "the owner may not {left:?}");
    Ok(Servers { postgres, redis })
}

fn as_role(url: &str, role: &str) -> String {
    let (_, at) = url.split_once('@').expect("a URL with a user");
    format!("postgres://{role}@{at}")
}

/// The same database as who may do everything.
pub fn as_superuser(url: &str) -> String {
    as_role(url, SUPERUSER)
}

/// The same database as its auditor.
pub fn as_auditor(url: &str) -> String {
    as_role(url, AUDITOR)
}

async fn execute(url: &str, sql: &str) -> anyhow::Result<()> {
    let mut connection = PgConnectOptions::from_str(url)?.connect().await?;
    connection.execute(AssertSqlSafe(sql)).await?;
    Ok(())
}

/// A new database, copied from the migrated one; answers its URL as the application.
pub async fn new_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("t_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let servers = servers();
    let sql = format!("CREATE DATABASE {name} TEMPLATE {TEMPLATE} OWNER {OWNER}");
    execute(&servers.postgres.url("postgres"), &sql).await.expect("a database");
    as_role(&servers.postgres.url(&name), APPLICATION)
}

/// A new empty database; answers its URL as who may do everything.
pub async fn empty_database() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("e_{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let servers = servers();
    execute(&servers.postgres.url("postgres"), &format!("CREATE DATABASE {name}")).await.expect("a database");
    servers.postgres.url(&name)
}
