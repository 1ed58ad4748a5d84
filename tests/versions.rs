//! Two versions of a model live at once: the newest gets the work, and nothing waits for it.

use darkroom::maintenance;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::Client;
use crate::kit::images::photo;
use crate::two_seconds::claim_in_time;

/// Workers of the first and the second version of a model, in this order registered; each takes 8 jobs at once.
async fn two(app: &TestApp, model: &str) -> (Worker, Worker) {
    let key = app.key("predict", &[model]).await;
    let old = Worker::register(key.clone(), model, "v1").await;
    let new = Worker::register(key, model, "v2").await;
    app.sweep().await;
    (old, new)
}

/// The same worker, calling another replica.
fn at(replica: &TestApp, worker: &Worker) -> Worker {
    Worker { key: worker.key.clone().through(replica.router.clone()), id: worker.id.clone() }
}

async fn submit(ines: &Client, model: &str, salts: std::ops::Range<u64>) {
    let files: Vec<(String, Vec<u8>)> = salts.map(|salt| (format!("{salt}.png"), photo(salt))).collect();
    let files: Vec<(&str, Vec<u8>)> = files.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    ines.submit(&files, &[model]).await;
}

fn waiting(worker: &Worker, max: usize) -> tokio::task::JoinHandle<Vec<Value>> {
    let worker = worker.clone();
    tokio::spawn(async move { worker.claim_as(Uuid::new_v4(), max, 30.0).await })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_gets_what_it_has_room_for_wherever_it_waits() {
    let app = TestApp::new().await;
    let other = app.replica().await;
    let (old, new) = two(&app, "ocr").await;
    let new = at(&other, &new);
    let _houses = (app.keep_house(), other.keep_house());
    let ines = app.investigator("ines").await;
    submit(&ines, "ocr", 0..1).await;
    assert_eq!(new.claim_as(Uuid::new_v4(), 1, 5.0).await.len(), 1);
    // The older one waits where the jobs come in, the newer one elsewhere.
    let older = waiting(&old, 8);
    until("the older to wait", async || app.ctx.waiters.waiting_for("ocr", 0) == 1).await;
    for salt in 1..8 {
        // However long this machine stands still, it has just claimed.
        app.alter("UPDATE claim SET at = clock_timestamp() + interval '1 h'").await;
        let newer = waiting(&new, 1);
        until("the newer to wait", async || other.ctx.waiters.waiting_for("ocr", 0) == 1).await;
        submit(&ines, "ocr", salt..salt + 1).await;
        assert_eq!(newer.await.expect("a claim").len(), 1);
        assert!(!older.is_finished(), "the newer one waits and has room");
    }
    // All its places are taken: what comes now is the older one's.
    submit(&ines, "ocr", 8..9).await;
    assert_eq!(older.await.expect("a claim").len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_job_waits_two_seconds_for_a_newer_version_that_does_not_come() {
    let app = TestApp::new().await;
    let other = app.replica().await;
    let _houses = (app.keep_house(), other.keep_house());
    let ines = app.investigator("ines").await;
    let cases = ["is silent", "is full", "drains", "leaves", "dies"].into_iter().enumerate();
    let tried = cases.map(async |(n, how)| {
        let model = how.replace(' ', "_");
        let (old, new) = two(&app, &model).await;
        let new = at(&other, &new);
        let (path, first) = (format!("/workers/{}", new.id), 100 * n as u64);
        match how {
            "is full" => {
                submit(&ines, &model, first + 10..first + 18).await;
                assert_eq!(new.claim_as(Uuid::new_v4(), 8, 5.0).await.len(), 8);
            }
            "drains" => {
                let beat = json!({"draining": true, "jobs": []});
                new.key.post(&format!("{path}/heartbeat"), beat).await.ok(200);
            }
            "leaves" => drop(new.key.delete(&path).await.ok(204)),
            "dies" => {
                app.alter(
                    "UPDATE worker_session AS s SET alive_until = clock_timestamp() FROM model_version AS v, queue AS q
                                 WHERE v.id = s.version_id AND v.name = 'v2' AND q.id = s.queue_id AND q.name = 'dies'",
                )
                .await;
            }
            _ => {}
        }
        // Twice: at first with what is known from before.
        for salt in first..first + 2 {
            let (job, ()) = tokio::join!(claim_in_time(&app, &old), submit(&ines, &model, salt..salt + 1));
            old.succeed(&job).await;
        }
    });
    futures_util::future::join_all(tried).await;
}

#[tokio::test]
async fn jobs_that_nobody_took_are_the_newests_only_while_it_claims() {
    let app = TestApp::new().await;
    let other = app.replica().await;
    let (old, new) = two(&app, "ocr").await;
    let ines = app.investigator("ines").await;
    submit(&ines, "ocr", 0..6).await;
    app.alter("UPDATE job SET run_at = run_at - interval '1 h'").await;
    assert_eq!(new.claim(1).await.len(), 1, "it has room for more");
    for replica in [&app, &other] {
        maintenance::probe(&replica.ctx).await.expect("a probe");
        let old = at(replica, &old);
        app.alter("UPDATE claim SET at = clock_timestamp() + interval '1 h'").await;
        assert!(old.claim(1).await.is_empty(), "the newer one has just claimed");
        app.alter("UPDATE claim SET at = clock_timestamp() - interval '1 h'").await;
        let left = old.claim(1).await;
        assert_eq!(left.len(), 1, "a worker that only asks is not kept waiting for one that does not");
        old.succeed(&left[0]).await;
    }
    let admin = app.admin().await;
    app.alter("UPDATE claim SET at = clock_timestamp() + interval '1 h'").await;
    admin.patch("/models/ocr", json!({"served_by": "any"})).await.ok(200);
    assert_eq!(old.claim(1).await.len(), 1, "all alike");
    assert_eq!(admin.patch("/models/ocr", json!({"served_by": "newest"})).await.ok(200)["served_by"], "newest");
    assert!(old.claim(1).await.is_empty());
    admin.patch("/models/ocr", json!({"served_by": "oldest"})).await.problem(422, "invalid_field");
}

#[tokio::test]
async fn the_list_of_models_tells_which_version_served_how_much() {
    let app = TestApp::new().await;
    let (old, new) = two(&app, "ocr").await;
    // Registered again, it is no newer than it was.
    Worker::register(old.key.clone(), "ocr", "v1").await;
    let ines = app.investigator("ines").await;
    submit(&ines, "ocr", 0..6).await;
    let jobs = new.claim(5).await;
    for job in &jobs[..3] {
        new.succeed(job).await;
        new.succeed(job).await;
    }
    // One that ran alone counts as well, and one that failed does not.
    app.alter("UPDATE job SET suspect = true WHERE state = 'running'").await;
    new.succeed(&jobs[3]).await;
    new.complete(&jobs[4], json!({"outcome": "rejected"})).await;
    ines.patch("/models/ocr", json!({"served_by": "any"})).await.problem(403, "missing_role");
    app.admin().await.patch("/models/ocr", json!({"served_by": "any"})).await.ok(200);
    old.succeed(&old.claim(1).await[0]).await;
    for _ in 0..2 {
        app.ctx.versions.write(&app.ctx.db).await.expect("to be written");
    }
    for listed in [ines.get("/models").await.ok(200)["items"][0].clone(), ines.get("/models/ocr").await.ok(200)] {
        let told = |n: usize, field: &str| listed["served"][n][field].clone();
        assert_eq!((told(0, "version"), told(0, "workers"), told(0, "jobs")), (json!("v2"), json!(1), json!(4)));
        assert_eq!((told(1, "version"), told(1, "workers"), told(1, "jobs")), (json!("v1"), json!(2), json!(1)));
        assert!(told(0, "first_registered_at").as_str() > told(1, "first_registered_at").as_str());
    }
}
