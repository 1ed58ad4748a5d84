//! No job that may be claimed now waits over two seconds while a session that may claim it waits, the service being up.
//!
//! Both ends of a wait are times of the database. The bound is the promise itself: a replica looks every second, give or
//! take a tenth, which leaves time enough for a statement. Nothing is added to it but what the machine is seen to take
//! from this very process meanwhile: by how much a tick of 10 ms came late at most.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use darkroom::app::App;
use darkroom::config::Secret;
use darkroom::dev::{Redis, process};
use darkroom::maintenance;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker};
use crate::kit::client::Client;
use crate::kit::images::photo;
use crate::kit::scratch;

/// The promise, in seconds.
const BOUND_S: f64 = 2.0;
/// How long a claim waits: long enough to tell a late answer from none.
const WAIT_S: f64 = 20.0;
/// Nobody listens there.
const NO_REDIS: &str = "redis+unix:///nowhere/redis.sock";
/// How often this process looks whether it is given the processor.
const TICK: Duration = Duration::from_millis(10);

/// The database's time.
async fn now(app: &TestApp) -> DateTime<Utc> {
    sqlx::query_scalar("SELECT clock_timestamp()").fetch_one(app.ctx.db.pool()).await.expect("a time")
}

/// How long a job that is running now had waited for its claim since it might be claimed, and since the claim was sent.
async fn waited_s(app: &TestApp, job: &Value, sent: DateTime<Utc>) -> f64 {
    let sql = "SELECT extract(epoch FROM started_at - greatest(created_at, run_at, $2))::float8 FROM audit_jobs
               WHERE id = $1 AND state = 'running'";
    let id: Uuid = job["id"].as_str().expect("an id").parse().expect("a UUID");
    sqlx::query_scalar(sql).bind(id).bind(sent).fetch_one(&app.outside).await.expect("a running job")
}

/// Waits for one job, and holds its hand-out to the promise.
pub(crate) async fn claim_in_time(app: &TestApp, worker: &Worker) -> Value {
    let sent = now(app).await;
    let mut late = Duration::ZERO;
    let ticking = async {
        loop {
            let slept = Instant::now();
            tokio::time::sleep(TICK).await;
            late = late.max(slept.elapsed().saturating_sub(TICK));
        }
    };
    let mut jobs = tokio::select! {
        jobs = worker.claim_as(Uuid::new_v4(), 1, WAIT_S) => jobs,
        () = ticking => unreachable!("it ticks without end"),
    };
    assert_eq!(jobs.len(), 1, "nothing was handed out in {WAIT_S} s");
    let (waited, late) = (waited_s(app, &jobs[0], sent).await, late.as_secs_f64());
    assert!(
        waited <= BOUND_S + late,
        "a job waited {waited:.2} s beside a session that waited for it ({late:.2} s stalled)"
    );
    jobs.remove(0)
}

/// Takes every queue of this installation out of Redis; what vouches for them stays.
async fn lose_hints(app: &TestApp) {
    let client = redis::Client::open(app.settings.redis_url.0.clone()).expect("a client");
    let mut connection = client.get_multiplexed_async_connection().await.expect("a connection");
    let pattern = format!("*{}:*", app.settings.namespace);
    let keys: Vec<String> = redis::cmd("KEYS").arg(pattern).query_async(&mut connection).await.expect("keys");
    let mut lost = 0;
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query_async(&mut connection).await.expect("a type");
        if kind == "zset" {
            lost += redis::cmd("DEL").arg(&key).query_async::<i64>(&mut connection).await.expect("to be deleted");
        }
    }
    assert!(lost > 0, "there was a queue to lose");
}

/// Another server on the same database and data that reaches no Redis: it can tell nobody of what it commits.
async fn mute_replica(app: &TestApp) -> (App, JoinSet<()>) {
    let mut settings = app.settings.clone();
    settings.redis_url = Secret(NO_REDIS.to_owned());
    let mute = App::new(&settings).await.expect("a replica");
    let house = maintenance::start(&mute.ctx);
    (mute, house)
}

async fn submit(ines: &Client, salts: std::ops::Range<u64>) {
    let files: Vec<(&str, Vec<u8>)> = salts.map(|salt| ("a.png", photo(salt))).collect();
    ines.submit(&files, &["ocr"]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_whose_hint_is_lost_waits_no_longer() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let _house = app.keep_house();
    let ines = app.investigator("ines").await;
    submit(&ines, 0..4).await;
    lose_hints(&app).await;
    for _ in 0..4 {
        let job = claim_in_time(&app, &worker).await;
        worker.succeed(&job).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_that_nobody_was_told_of_waits_no_longer() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let (mute, _its_house) = mute_replica(&app).await;
    let _house = app.keep_house();
    let ines = Client::new(mute.router.clone(), app.investigator("ines").await.token);
    for salt in 0..4 {
        let (job, ()) = tokio::join!(claim_in_time(&app, &worker), submit(&ines, salt..salt + 1));
        worker.succeed(&job).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_handed_out_by_another_replica_while_redis_is_stopped() {
    let redis = Redis::start(&scratch::make("two-seconds-redis").expect("a folder"), true).await.expect("Redis");
    let app = TestApp::with(|s| {
        s.redis_url = Secret(redis.url());
        // As an installation has it: how long a stopped Redis is waited for counts.
        s.redis_wait_ms = 300;
    })
    .await;
    let worker = app.worker("ocr").await;
    let other = app.replica().await;
    let _houses = (app.keep_house(), other.keep_house());
    let ines = other.investigator("ines").await;
    let pid = redis.pid().expect("a pid");
    process::signal(&pid, "STOP").expect("a signal");
    let claims = tokio::spawn(async move {
        for salt in 0..3 {
            let (job, ()) = tokio::join!(claim_in_time(&app, &worker), submit(&ines, salt..salt + 1));
            worker.succeed(&job).await;
        }
    });
    let claimed = claims.await;
    // Or it could not end.
    process::signal(&pid, "CONT").expect("a signal");
    claimed.expect("claims in time");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_is_handed_out_by_another_replica_while_redis_is_gone() {
    let app = TestApp::without_redis(NO_REDIS).await;
    let worker = app.worker("ocr").await;
    let (other, _its_house) = mute_replica(&app).await;
    let _house = app.keep_house();
    let ines = Client::new(other.router.clone(), app.investigator("ines").await.token);
    for salt in 0..3 {
        let (job, ()) = tokio::join!(claim_in_time(&app, &worker), submit(&ines, salt..salt + 1));
        worker.succeed(&job).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_waits_no_longer_once_it_is_due() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let _house = app.keep_house();
    let ines = app.investigator("ines").await;
    submit(&ines, 0..1).await;
    let job = claim_in_time(&app, &worker).await;
    let error = json!({ "type": "Later", "message": "not now" });
    worker.complete(&job, json!({ "outcome": "retry", "retry_after_s": 1.5, "error": error })).await;
    let job = claim_in_time(&app, &worker).await;
    assert_eq!(job["attempt"], 2);
}
