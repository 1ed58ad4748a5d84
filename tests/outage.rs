//! PostgreSQL or Redis do not answer.

use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use darkroom::dev::{Postgres, Redis, process};
use darkroom::domain::image::ContentMd5;
use darkroom::index::queue::Hint;
use darkroom::maintenance;
use darkroom::store::{Db, migrate};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::Client;
use crate::kit::family::family;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};
use crate::kit::proxy::{self, Proxy};
use crate::kit::scratch;

/// A PostgreSQL of a test's own, to be stopped.
async fn own_postgres(name: &str) -> Postgres {
    let postgres = Postgres::start(&scratch::make(name).expect("a folder"), &[], true).await.expect("PostgreSQL");
    migrate::migrate(&PgConnectOptions::from_str(&postgres.url("postgres")).expect("a URL")).await.expect("a schema");
    postgres
}

/// A Redis of a test's own, to be stopped.
async fn private_redis(name: &str) -> Redis {
    Redis::start(&scratch::make(name).expect("a folder"), true).await.expect("Redis")
}

fn signal(pid: &str, signal: &str) {
    process::signal(pid, signal).expect("a signal");
}

/// Signals every process of a server.
fn signal_postgres(pid: &str, how: &str) {
    // A backend may have ended meanwhile.
    family(pid).iter().for_each(|pid| drop(process::signal(pid, how)));
}

#[tokio::test]
async fn a_warm_look_up_answers_while_postgresql_stands_still() {
    let postgres = own_postgres("stopped-postgres").await;
    let app = TestApp::with(|s| s.database.database_url = darkroom::config::Secret(postgres.url("postgres"))).await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    ines.get(&path).await.ok(200);
    let pid = postgres.pid().expect("a pid");
    signal_postgres(&pid, "STOP");
    let start = Instant::now();
    let looked = ines.get(&path).await;
    let many = ines.post("/predict/status", json!({"images": [md5_of(&photo(1))], "results": true})).await;
    let took = start.elapsed();
    let form = Form::default().file("b.png", &photo(2)).text("models", "ocr");
    let refused = ines.upload(form).await;
    let refusal_took = start.elapsed();
    signal_postgres(&pid, "CONT");
    let looked = looked.ok(200);
    assert_eq!((&looked["status"], &looked["results"]["ocr"]["fields"]["ok"]), (&json!("succeeded"), &json!(true)));
    assert_eq!(many.ok(200)["items"][0]["status"], "succeeded");
    assert!(took < Duration::from_secs(4), "{took:?}");
    assert!(refused.headers.contains_key("retry-after"));
    refused.problem(503, "unavailable");
    assert!(refusal_took < Duration::from_secs(20), "{refusal_took:?}");
    let form = Form::default().file("b.png", &photo(2)).text("models", "ocr");
    until("the service to come back", async || ines.upload(form.clone()).await.status.as_u16() == 202).await;
}

#[tokio::test]
async fn everything_is_right_without_redis() {
    let nowhere = PathBuf::from("/nonexistent/redis.sock");
    let app = TestApp::without_redis(&format!("redis+unix://{}", nowhere.display())).await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1)), ("b.png", photo(2))], &["ocr"]).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    assert_eq!(ines.get(&path).await.ok(200)["status"], "queued");
    let jobs = worker.claim(8).await;
    assert_eq!(jobs.len(), 2);
    let first = jobs.iter().find(|j| j["image"]["md5"] == md5_of(&photo(1))).expect("the first");
    worker.succeed(first).await;
    let looked = ines.get(&path).await.ok(200);
    assert_eq!((&looked["status"], &looked["results"]["ocr"]["job"]), (&json!("succeeded"), &first["id"]));
    let ready = app.nobody().get("/health/ready").await.ok(200);
    assert_eq!((&ready["status"], &ready["redis"]), (&json!("ok"), &json!("away")));
}

