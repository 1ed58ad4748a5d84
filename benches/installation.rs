//! An installation to measure: a migrated database with accounts, keys and stored images written straight into it,
//! and servers as processes of their own.

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::http::HeaderValue;
use darkroom::domain::account::Role;
use darkroom::domain::key::{KeyText, Service};
use darkroom::store::keys::NewKey;
use darkroom::store::{accounts, keys, migrate};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use uuid::Uuid;

use crate::kit::process::Process;
use crate::ledger::Ledger;
use crate::site::Site;
use crate::wire::Wire;

pub const MODELS: [&str; 4] = ["faces", "ocr", "scenes", "stats"];
/// What a model says of an image: the same for every job, here, in raw SQL and at the peers.
pub const DOCUMENT: &str =
    r#"{"items":[{"type":"box","box":[0.35,0.14,0.53,0.33],"label":"face"}],"fields":{"faces":1},"summary":"1 face"}"#;
const TOKEN_KEY: &str = "a-token-key-for-benchmarks-only-32-bytes";
/// So far in the future that no benchmark lives to see it.
const TOKEN_EXPIRES: i64 = 4_000_000_000;
const START_WAIT: Duration = Duration::from_secs(30);

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
    /// When its workers waited.
    pub ledger: Arc<Ledger>,
    /// The last image that was written: ids count from 1.
    images: AtomicI64,
}

impl Installation {
    pub async fn new(site: &Site, name: &str) -> anyhow::Result<Self> {
        let url = site.empty_database(name).await?;
        migrate::migrate(&PgConnectOptions::from_str(&url)?).await?;
        let pool = PgPoolOptions::new().max_connections(4).connect(&url).await?;
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
        sqlx::query(include_str!("sql/models.sql")).bind(MODELS.as_slice()).execute(&pool).await?;
        Ok(Self {
            name: name.to_owned(),
            url,
            pool,
            account,
            user: bearer(&token(account)?)?,
            key: bearer(&key.reveal())?,
            key_id: key.id,
            ledger: Arc::new(Ledger::open()),
            images: AtomicI64::new(0),
        })
    }

    /// Writes rows of this many more images, visible to the user; answers their ids.
    pub async fn add_images(&self, count: usize) -> anyhow::Result<Vec<i64>> {
        let count = i64::try_from(count)?;
        let first = self.images.fetch_add(count, Ordering::Relaxed) + 1;
        sqlx::query(include_str!("sql/images.sql"))
            .bind(first)
            .bind(first + count - 1)
            .bind(self.account)
            .execute(&self.pool)
            .await?;
        Ok((first..first + count).collect())
    }

    /// Starts a server and waits until it says that it is ready and reaches Redis.
    pub async fn serve(&self, site: &Site) -> anyhow::Result<Server> {
        let started = Instant::now();
        let folder = site.folder();
        std::fs::write(folder.join("token-key"), TOKEN_KEY)?;
        let path = |name: String| folder.join(name).to_string_lossy().into_owned();
        let environment = [
            ("DATABASE_URL", self.url.as_str()),
            ("REDIS_URL", &site.redis_url()),
            ("DARKROOM_NAMESPACE", &self.name),
            ("DARKROOM_DATA", &path(format!("data-{}", self.name))),
            ("DARKROOM_TOKEN_KEY_FILE", &path("token-key".to_owned())),
            // Its images are rows without bytes.
            ("DARKROOM_DECODERS", "0"),
            // All workers are one account's, which has a quarter: ten thousand wait.
            ("DARKROOM_CLAIMS_WAITING_MAX", "40000"),
            ("DARKROOM_CONNECTIONS_MAX", "48000"),
        ];
        let process = Process::start(&environment, std::fs::File::create(path(format!("{}.log", self.name)))?)?;
        let address = process.base.trim_start_matches("http://").to_owned();
        let mut server = Server { process, address, start_s: 0.0 };
        server.wait(started, |_| true).await.context("the server does not get ready")?;
        server.start_s = started.elapsed().as_secs_f64();
        let reaches_redis = |ready: &serde_json::Value| ready["redis"] == "ok";
        server.wait(started, reaches_redis).await.context("the server does not reach Redis")?;
        Ok(server)
    }

    /// Removes its database; its servers are gone by now.
    pub async fn remove(self, site: &Site) -> anyhow::Result<()> {
        self.pool.close().await;
        site.drop_database(&self.name).await
    }
}

/// A token of an account, as the server would sign it.
pub fn token(account: Uuid) -> anyhow::Result<String> {
    let claims = serde_json::json!({
        "iss": "darkroom", "sub": account, "jti": Uuid::nil(), "generation": 0, "iat": 0, "exp": TOKEN_EXPIRES,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(TOKEN_KEY.as_bytes());
    Ok(jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key)?)
}

pub fn bearer(credential: &str) -> anyhow::Result<HeaderValue> {
    Ok(HeaderValue::from_str(&format!("Bearer {credential}"))?)
}

/// The MD5 of a written image.
pub fn md5(image: i64) -> String {
    use md5::Digest;
    hex::encode(md5::Md5::digest(image.to_string()))
}

/// A running server, killed when dropped.
pub struct Server {
    process: Process,
    pub address: String,
    /// From its start until it said that it was ready, in seconds.
    pub start_s: f64,
}

impl Server {
    /// Waits until it says that it is ready, and what it says is as wanted.
    async fn wait(&self, started: Instant, is_wanted: impl Fn(&serde_json::Value) -> bool) -> anyhow::Result<()> {
        loop {
            if let Ok(mut wire) = Wire::open(&self.address).await
                && let Ok(said) = wire.get("/health/ready", None).await
                && is_wanted(&serde_json::from_slice(&said)?)
            {
                return Ok(());
            }
            anyhow::ensure!(started.elapsed() < START_WAIT, "waited for {} s", START_WAIT.as_secs());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Resident memory, in MiB.
    pub fn resident_mib(&self) -> anyhow::Result<f64> {
        let (_, now) = self.process.resident()?;
        Ok(now as f64 / (1024.0 * 1024.0))
    }

    pub fn pid(&self) -> u32 {
        self.process.pid
    }
}
