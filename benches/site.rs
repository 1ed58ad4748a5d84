//! What is measured: servers as processes of their own, on one private PostgreSQL and one private Redis, with
//! accounts, keys and stored images written straight into the database.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::str::FromStr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::http::HeaderValue;
use darkroom::dev::{Postgres, Redis, process};
use darkroom::domain::account::Role;
use darkroom::domain::key::{KeyText, Service};
use darkroom::store::keys::NewKey;
use darkroom::store::{accounts, keys, migrate};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, PgPool};
use tempfile::TempDir;
use uuid::Uuid;

use crate::profile;

pub const MODELS: [&str; 4] = ["faces", "ocr", "scenes", "stats"];
const TOKEN_KEY: &str = "a-token-key-for-benchmarks-only-32-bytes";
/// So far in the future that no benchmark lives to see it.
const TOKEN_EXPIRES: i64 = 4_000_000_000;
/// Statements here may sort and write millions of rows.
const START_WAIT: Duration = Duration::from_secs(30);

/// PostgreSQL, Redis and a folder, gone when dropped.
pub struct Site {
    pub postgres: Postgres,
    pub redis: Redis,
    /// Last, so that nothing writes to it any more when it is removed.
    folder: TempDir,
}

impl Site {
    /// As an installation would set them for two cores and some memory; durability is as PostgreSQL comes.
    pub async fn start() -> anyhow::Result<Self> {
        let base = if process::is_root() { PathBuf::from("/var/tmp") } else { std::env::temp_dir() };
        // PostgreSQL runs as another user, who must get through.
        let permissions = std::fs::Permissions::from_mode(0o755);
        let made = tempfile::Builder::new().prefix("darkroom-bench-").permissions(permissions).tempdir_in(base)?;
        let folder = made.path();
        let mut settings = vec!["shared_buffers=1GB", "max_wal_size=16GB", "checkpoint_timeout=30min"];
        if profile::is_wanted() {
            settings.extend(profile::SETTINGS);
        }
        let postgres = Postgres::start(&folder.join("postgres"), &settings, true).await?;
        let redis = Redis::start(&folder.join("redis"), true).await?;
        std::fs::write(folder.join("token-key"), TOKEN_KEY)?;
        Ok(Self { postgres, redis, folder: made })
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A new database, empty but for what PostgreSQL puts there; answers its URL.
    pub async fn empty_database(&self, name: &str) -> anyhow::Result<String> {
        let pool = PgPool::connect(&self.postgres.url("postgres")).await?;
        sqlx::query(AssertSqlSafe(format!("CREATE DATABASE {name}"))).execute(&pool).await?;
        pool.close().await;
        Ok(self.postgres.url(name))
    }

    /// A new installation: a migrated database with a user, a key and the models.
    pub async fn install(&self, name: &str) -> anyhow::Result<Installation> {
        let url = self.empty_database(name).await?;
        migrate::migrate(&PgConnectOptions::from_str(&url)?).await?;
        let pool = PgPoolOptions::new().max_connections(4).connect(&url).await?;
        sqlx::query("SELECT make_partitions(1)").execute(&pool).await?;
        let mut db = pool.acquire().await?;
        let roles = [Role::Investigator, Role::Researcher];
        let account = accounts::create(&mut db, "bench", None, "no password", &roles, None).await?.id;
        let key = KeyText::from_random(rand::random(), rand::random());
        let models = MODELS.map(str::to_owned);
        let new = NewKey {
            id: &key.id,
            secret_sha256: &key.secret_sha256(),
            service: Service::Predict,
            models: &models,
            owner: None,
            trusted: true,
            detail: None,
            expires_at: None,
        };
        keys::create(&mut db, &new, None).await?;
        drop(db);
        for model in MODELS {
            let sql = "INSERT INTO model (name, last_version) VALUES ($1, 'v1')";
            sqlx::query(sql).bind(model).execute(&pool).await?;
        }
        Ok(Installation {
            name: name.to_owned(),
            url,
            pool,
            account,
            user: bearer(&token(account)?)?,
            key: bearer(&key.reveal())?,
            key_id: key.id,
            images: AtomicI64::new(0),
        })
    }

    /// Starts a server on an installation and waits until it says that it is ready.
    pub async fn serve(&self, on: &Installation) -> anyhow::Result<Server> {
        let started = Instant::now();
        let log = std::fs::File::create(self.folder().join(format!("{}.log", on.name)))?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_darkroom"))
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "info"])
            .env("DATABASE_URL", &on.url)
            .env("REDIS_URL", self.redis.url())
            .env("DARKROOM_NAMESPACE", &on.name)
            .env("DARKROOM_DATA", self.folder().join(format!("data-{}", on.name)))
            .env("DARKROOM_TOKEN_KEY_FILE", self.folder().join("token-key"))
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines = BufReader::new(child.stderr.take().context("no log")?).lines();
        let address = lines.find_map(|line| {
            let line = line.ok()?;
            let at = line.find("http://")?;
            line[at + "http://".len()..].split("/docs").next().map(str::to_owned)
        });
        // Its log is read to the end, or it would block on a full pipe.
        std::thread::spawn(move || {
            use std::io::Write;
            let mut log = log;
            lines.map_while(Result::ok).for_each(|line| drop(writeln!(log, "{line}")));
        });
        let mut server = Server { child, address: address.context("the server did not start")?, start_s: 0.0 };
        while !server.is_ready().await {
            anyhow::ensure!(started.elapsed() < START_WAIT, "the server does not get ready");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.start_s = started.elapsed().as_secs_f64();
        server.wait_for_redis().await?;
        Ok(server)
    }
}