#[tokio::test]
async fn the_password_of_redis_comes_from_a_file() {
    let redis = private_redis("closed-redis").await;
    let client = redis::Client::open(redis.url()).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let close = ["SET", "requirepass", "open sesame"];
    redis::cmd("CONFIG").arg(&close).query_async::<()>(&mut connection).await.expect("a password");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("password");
    std::fs::write(&file, "open sesame\n").expect("a file");
    let app = TestApp::with(|s| {
        s.redis_url = darkroom::config::Secret(redis.url());
        s.redis_password_file = Some(file.clone());
    });
    assert!(app.await.ctx.index.is_live());
    let without = TestApp::without_redis(&redis.url()).await;
    assert!(!without.ctx.index.is_live(), "nobody else gets in");
}

#[tokio::test]
async fn a_claim_that_lingers_waits_for_its_least_without_redis() {
    let app = TestApp::without_redis("redis+unix:///nonexistent/redis.sock").await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let ask = json!({"worker": worker.id, "claim_id": uuid::Uuid::new_v4(), "max": 8, "wait_s": 40, "min": 2, "linger_s": 10});
    let claiming = tokio::spawn({
        let key = worker.key.clone();
        async move { key.post("/jobs/claim", ask).await.ok(200) }
    });
    until("a waiting claim", async || !app.ctx.waiters.sessions().is_empty()).await;
    ines.submit(&[("b.png", photo(2))], &["ocr"]).await;
    let answer = claiming.await.expect("a claim");
    assert_eq!(answer["jobs"].as_array().map(Vec::len), Some(2), "{answer}");
}

#[tokio::test]
async fn a_flushed_redis_loses_no_job_and_heals() {
    let redis = private_redis("flushed-redis").await;
    let app = TestApp::with(|s| s.redis_url = darkroom::config::Secret(redis.url())).await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let files: Vec<(&str, Vec<u8>)> = (1..=4).map(|n| ("a.png", photo(n))).collect();
    ines.submit(&files, &["ocr"]).await;
    let client = redis::Client::open(redis.url()).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    redis::cmd("FLUSHALL").query_async::<()>(&mut connection).await.expect("a flush");
    assert_eq!(worker.claim(1).await.len(), 1, "served by PostgreSQL, because nobody vouches for the queue");
    app.sweep().await;
    assert_eq!(app.ctx.index.depth("ocr").await, Some(3), "the sweep put the rest back");
    assert_eq!(worker.claim(8).await.len(), 3);
    assert_eq!(app.ctx.index.depth("ocr").await, Some(0));
    drop(redis);
    let again = ines.get(&format!("/predict/{}", md5_of(&photo(1)))).await.ok(200);
    assert_eq!(again["status"], "running");
}

#[tokio::test]
async fn a_redis_that_stands_still_is_gone_on_without() {
    let redis = private_redis("stopped-redis").await;
    let app = TestApp::with(|s| {
        s.redis_url = darkroom::config::Secret(redis.url());
        s.redis_wait_ms = 1_000;
    })
    .await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    signal(&redis.pid().expect("a pid"), "STOP");
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    assert!(!app.ctx.index.is_live(), "the first call that took too long opened the circuit");
    let jobs = worker.claim(1).await;
    worker.succeed(&jobs[0]).await;
    let path = format!("/predict/{}", md5_of(&photo(1)));
    assert_eq!(ines.get(&path).await.ok(200)["status"], "succeeded");
    signal(&redis.pid().expect("a pid"), "CONT");
    until("redis to come back", async || maintenance::reconnect(&app.ctx).await.is_ok()).await;
    assert_eq!(ines.get(&path).await.ok(200)["status"], "succeeded", "what was mirrored before does not come back");
}

/// An installation on a Redis of its own that has mirrored one finished image, for a day; answers its owner and path as well.
async fn mirrored(redis: &Redis) -> (TestApp, Client, String) {
    mirrored_at(redis, redis.url()).await
}

/// The same where it reaches Redis by another URL.
async fn mirrored_at(redis: &Redis, url: String) -> (TestApp, Client, String) {
    let app = TestApp::with(|s| {
        s.redis_url = darkroom::config::Secret(url);
        s.redis_wait_ms = 1_000;
    })
    .await;
    let (worker, ines) = (app.worker("ocr").await, app.investigator("ines").await);
    let path = format!("/predict/{}", md5_of(&photo(1)));
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    worker.succeed(&worker.claim(1).await[0]).await;
    assert_eq!(ines.get(&path).await.ok(200)["status"], "succeeded");
    // As if it had been asked for again when the marks of its submission were gone.
    let mut connection = connect(redis).await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg("*:status:*").query_async(&mut connection).await.expect("the mirrored");
    let mut age = redis::cmd("EXPIRE");
    age.arg(&keys).arg(24 * 60 * 60).query_async::<()>(&mut connection).await.expect("one mirrored status");
    (app, ines, path)
}

