//! A server of a test's own, called in process.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use darkroom::app::App;
use darkroom::config::Serve;
use darkroom::domain::account::Role;
use darkroom::maintenance;
use darkroom::service::{Ctx, accounts};
use darkroom::store;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::client::Client;
use super::process::{DARKROOM, Process};
use super::servers;
use super::settings::settings;
use super::wait::holds_within;

/// A test's own settings; a test changes what it is about.
fn own_settings(database_url: &str, redis_url: &str, data: &Path) -> Serve {
    let mut serve = settings(database_url, redis_url, data.to_path_buf());
    serve.namespace = format!("t{}", Uuid::new_v4().simple());
    // A busy machine must not look like a dead Redis.
    serve.redis_wait_ms = 10_000;
    serve.decoder.path = DARKROOM.into();
    // A test that is about them has some.
    serve.decoders = 0;
    serve
}

/// Waits until a condition holds; fails after a minute.
pub async fn until<F: Future<Output = bool>>(what: &str, holds: impl FnMut() -> F) {
    assert!(holds_within(Duration::from_secs(60), holds).await, "{what} did not come to be");
}

/// A server on a database, a Redis namespace and a data folder of its own.
pub struct TestApp {
    pub ctx: Arc<Ctx>,
    pub router: Router,
    pub settings: Serve,
    /// The same database as who may do everything, to look on and alter from outside.
    pub outside: PgPool,
    /// Holds the stop signal, and with it the server.
    app: App,
    _data: Option<tempfile::TempDir>,
}

/// The password of every account in tests.
pub const PASSWORD: &str = "correct horse battery";