/// A token of an account, as the server would sign it.
pub fn token(account: Uuid) -> anyhow::Result<String> {
    let claims =
        serde_json::json!({ "iss": "darkroom", "sub": account, "generation": 0, "iat": 0, "exp": TOKEN_EXPIRES });
    let key = jsonwebtoken::EncodingKey::from_secret(TOKEN_KEY.as_bytes());
    Ok(jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?)
}

pub fn bearer(credential: &str) -> anyhow::Result<HeaderValue> {
    Ok(HeaderValue::from_str(&format!("Bearer {credential}"))?)
}

/// A database with what a client needs to use it.
pub struct Installation {
    pub name: String,
    pub url: String,
    pub pool: PgPool,
    pub account: Uuid,
    /// The `authorization` of its user, and of its microservices.
    pub user: HeaderValue,
    pub key: HeaderValue,
    pub key_id: String,
    /// The last image that was written: ids count from 1.
    images: AtomicI64,
}

impl Installation {
    /// Writes rows of this many more images, visible to the user; answers their ids' range.
    pub async fn add_images(&self, count: i64) -> anyhow::Result<std::ops::Range<i64>> {
        let first = self.images.fetch_add(count, Ordering::Relaxed) + 1;
        sqlx::query(
            "WITH made AS (
               INSERT INTO image (md5, sha256, bytes, media_type, width, height, frames, blob)
               SELECT decode(md5(n::text), 'hex'), sha256(n::text::bytea), 4194304, 'image/jpeg', 4032, 3024, 1, gen_random_uuid()
               FROM generate_series($1, $2) AS n ORDER BY n RETURNING id
             )
             INSERT INTO upload (account_id, image_id, name) SELECT $3, id, id || '.jpg' FROM made",
        )
        .bind(first)
        .bind(first + count - 1)
        .bind(self.account)
        .execute(&self.pool)
        .await?;
        Ok(first..first + count)
    }
}

/// The MD5 of a written image.
pub fn md5(image: i64) -> String {
    use md5::Digest;
    hex::encode(md5::Md5::digest(image.to_string()))
}

/// A running server, killed when dropped.
pub struct Server {
    child: Child,
    pub address: String,
    /// From its start until it said that it was ready, in seconds.
    pub start_s: f64,
}

impl Server {
    async fn is_ready(&self) -> bool {
        let Ok(mut wire) = crate::wire::Wire::open(&self.address).await else { return false };
        wire.get("/health/ready", None).await.is_ok()
    }

    async fn wait_for_redis(&self) -> anyhow::Result<()> {
        let mut wire = crate::wire::Wire::open(&self.address).await?;
        let started = Instant::now();
        loop {
            let ready = wire.get("/health/ready", None).await?;
            if serde_json::from_slice::<serde_json::Value>(&ready)?["redis"] == "ok" {
                return Ok(());
            }
            anyhow::ensure!(started.elapsed() < START_WAIT, "the server does not reach Redis");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Resident memory, in MiB.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find(|line| line.starts_with("VmRSS")).context("no VmRSS")?;
        Ok(line.split_whitespace().nth(1).context("no number")?.parse::<f64>()? / 1024.0)
    }

    /// Processor time used so far, in seconds.
    pub fn cpu_s(&self) -> anyhow::Result<f64> {
        crate::usage::cpu_s(self.child.id())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