async fn connect(redis: &Redis) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(redis.url()).expect("a client");
    client.get_multiplexed_async_connection().await.expect("a connection")
}

fn rerun() -> Form {
    Form::default().file("a.png", &photo(1)).text("models", "ocr").text("rerun", "true")
}

#[tokio::test]
async fn what_redis_missed_is_made_up_for_at_whichever_try_succeeds() {
    let redis = private_redis("missing-redis").await;
    let (app, ines, path) = mirrored(&redis).await;
    let setting = standing_epoch(&app).await;
    let epoch = setting.split_once(' ').expect("a run and its epoch").1;
    let other = private_redis("gone-redis").await;
    let gone = connect(&other).await;
    drop(other);
    let pid = redis.pid().expect("a pid");
    signal(&pid, "STOP");
    ines.upload(rerun()).await.ok(202);
    assert!(!app.ctx.index.is_live());
    assert!(app.ctx.index.trust(gone, "gone", epoch).await.is_err(), "it is gone again");
    signal(&pid, "CONT");
    until("redis to come back", async || maintenance::reconnect(&app.ctx).await.is_ok()).await;
    assert_eq!(ines.get(&path).await.ok(200)["status"], "queued");
}

/// The run of Redis and the epoch that stand.
async fn standing_epoch(app: &TestApp) -> String {
    let setting = sqlx::query_scalar("SELECT value FROM setting WHERE name = 'redis_epoch'");
    setting.fetch_one(&app.outside).await.expect("an epoch")
}

#[tokio::test]
async fn an_answer_of_redis_that_comes_too_late_costs_nobody_what_is_mirrored() {
    let redis = private_redis("late-redis").await;
    let proxy = Proxy::start(Path::new(redis.url().trim_start_matches("redis+unix://"))).await.expect("a proxy");
    let (app, ines, path) = mirrored_at(&redis, format!("redis://127.0.0.1:{}", proxy.port)).await;
    let other = app.replica_with(|s| s.redis_url = darkroom::config::Secret(redis.url())).await;
    maintenance::reconnect(&other.ctx).await.expect("redis");
    let there = ines.clone().through(other.router.clone());
    assert_eq!(there.get(&path).await.ok(200)["status"], "succeeded");
    let before = standing_epoch(&app).await;
    assert!(proxy.lose(proxy::ALL) > 0);
    ines.upload(rerun()).await.ok(202);
    assert_eq!(there.get(&path).await.ok(200)["status"], "queued", "what was mirrored was taken away all the same");
    assert_eq!(standing_epoch(&app).await, before, "and nothing else");
    maintenance::reconnect(&app.ctx).await.expect("redis");
    assert_eq!(ines.get(&path).await.ok(200)["status"], "queued");
}

async fn configure(redis: &Redis, setting: &str, value: u32) {
    let mut set = redis::cmd("CONFIG");
    set.arg("SET").arg(setting).arg(value);
    set.query_async::<()>(&mut connect(redis).await).await.expect("a setting");
}

#[tokio::test]
async fn a_redis_that_refuses_writes_is_gone_on_without_until_it_takes_them() {
    let redis = private_redis("refusing-redis").await;
    let (app, ines, path) = mirrored(&redis).await;
    configure(&redis, "min-replicas-to-write", 1).await;
    ines.upload(rerun()).await.ok(202);
    assert!(!app.ctx.index.is_live(), "it would show what was");
    assert_eq!(ines.get(&path).await.ok(200)["status"], "queued");
    assert!(maintenance::reconnect(&app.ctx).await.is_err(), "it still shows it");
    configure(&redis, "min-replicas-to-write", 0).await;
    maintenance::reconnect(&app.ctx).await.expect("redis");
    assert_eq!(ines.get(&path).await.ok(200)["status"], "queued");
}