impl TestApp {
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// A server with settings changed.
    pub async fn with(change: impl FnOnce(&mut Serve)) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let mut settings = own_settings(&servers::new_database().await, &servers::servers().redis.url(), data.path());
        change(&mut settings);
        let test = Self::compose(settings, Some(data)).await;
        maintenance::reconnect(&test.ctx).await.expect("redis");
        test.sweep().await;
        assert!(test.ctx.index.is_live(), "redis went away");
        test
    }

    /// A server whose Redis is not there.
    pub async fn without_redis(url: &str) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let settings = own_settings(&servers::new_database().await, url, data.path());
        let test = Self::compose(settings, Some(data)).await;
        assert!(maintenance::reconnect(&test.ctx).await.is_err());
        test
    }

    async fn compose(settings: Serve, data: Option<tempfile::TempDir>) -> Self {
        let app = App::new(&settings).await.expect("the server to compose");
        let outside = servers::as_superuser(&settings.database.database_url.0);
        let outside = PgPool::connect_lazy(&outside).expect("a URL");
        Self { ctx: app.ctx.clone(), router: app.router.clone(), settings, outside, app, _data: data }
    }

    /// Says that the service is about to stop.
    pub fn stop(&self) {
        self.app.stop.send_replace(true);
    }

    /// A server process beside this one, with these variables besides: the same database, Redis and folder.
    pub fn process(&self, environment: &[(&str, &str)]) -> Process {
        self.process_logging(environment, std::io::sink())
    }

    /// The same, with its log.
    pub fn process_logging(&self, environment: &[(&str, &str)], log: impl Write + Send + 'static) -> Process {
        self.process_at("127.0.0.1:0", environment, log)
    }

    /// The same at an address.
    pub fn process_at(&self, listen: &str, environment: &[(&str, &str)], log: impl Write + Send + 'static) -> Process {
        let own = [
            ("DATABASE_URL", self.settings.database.database_url.0.as_str()),
            ("REDIS_URL", &self.settings.redis_url.0),
            ("DARKROOM_NAMESPACE", &self.settings.namespace),
            ("DARKROOM_DATA", self.settings.data.to_str().expect("a path in UTF-8")),
            ("DARKROOM_REDIS_WAIT_MS", "10000"),
            ("DARKROOM_DECODERS", "0"),
        ];
        Process::start_at(listen, &[own.as_slice(), environment].concat(), log).expect("a server")
    }

    /// Another server on the same database, Redis and data.
    pub async fn replica(&self) -> Self {
        let test = Self::compose(self.settings.clone(), None).await;
        maintenance::reconnect(&test.ctx).await.expect("redis");
        test
    }

    /// The same with settings changed, not connected to Redis yet.
    pub async fn replica_with(&self, change: impl FnOnce(&mut Serve)) -> Self {
        let mut settings = self.settings.clone();
        change(&mut settings);
        Self::compose(settings, None).await
    }

    /// Starts the loops that a server runs beside its requests; they end with what this answers.
    pub fn keep_house(&self) -> JoinSet<()> {
        maintenance::start(&self.ctx)
    }

    /// Writes down what all results say that have come, as the loops do a moment later.
    pub async fn write_down_items(&self) {
        let left = "SELECT count(*) FROM outcome WHERE version_id > 0
                    AND written >= coalesce((SELECT value FROM setting WHERE name = 'items_from'), '0')::xid8";
        // Transactions of other tests on the same server are waited for, which may be older.
        let all = async {
            while self.count(left).await > 0 {
                self.ctx.items.write_down(&self.ctx.chores).await.expect("a tick");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("items are written down");
    }

    /// Works out what can be known of every image that waits; answers how many did.
    pub async fn derive(&self) -> usize {
        let (mut decoder, mut images) = (None, 0);
        while maintenance::derive_next(&self.ctx, &mut decoder).await.expect("an image") {
            images += 1;
        }
        images
    }

    /// Makes every export that waits; answers how many did.
    pub async fn export(&self) -> usize {
        let mut exports = 0;
        while maintenance::export_next(&self.ctx).await.expect("an export") {
            exports += 1;
        }
        exports
    }

    /// Makes one whole pass of the sweep.
    pub async fn sweep(&self) {
        let mut sweep = maintenance::Sweep::default();
        while !sweep.step(&self.ctx).await.expect("a sweep") {}
    }

    /// How many topics streams of events follow here.
    pub fn followed(&self) -> usize {
        self.app.events.followed()
    }

    /// Nobody's client.
    pub fn nobody(&self) -> Client {
        Client::new(self.router.clone(), None)
    }

    /// The client of a new account with these roles.
    pub async fn user(&self, name: &str, roles: &[Role]) -> Client {
        static HASH: OnceLock<String> = OnceLock::new();
        let hash = HASH.get_or_init(|| accounts::hash_password(PASSWORD).expect("a hash")).clone();
        let mut db = self.ctx.db.pool().acquire().await.expect("a connection");
        store::accounts::create(&mut db, name, None, &hash, roles, None).await.expect("an account");
        drop(db);
        self.log_in(name, PASSWORD).await
    }

    /// The client of an account.
    pub async fn log_in(&self, name: &str, password: &str) -> Client {
        let answer = self.nobody().form("/auth/login", &[("username", name), ("password", password)]).await;
        let token = answer.ok(200)["access_token"].as_str().expect("a token").to_owned();
        Client::new(self.router.clone(), Some(token))
    }

    pub async fn investigator(&self, name: &str) -> Client {
        self.user(name, &[Role::Investigator]).await
    }

    pub async fn admin(&self) -> Client {
        self.user("root", &[Role::Admin]).await
    }

    /// The client of a new API key of a new researcher.
    pub async fn key(&self, service: &str, models: &[&str]) -> Client {
        let owner = self.user(&format!("owner-{}", Uuid::new_v4().simple()), &[Role::Researcher]).await;
        self.key_of(&owner, service, models).await
    }

    /// The client of a new API key of that user.
    pub async fn key_of(&self, owner: &Client, service: &str, models: &[&str]) -> Client {
        let made = owner.post("/auth/key", json!({ "service": service, "models": models })).await.ok(201);
        Client::new(self.router.clone(), Some(made["key"].as_str().expect("a key").to_owned()))
    }

    /// A registered worker of a model, with a key of its own.
    pub async fn worker(&self, model: &str) -> Worker {
        let key = self.key("predict", &[model]).await;
        let worker = Worker::register(key, model, "v1").await;
        self.sweep().await;
        worker
    }

    /// Makes what is known of sessions older, as if their workers had been silent for that long.
    pub async fn age_sessions(&self, seconds: f64) {
        self.sql("UPDATE worker_session SET alive_until = alive_until - interval '1 s' * $1", seconds).await;
    }

    async fn sql(&self, sql: &'static str, seconds: f64) {
        sqlx::query(sql).bind(seconds).execute(&self.outside).await.expect("a statement");
    }

    /// Does what no client can, as to make rows older, as the owner of the tables.
    pub async fn alter(&self, sql: &'static str) {
        let mut outside = self.outside.acquire().await.expect("a connection");
        let as_owner =
            "SELECT set_config('role', pg_get_userbyid(relowner), false) FROM pg_class WHERE oid = 'job'::regclass";
        for sql in [as_owner, sql, "RESET ROLE"] {
            sqlx::raw_sql(sql).execute(&mut *outside).await.expect("a statement");
        }
    }

    /// The claims whose `open` is not the number of the jobs that run under them, or that do not list them; running jobs
    /// without a claim too.
    pub async fn miscounted_claims(&self) -> Vec<String> {
        sqlx::query_scalar(MISCOUNTED).fetch_all(&self.outside).await.expect("the claims")
    }

    /// Counts rows.
    pub async fn count(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql).fetch_one(&self.outside).await.expect("a count")
    }
}

