//! Where it is measured: one private PostgreSQL and one private Redis, reached over the loopback network by everyone,
//! ours and peers alike.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use darkroom::dev::{Postgres, Redis};
use sqlx::{AssertSqlSafe, PgPool};

use crate::kit::scratch;
use crate::profile;

/// Turns of each side.
const TURNS: usize = 5;
const TURNS_SHORT: usize = 2;
/// After this no turn begins, if there were enough.
const TURNS_WAIT: Duration = Duration::from_secs(90);
/// By how much a smoke run is smaller.
const SHORTER: usize = 16;
/// As an installation would set PostgreSQL for two cores and some memory; its durability is as it comes.
const SETTINGS: [&str; 3] = ["shared_buffers=1GB", "max_wal_size=16GB", "checkpoint_timeout=30min"];

/// PostgreSQL, Redis and a folder, gone when dropped.
pub struct Site {
    pub postgres: Postgres,
    pub redis: Redis,
    /// Host and port.
    postgres_at: String,
    redis_at: String,
    /// To PostgreSQL's own database.
    pub admin: PgPool,
    short: bool,
    /// Last, so that nothing writes to it any more when it is removed.
    folder: Folder,
}

/// Removed when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed now goes at the next run.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Site {
    pub async fn start() -> anyhow::Result<Self> {
        let folder = Folder(scratch::make("bench")?);
        // An address of this run's own, so that its port is free.
        let host = format!("127.{}.{}.{}", rand::random::<u8>(), rand::random::<u8>(), rand::random_range(2..250u8));
        let access = folder.0.join("pg_hba.conf");
        std::fs::write(&access, "local all all trust\nhost all all 127.0.0.0/8 trust\n")?;
        let network = [format!("listen_addresses={host}"), format!("hba_file={}", access.display())];
        let mut settings: Vec<&str> = SETTINGS.into_iter().chain(network.iter().map(String::as_str)).collect();
        if profile::is_wanted() {
            settings.extend(profile::SETTINGS);
        }
        let postgres = Postgres::start(&folder.0.join("postgres"), &settings, true).await?;
        let redis = Redis::start(&folder.0.join("redis"), true).await?;
        let redis_at = open_to_network(&redis).await?;
        let admin = PgPool::connect(&postgres.url("postgres")).await?;
        let short = std::env::var("SHORT").is_ok_and(|value| value == "1");
        Ok(Self { postgres, redis, postgres_at: format!("{host}:5432"), redis_at, admin, short, folder })
    }

    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Whether this is a smoke run, whose figures mean nothing.
    pub fn is_short(&self) -> bool {
        self.short
    }

    /// The turns of a work; fewer when the machine is so slow that they would take too long.
    pub fn turns(&self) -> impl Iterator<Item = usize> {
        let (turns, started) = (if self.short { TURNS_SHORT } else { TURNS }, Instant::now());
        (0..turns).take_while(move |turn| {
            let is_enough = *turn >= TURNS_SHORT && started.elapsed() > TURNS_WAIT;
            if is_enough {
                println!("    no more than {turn} turns: this machine is slow");
            }
            !is_enough
        })
    }

    /// So many, or in a smoke run fewer.
    pub fn scaled(&self, count: usize) -> usize {
        if self.short { count.div_ceil(SHORTER) } else { count }
    }

    /// A database, over the network.
    pub fn postgres_url(&self, database: &str) -> String {
        format!("postgres://darkroom@{}/{database}", self.postgres_at)
    }

    /// Redis, over the network.
    pub fn redis_url(&self) -> String {
        format!("redis://{}", self.redis_at)
    }

    /// A new database, empty but for what PostgreSQL puts there; answers its URL.
    pub async fn empty_database(&self, name: &str) -> anyhow::Result<String> {
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&self.admin).await?;
        Ok(self.postgres_url(name))
    }

    /// Removes a database, whoever uses it.
    pub async fn drop_database(&self, name: &str) -> anyhow::Result<()> {
        sqlx::query(AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))).execute(&self.admin).await?;
        Ok(())
    }
}

/// Lets a Redis that listens on a socket listen on a free port as well; answers the address.
pub async fn open_to_network(redis: &Redis) -> anyhow::Result<String> {
    let at = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let mut connection = redis::Client::open(redis.url())?.get_multiplexed_async_connection().await?;
    let set = redis::cmd("CONFIG").arg("SET").arg("port").arg(at.port()).exec_async(&mut connection).await;
    set.context("Redis opens no port at run time; it must be version 7 or later, or Valkey")?;
    Ok(at.to_string())
}