/// Each way in which a Redis reads but refuses writes: what is set, and what undoes it.
const REFUSING: [(&str, &str, &str); 3] =
    [("min-replicas-to-write", "1", "0"), ("maxmemory", "1", "0"), ("acl", "-@write", "+@write")];

async fn refuse(redis: &Redis, setting: &str, value: &str) {
    let mut command = redis::cmd(if setting == "acl" { "ACL" } else { "CONFIG" });
    if setting == "acl" {
        command.arg("SETUSER").arg("default").arg(value);
    } else {
        command.arg("SET").arg(setting).arg(value);
    }
    command.query_async::<()>(&mut connect(redis).await).await.expect("a setting");
}

#[tokio::test]
async fn whichever_write_redis_refuses_nobody_trusts_it_until_it_takes_them() {
    let redis = private_redis("reading-redis").await;
    let (app, ines, path) = mirrored(&redis).await;
    for (setting, refusing, taking) in REFUSING {
        refuse(&redis, setting, refusing).await;
        let hint = Hint { id: uuid::Uuid::new_v4(), model: "ocr".to_owned(), rank: 0 };
        assert_eq!(app.ctx.index.push(&[hint]).await, None, "{setting}");
        assert!(!app.ctx.index.is_live(), "{setting}: one refused push is enough");
        assert!(maintenance::reconnect(&app.ctx).await.is_err(), "{setting}");
        refuse(&redis, setting, taking).await;
        maintenance::reconnect(&app.ctx).await.expect("redis");
        refuse(&redis, setting, refusing).await;
        assert!(!app.ctx.index.look_around().await && !app.ctx.index.is_live(), "{setting}: nobody wrote, and yet");
        ines.upload(rerun()).await.ok(202);
        assert_ne!(ines.get(&path).await.ok(200)["status"], "succeeded", "{setting}: nothing old");
        refuse(&redis, setting, taking).await;
        maintenance::reconnect(&app.ctx).await.expect("redis");
    }
}

#[tokio::test]
async fn an_epoch_begun_by_another_replica_is_taken_up() {
    let redis = private_redis("epoch-redis").await;
    let app = TestApp::with(|s| s.redis_url = darkroom::config::Secret(redis.url())).await;
    maintenance::compare_epochs(&app.ctx).await;
    assert!(app.ctx.index.is_live());
    app.alter("UPDATE setting SET value = split_part(value, ' ', 1) || ' another' WHERE name = 'redis_epoch'").await;
    maintenance::compare_epochs(&app.ctx).await;
    assert!(!app.ctx.index.is_live(), "what it fills there is nobody's");
    maintenance::reconnect(&app.ctx).await.expect("redis");
    assert_eq!(app.ctx.index.epoch().as_deref(), Some("another"));
}

/// What the look-ups of a path show, on one replica and on another.
async fn shown(one: &Client, other: &Client, path: &str) -> (Value, Value) {
    (one.get(path).await.ok(200)["status"].clone(), other.get(path).await.ok(200)["status"].clone())
}

#[tokio::test]
async fn replicas_with_different_redis_servers_settle_on_one_and_show_nothing_old() {
    let (redis, foreign) = (private_redis("first-of-two-redis").await, private_redis("second-of-two-redis").await);
    let (app, ines, path) = mirrored(&redis).await;
    let other = app.replica_with(|s| s.redis_url = darkroom::config::Secret(foreign.url())).await;
    let there = Client::new(other.router.clone(), ines.token.clone());
    for _ in 0..3 {
        maintenance::compare_epochs(&app.ctx).await;
        assert!(maintenance::reconnect(&other.ctx).await.is_err(), "another Redis is in use");
        assert!(app.ctx.index.is_live() && !other.ctx.index.is_live());
    }
    assert_eq!(shown(&ines, &there, &path).await, (json!("succeeded"), json!("succeeded")));
    // What the other commits it cannot take out of this mirror.
    there.upload(rerun()).await.ok(202);
    maintenance::compare_epochs(&app.ctx).await;
    maintenance::reconnect(&app.ctx).await.expect("redis");
    assert_eq!(shown(&ines, &there, &path).await, (json!("queued"), json!("queued")));
    let key = app.key_of(&app.admin().await, "predict", &["ocr"]).await;
    let worker = Worker::register(key, "ocr", "v1").await;
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    assert_eq!(shown(&ines, &there, &path).await, (json!("succeeded"), json!("succeeded")));
    let longest = longest_life(&redis, &app).await;
    assert!((1..=15).contains(&longest), "mirrored for {longest} s while somebody goes on without");
    // Nobody uses the first any more: then the other is as good.
    app.alter("UPDATE tick SET last_at = last_at - interval '1 min'").await;
    maintenance::reconnect(&other.ctx).await.expect("redis");
    maintenance::compare_epochs(&app.ctx).await;
    assert!(!app.ctx.index.is_live() && maintenance::reconnect(&app.ctx).await.is_err());
}