const MISCOUNTED: &str = "
  SELECT format('claim %s of session %s: open %s, lists %s; running %s', claim_id, session_id, c.open, c.jobs, j.ids)
  FROM claim AS c
  FULL JOIN (SELECT session_id, claim_id, array_agg(id) AS ids FROM job WHERE state = 'running' GROUP BY session_id, claim_id) AS j
    USING (session_id, claim_id)
  WHERE coalesce(c.open, -1) <> coalesce(cardinality(j.ids), 0) OR NOT coalesce(j.ids, '{}') <@ c.jobs";

impl Drop for TestApp {
    /// However a test went, its claims count right.
    fn drop(&mut self) {
        let url = self.settings.database.database_url.0.clone();
        let asked = std::thread::spawn(move || -> Vec<String> {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async {
                // Some tests leave PostgreSQL stopped behind them.
                let connecting = tokio::time::timeout(Duration::from_secs(5), PgConnection::connect(&url));
                let Ok(Ok(mut db)) = connecting.await else { return Vec::new() };
                sqlx::query_scalar(MISCOUNTED).fetch_all(&mut db).await.expect("the claims")
            })
        });
        let miscounted = asked.join().expect("the claims to be read");
        assert!(miscounted.is_empty() || std::thread::panicking(), "{miscounted:#?}");
    }
}

/// A microservice in a test.
#[derive(Clone)]
pub struct Worker {
    pub key: Client,
    pub id: String,
}

impl Worker {
    pub async fn register(key: Client, model: &str, version: &str) -> Self {
        let body = json!({ "service": "predict", "model": model, "version": version, "instance": Uuid::new_v4(), "batch_max": 8 });
        let answer = key.post("/workers/register", body).await.ok(201);
        Self { key, id: answer["worker"].as_str().expect("a worker").to_owned() }
    }

    /// Claims at most `max` jobs, not waiting.
    pub async fn claim(&self, max: usize) -> Vec<Value> {
        self.claim_as(Uuid::new_v4(), max, 0.0).await
    }

    pub async fn claim_as(&self, claim_id: Uuid, max: usize, wait_s: f64) -> Vec<Value> {
        let body = json!({ "worker": self.id, "claim_id": claim_id, "max": max, "wait_s": wait_s });
        let answer = self.key.post("/jobs/claim", body).await.ok(200);
        answer["jobs"].as_array().expect("jobs").clone()
    }

    /// Completes one job; answers its item.
    pub async fn complete(&self, job: &Value, outcome: Value) -> Value {
        let mut item = json!({ "id": job["id"], "lease_no": job["lease_no"] });
        item.as_object_mut().expect("an object").extend(outcome.as_object().expect("an object").clone());
        let body = json!({ "worker": self.id, "items": [item] });
        self.key.post("/jobs/complete", body).await.ok(200)["items"][0].clone()
    }

    /// Completes one job with a result.
    pub async fn succeed(&self, job: &Value) -> Value {
        self.complete(job, json!({ "outcome": "succeeded", "result": { "fields": { "ok": true } } })).await
    }
}
