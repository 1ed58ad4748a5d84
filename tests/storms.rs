//! Everybody at once on the same few images: locks are taken in one order, so that no deadlock reaches a client.

use std::time::{Duration, Instant};

use rand::seq::{IndexedRandom, SliceRandom};
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::{Answer, Client};
use crate::kit::images::{md5_of, photo};

/// How long it rages: many times the second after which PostgreSQL looks for deadlocks.
const STORM: Duration = Duration::from_secs(10);
const MODELS: [&str; 2] = ["ocr", "faces"];
/// So few that nearly every submission meets jobs of others.
const IMAGES: u64 = 24;
const SUBMITTERS: usize = 4;
const WORKERS: usize = 6;
/// Submissions that a user keeps to cancel.
const KEPT: usize = 4;

/// What a client may be told: anything but that the service failed.
#[track_caller]
fn told(answer: &Answer) -> Value {
    assert!(answer.status.as_u16() < 500, "{}: {}", answer.status, String::from_utf8_lossy(&answer.bytes));
    answer.json()
}

/// Attaches to what others wait for, or begins it anew, in an order of its own, and takes some of it back.
async fn submit_and_cancel(user: Client, mut dice: StdRng, end: Instant) {
    let mut images: Vec<String> = (0..IMAGES).map(|salt| md5_of(&photo(salt))).collect();
    let mut kept = Vec::new();
    while Instant::now() < end {
        images.shuffle(&mut dice);
        let some = &images[..dice.random_range(1..=images.len())];
        let submission = Uuid::new_v4();
        let body = json!({ "images": some, "models": MODELS, "submission": submission, "rerun": dice.random_bool(0.7),
                           "priority": dice.random_range(-1..=1) });
        let answer = told(&user.post("/predict", body).await);
        kept.push(submission);
        if kept.len() > KEPT {
            let submission = kept.swap_remove(dice.random_range(0..kept.len()));
            told(&user.post(&format!("/submissions/{submission}/cancel"), Value::Null).await);
        }
        if dice.random_bool(0.2) {
            let images = answer["images"].as_array().into_iter().flatten();
            let jobs: Vec<&Value> = images.flat_map(|i| i["jobs"].as_array()).flatten().collect();
            if let Some(job) = jobs.choose(&mut dice) {
                let id = job["id"].as_str().expect("an id");
                told(&user.post(&format!("/jobs/{id}/cancel"), Value::Null).await);
            }
        }
    }
}

/// Takes jobs under two claims at a time and gives them back mixed, in every way there is.
async fn work(worker: Worker, mut dice: StdRng, end: Instant) {
    while Instant::now() < end {
        let mut held = worker.claim_as(Uuid::new_v4(), dice.random_range(1..=6), 0.05).await;
        held.extend(worker.claim_as(Uuid::new_v4(), dice.random_range(1..=6), 0.0).await);
        held.shuffle(&mut dice);
        let (mut completed, mut released) = (Vec::new(), Vec::new());
        for job in held {
            let mut item = json!({ "id": job["id"], "lease_no": job["lease_no"] });
            match dice.random_range(0..10) {
                0 => released.push(item),
                1 => {
                    item["outcome"] = json!("retry");
                    item["error"] = json!({ "type": "Again", "message": "as ordered" });
                    completed.push(item);
                }
                _ => {
                    item["outcome"] = json!("succeeded");
                    item["result"] = json!({ "fields": { "ok": true } });
                    completed.push(item);
                }
            }
        }
        for (path, items) in [("/jobs/complete", completed), ("/jobs/release", released)] {
            if !items.is_empty() {
                told(&worker.key.post(path, json!({ "worker": worker.id, "items": items })).await);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_attaching_completing_and_cancelling_tells_nobody_of_a_deadlock() {
    let app = TestApp::new().await;
    let replicas = [app.replica().await, app.replica().await];
    let seed: u64 = rand::random();
    println!("the storm's seed is {seed}");
    let dice = |n: u64| StdRng::seed_from_u64(seed.wrapping_add(n));
    let admin = app.admin().await;
    let key = app.key_of(&admin, "predict", &MODELS).await.token;
    let mut workers = Vec::new();
    for n in 0..WORKERS {
        let key = Client::new(replicas[n / MODELS.len() % replicas.len()].router.clone(), key.clone());
        workers.push(Worker::register(key, MODELS[n % MODELS.len()], "v1").await);
    }
    // A job that comes back is there at once.
    for model in MODELS {
        let policy = json!({ "backoff_base_s": 0, "backoff_cap_s": 0, "max_attempts": 100 });
        admin.patch(&format!("/models/{model}"), policy).await.ok(200);
    }
    let photos: Vec<(&str, Vec<u8>)> = (0..IMAGES).map(|salt| ("a.png", photo(salt))).collect();
    let mut users = Vec::new();
    for n in 0..SUBMITTERS {
        let user = replicas[n % replicas.len()].investigator(&format!("user-{n}")).await;
        user.submit(&photos, &MODELS).await;
        users.push(user);
    }
    let _houses = [replicas[0].keep_house(), replicas[1].keep_house()];
    let end = Instant::now() + STORM;
    let mut storm = JoinSet::new();
    for (n, user) in users.into_iter().enumerate() {
        storm.spawn(submit_and_cancel(user, dice(n as u64), end));
    }
    for (n, worker) in workers.iter().enumerate() {
        storm.spawn(work(worker.clone(), dice(100 + n as u64), end));
    }
    storm.join_all().await;
    let ended = app.count("SELECT count(*) FROM audit_jobs WHERE finished_at IS NOT NULL").await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    println!("{ended} jobs ended in the storm; PostgreSQL broke {} deadlocks", app.count(deadlocks).await);
    // What is left has an end, too: nothing stayed locked or was forgotten.
    until("every job to end", async || {
        for worker in &workers {
            for job in worker.claim(100).await {
                worker.succeed(&job).await;
            }
        }
        app.count("SELECT count(*) FROM audit_jobs WHERE finished_at IS NULL").await == 0
    })
    .await;
    let twice = "SELECT count(*) FROM (SELECT id FROM audit_jobs GROUP BY id HAVING count(*) > 1) AS twice";
    assert_eq!(app.count(twice).await, 0, "and one end only");
}