/// The longest that a status lives that a server's mirror shows, in seconds.
async fn longest_life(redis: &Redis, app: &TestApp) -> i64 {
    let epoch = app.ctx.index.epoch().expect("an epoch");
    let mut connection = connect(redis).await;
    let keys: Vec<String> =
        redis::cmd("KEYS").arg(format!("*:status:{epoch}")).query_async(&mut connection).await.expect("keys");
    let mut longest = 0;
    for key in keys {
        longest = longest.max(redis::cmd("TTL").arg(key).query_async(&mut connection).await.expect("a life"));
    }
    longest
}

#[tokio::test]
async fn what_is_owed_is_marked_when_it_is_paid() {
    let redis = private_redis("owed-redis").await;
    let (app, ines, path) = mirrored(&redis).await;
    let mut connection = connect(&redis).await;
    let marks: Vec<String> = redis::cmd("KEYS").arg("*:mark:*").query_async(&mut connection).await.expect("marks");
    redis::cmd("DEL").arg(marks).query_async::<()>(&mut connection).await.expect("no mark of its submission");
    refuse(&redis, "min-replicas-to-write", "1").await;
    app.ctx.index.mark_statuses(&[ContentMd5::parse(&md5_of(&photo(1))).expect("a hash")]).await;
    refuse(&redis, "min-replicas-to-write", "0").await;
    maintenance::reconnect(&app.ctx).await.expect("redis");
    // The transaction that owes it is still under way when somebody looks.
    assert_eq!(ines.get(&path).await.ok(200)["status"], "succeeded");
    let longest = longest_life(&redis, &app).await;
    assert!((1..=15).contains(&longest), "{longest}");
}

#[tokio::test]
async fn a_use_of_the_database_that_is_cut_short_keeps_no_connection() {
    let app = TestApp::with(|s| s.db_connections = 2).await;
    for _ in 0..2 {
        let stuck = app.ctx.db.run(async |db| sqlx::query("SELECT pg_sleep(9)").execute(db).await);
        assert!(tokio::time::timeout(Duration::from_millis(100), stuck).await.is_err(), "cut short");
    }
    let next = app.ctx.db.run(async |db| sqlx::query("SELECT 1").execute(db).await);
    tokio::time::timeout(Duration::from_secs(2), next).await.expect("a free connection").expect("an answer");
}

#[tokio::test]
async fn another_redis_begins_another_epoch() {
    let first = private_redis("first-redis").await;
    let app = TestApp::with(|s| s.redis_url = darkroom::config::Secret(first.url())).await;
    let setting = "SELECT count(DISTINCT value) FROM setting WHERE name = 'redis_epoch' AND value LIKE '% %'";
    assert_eq!(app.count(setting).await, 1);
    let before = standing_epoch(&app).await;
    maintenance::reconnect(&app.ctx).await.expect("redis");
    assert_eq!(standing_epoch(&app).await, before, "the same Redis, the same epoch");
    drop(first);
    let _second = private_redis("first-redis").await;
    maintenance::reconnect(&app.ctx).await.expect("redis");
    assert_ne!(standing_epoch(&app).await, before);
}

#[tokio::test]
async fn orphaned_bytes_are_collected_and_needed_ones_are_not() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let orphan = app.ctx.blobs.root().join("00".repeat(32));
    std::fs::create_dir_all(&orphan).expect("a folder");
    std::fs::write(orphan.join(uuid::Uuid::new_v4().to_string()), b"left by a dead server").expect("a file");
    assert_eq!(maintenance::collect_blobs(&app.ctx, Duration::from_secs(3600)).await.expect("a tick"), 0, "too young");
    assert_eq!(maintenance::collect_blobs(&app.ctx, Duration::ZERO).await.expect("a tick"), 1);
    ines.get(&format!("/images/{}/content", md5_of(&photo(1)))).await.ok(200);
}

