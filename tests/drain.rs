//! A worker that is asked to take no more finishes what it holds, is given nothing new, and is told so.

use std::process::Stdio;
use std::time::Duration;

use darkroom::domain::account::Role;
use serde_json::{Value, json};
use tokio::process::Command;
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo};
use crate::sdk::{PACKAGE, python};

async fn submit(who: &Client, photos: std::ops::Range<u64>) {
    for salt in photos {
        who.submit(&[("a.png", photo(salt))], &["ocr"]).await;
    }
}

/// What a claim is answered: whether it is to drain, and how many jobs it got.
async fn claim(worker: &Worker, wait_s: f64) -> (bool, usize) {
    let body = json!({"worker": worker.id, "claim_id": Uuid::new_v4(), "max": 4, "wait_s": wait_s});
    let answer = worker.key.post("/jobs/claim", body).await.ok(200);
    (answer["drain"] == true, answer["jobs"].as_array().map_or(0, Vec::len))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_asked_to_drain_gets_nothing_new_and_is_told_by_claim_and_beat() {
    let app = TestApp::new().await;
    let (admin, ines) = (app.admin().await, app.investigator("ines").await);
    let (rosa, ruth) = (app.user("rosa", &[Role::Researcher]).await, app.user("ruth", &[Role::Researcher]).await);
    let worker = Worker::register(app.key_of(&rosa, "predict", &["ocr"]).await, "ocr", "v1").await;
    app.sweep().await;
    let path = format!("/workers/{}", worker.id);
    submit(&ines, 0..2).await;
    let held = worker.claim(2).await;
    assert_eq!(held.len(), 2);

    // Who may not, changes nothing.
    ruth.patch(&path, json!({"draining": true})).await.problem(403, "missing_role");
    ines.patch(&path, json!({"draining": true})).await.problem(403, "missing_role");
    rosa.patch(&format!("/workers/{}", Uuid::new_v4()), json!({"draining": true})).await.problem(404, "not_found");
    rosa.patch(&path, json!({"draining": "yes"})).await.problem(422, "invalid_field");
    rosa.patch(&path, json!({})).await.problem(422, "invalid_field");
    assert_eq!(admin.get("/workers").await.ok(200)["items"][0]["draining"], false);

    // A claim that waits is answered at once.
    let waiting = tokio::spawn({
        let worker = worker.clone();
        async move { claim(&worker, 40.0).await }
    });
    until("the claim to wait", async || app.ctx.waiters.waiting_for("ocr", 0) == 1).await;
    let asked = rosa.patch(&path, json!({"draining": true})).await.ok(200);
    assert_eq!((&asked["draining"], &asked["owner"]), (&json!(true), &json!("rosa")));
    let told = tokio::time::timeout(Duration::from_secs(10), waiting).await.expect("an answer at once");
    assert_eq!(told.expect("a claim"), (true, 0));

    // Nothing that comes then is its own, by hint or by rank, however often it asks and whatever it says of itself.
    submit(&ines, 2..4).await;
    let beat = json!({"draining": false, "jobs": held.iter().map(|j| json!({"id": j["id"], "lease_no": 1})).collect::<Vec<_>>()});
    let beaten = worker.key.post(&format!("{path}/heartbeat"), beat).await.ok(200);
    assert_eq!((&beaten["drain"], &beaten["stop"]), (&json!(true), &json!([])));
    assert_eq!(claim(&worker, 0.0).await, (true, 0));
    let item = json!({"id": held[0]["id"], "lease_no": 1, "outcome": "succeeded", "result": {"fields": {"ok": true}}});
    let body = json!({"worker": worker.id, "items": [item], "claim": {"claim_id": Uuid::new_v4(), "max": 4}});
    let done = worker.key.post("/jobs/complete", body).await.ok(200);
    assert_eq!((&done["items"][0]["status"], &done["claimed"]["jobs"]), (&json!(200), &json!([])));
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'queued'").await, 2);

    // Asked once more it is no news; taken back, it works on.
    rosa.patch(&path, json!({"draining": true})).await.ok(200);
    admin.patch(&path, json!({"draining": false})).await.ok(200);
    assert_eq!(claim(&worker, 5.0).await, (false, 2));
    // Nobody who waits is woken by it.
    let other = Worker::register(worker.key.clone(), "ocr", "v1").await;
    let waiting = tokio::spawn(async move { claim(&other, 40.0).await });
    until("the claim to wait", async || app.ctx.waiters.waiting_for("ocr", 0) == 1).await;
    let before = app.ctx.waiters.lined_up();
    for _ in 0..5 {
        admin.patch(&path, json!({"draining": false})).await.ok(200);
    }
    assert_eq!((app.ctx.waiters.lined_up(), app.ctx.waiters.waiting_for("ocr", 0)), (before, 1));
    waiting.abort();
    let told = "SELECT count(*) FROM audit_events WHERE code = 'worker_changed' AND account IS NOT NULL AND worker IS NOT NULL AND model = 'ocr'
                AND (account, reason) IN (('rosa', 'draining'), ('root', 'recalled'))";
    assert_eq!(app.count(told).await, 2);
    assert_eq!(app.count("SELECT count(*) FROM job_event WHERE code = 'worker_changed'").await, 2);
    worker.key.delete(&path).await.ok(204);
    rosa.patch(&path, json!({"draining": true})).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_come_beside_the_wish_get_nothing_once_it_is_answered() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    let worker = app.worker("ocr").await;
    let other = app.replica().await;
    let there = Worker { key: Client::new(other.router.clone(), worker.key.token.clone()), id: worker.id.clone() };
    let admin = app.admin().await;
    // It waits at another replica, which is told nothing.
    let waiting = tokio::spawn(async move { claim(&there, 3.0).await });
    until("the claim to wait", async || other.ctx.waiters.waiting_for("ocr", 0) == 1).await;
    admin.patch(&format!("/workers/{}", worker.id), json!({"draining": true})).await.ok(200);
    submit(&ines, 0..1).await;
    let hint = app.ctx.index.pop("ocr", 1).await;
    if let darkroom::index::queue::Popped::Hints(jobs) = hint {
        other.ctx.waiters.wake_each("ocr", 0, jobs.into_iter().map(darkroom::service::waiters::Wake::Hinted));
    }
    assert_eq!(waiting.await.expect("a claim").1, 0);
    assert_eq!(app.count("SELECT count(*) FROM job WHERE state = 'queued'").await, 1);
    let next = Worker::register(worker.key.clone(), "ocr", "v1").await;
    assert_eq!(next.claim_as(Uuid::new_v4(), 1, 5.0).await.len(), 1, "it is another's");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_python_worker_that_is_asked_to_drain_finishes_and_ends() {
    let Some(python) = python() else { return };
    let app = TestApp::new().await;
    let server = app.process(&[("DARKROOM_HEARTBEAT_S", "0.5"), ("DARKROOM_LEASE_S", "10")]);
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("slow.py");
    let code = "import os, time\ndef predict(image):\n    open(os.environ['BEGUN'], 'w').close()\n    while not os.path.exists(os.environ['GO']):\n        time.sleep(0.02)\n    return {'seen': True}\n";
    std::fs::write(&model, code).expect("a model");
    let (begun, go) = (folder.path().join("begun"), folder.path().join("go"));
    let key = app.key("predict", &["ocr"]).await.token.expect("a key");
    let mut serving = Command::new(&python)
        .args(["-m", "darkroom_worker", "run", "--name", "ocr", "--server", &server.base, "--ready-file"])
        .arg(folder.path().join("ready"))
        .arg(&model)
        .env("PYTHONPATH", std::fs::canonicalize(PACKAGE).expect("the package"))
        .envs([("PYTHONDONTWRITEBYTECODE", "1"), ("DARKROOM_API_KEY", key.as_str())])
        .envs([("BEGUN", &begun), ("GO", &go)])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a worker");
    let (admin, ines) = (app.admin().await, app.investigator("ines").await);
    let listed = async || admin.get("/workers").await.ok(200)["items"].clone();
    until("the worker", async || listed().await[0].is_object()).await;
    submit(&ines, 0..1).await;
    until("the model to begin", async || begun.exists()).await;
    let path = format!("/workers/{}", listed().await[0]["worker"].as_str().expect("an id"));
    admin.patch(&path, json!({"draining": true})).await.ok(200);
    submit(&ines, 1..2).await;
    std::fs::write(&go, "").expect("a file");
    let ended = tokio::time::timeout(Duration::from_secs(30), serving.wait()).await.expect("it ends");
    assert_eq!(ended.expect("an exit").code(), Some(0));
    let status =
        async |salt: u64| ines.get(&format!("/predict/{}", md5_of(&photo(salt)))).await.ok(200)["status"].clone();
    assert_eq!((status(0).await, status(1).await), (json!("succeeded"), json!("queued")));
    assert_eq!(listed().await, Value::Array(Vec::new()), "it said good-bye");
    assert_eq!(app.count("SELECT count(*) FROM job_event WHERE code IN ('released', 'rescued')").await, 0);
}