/// A server that reaches PostgreSQL through a proxy, by TCP as in an installation.
async fn behind_proxy(name: &str) -> (Postgres, Arc<Proxy>, TestApp) {
    let postgres = own_postgres(name).await;
    let proxy = Proxy::start(&postgres.socket()).await.expect("a proxy");
    let url = format!("postgres://darkroom@127.0.0.1:{}/postgres?sslmode=disable", proxy.port);
    let app = TestApp::with(|s| s.database.database_url = darkroom::config::Secret(url)).await;
    (postgres, proxy, app)
}

/// Opens so many connections of a pool, which idle then.
async fn open(db: &Db, count: usize) {
    let opened: Vec<_> = futures_util::future::join_all((0..count).map(|_| db.pool().acquire())).await;
    for connection in opened {
        connection.expect("a connection").return_to_pool().await;
    }
}

#[tokio::test]
async fn half_open_connections_cost_one_refusal_and_no_more() {
    let (_postgres, proxy, app) = behind_proxy("half-open-postgres").await;
    let worker = app.worker("ocr").await;
    let ines = crate::work::submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    for (pool, word) in [
        (&app.ctx.hot, "\0darkroom-hot\0"),
        (&app.ctx.work, "\0darkroom-work\0"),
        (&app.ctx.db, "\0darkroom\0"),
        (&app.ctx.upkeep, "\0darkroom-upkeep\0"),
        (&app.ctx.chores, "\0darkroom-chores\0"),
        (&app.ctx.search, "\0darkroom-search\0"),
    ] {
        open(pool, 3).await;
        assert!(proxy.lose(word) >= 3, "{word:?}");
        let beat = json!({"draining": false, "jobs": [{"id": job["id"], "lease_no": job["lease_no"]}]});
        let first = worker.key.post(&format!("/workers/{}/heartbeat", worker.id), beat.clone()).await;
        assert!([200, 503].contains(&first.status.as_u16()), "{}", first.status);
        worker.key.post(&format!("/workers/{}/heartbeat", worker.id), beat).await.ok(200);
        ines.get("/submissions").await.ok(200);
        maintenance::rescue(&app.ctx).await.expect("a tick");
        app.nobody().get("/health/ready").await.ok(200);
    }
    // Closed at once, all of them: a batch that lost its connection is carried out again over one that lives.
    open(&app.ctx.hot, 5).await;
    proxy.cut();
    assert_eq!(worker.succeed(&job).await["status"], 200, "nobody was called dead");
}

#[tokio::test]
async fn a_replica_that_cannot_serve_its_workers_calls_none_dead() {
    let (_postgres, proxy, app) = behind_proxy("unserved-postgres").await;
    let worker = app.worker("ocr").await;
    crate::work::submit(&app, 1).await;
    let job = worker.claim(1).await.remove(0);
    maintenance::rescue(&app.ctx).await.expect("a tick");
    proxy.hold("\0darkroom-hot\0");
    let refused = worker.key.post("/jobs/claim", json!({"worker": worker.id, "claim_id": uuid::Uuid::new_v4()})).await;
    refused.problem(503, "unavailable");
    let ready = app.nobody().get("/health/ready").await;
    assert_eq!((ready.status.as_u16(), &ready.json()["postgres"]), (503, &json!("away")), "it asks what work needs");
    // What its workers said meanwhile was not heard, and the next tick comes in time.
    app.age_sessions(600.0).await;
    maintenance::rescue(&app.ctx).await.expect("a tick");
    assert_eq!(app.count("SELECT count(*) FROM worker_session WHERE ended_at IS NOT NULL").await, 0);
    proxy.release();
    until("the work to be served", async || app.ctx.readiness.ask().await.is_ok()).await;
    app.alter("UPDATE tick SET last_at = last_at - interval '10 min'").await;
    maintenance::rescue(&app.ctx).await.expect("a tick");
    assert_eq!(worker.succeed(&job).await["status"], 200, "a whole lease again");
}
