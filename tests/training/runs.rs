//! Runs are started, claimed, ended, cancelled and tried again: by the code that serves jobs on images.

use std::time::Duration;

use darkroom::maintenance;
use darkroom::service::announce;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::{Trainer, researcher, shown, start};
use crate::kit::app::{TestApp, Worker, until};

#[tokio::test]
async fn a_run_is_started_claimed_and_ended_with_its_parameters() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let asked = json!({"dataset": "digits", "model": {"layers": [64, 10]}, "loss": "cross_entropy", "optimizer": "adam",
        "learning_rate": [0.1, 0.01], "epochs": 3, "seed": 123, "split": 0.25, "batch_size": 64, "save": true, "momentum": 0.9,
        "priority": 5});
    let answer = rosa.post("/training/train", asked.clone()).await;
    let id = answer.ok(202)["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.headers["location"], format!("/training/results/{id}"));
    assert_eq!((&answer.json()["state"], &answer.json()["workers"]), (&json!("queued"), &json!(1)));

    let run = trainer.next().await;
    assert_eq!(
        (&run["id"], &run["dataset"], &run["model"], &run["image"]),
        (&json!(id), &json!("digits"), &json!(null), &json!(null))
    );
    assert_eq!((&run["attempt"], &run["deadline_s"]), (&json!(1), &json!(86_400.0)));
    let mut params = asked.clone();
    for reserved in ["dataset", "priority"] {
        params.as_object_mut().expect("an object").remove(reserved);
    }
    assert_eq!(run["params"], params, "every parameter reaches the worker");
    assert_eq!(run["run"]["checkpoint"], Value::Null);
    assert_eq!(shown(&rosa, &id).await["state"], "running");

    let result = json!({"accuracy": 0.97, "confusion": [[1, 0], [0, 1]]});
    let done = trainer.succeed(&run, result.clone()).await;
    assert_eq!((&done["state"], &done["repeat"]), (&json!("succeeded"), &json!(false)));
    assert_eq!(trainer.succeed(&run, json!("other")).await["repeat"], true);
    let told = shown(&rosa, &id).await;
    assert_eq!((&told["state"], &told["result"], &told["attempt"]), (&json!("succeeded"), &result, &json!(1)));
    assert_eq!((&told["account"], &told["params"]), (&json!("rosa"), &params));
    assert!(told["started_at"].is_string() && told["finished_at"].is_string());
    let job = rosa.get(&format!("/jobs/{id}")).await.ok(200);
    assert_eq!((&job["model"], &job["dataset"], &job["md5"]), (&json!(null), &json!("digits"), &json!(null)));
    let codes: Vec<&str> =
        job["events"].as_array().expect("events").iter().filter_map(|e| e["code"].as_str()).collect();
    assert_eq!(codes, ["created", "claimed", "succeeded"]);
    assert_eq!(app.count("SELECT count(*) FROM outcome").await, 0, "what a run came to is no answer about an image");
    let worker = rosa.get("/workers").await.ok(200)["items"][0].clone();
    assert_eq!(
        (&worker["service"], &worker["dataset"], &worker["model"]),
        (&json!("train"), &json!("digits"), &json!(null))
    );
}

#[tokio::test]
async fn two_runs_of_a_dataset_never_run_at_once() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let replica = app.replica().await;
    let key = app.key("train", &["*"]).await;
    let mut trainers = Vec::new();
    for n in 0..6 {
        let key = if n % 2 == 0 { key.clone() } else { key.clone().through(replica.router.clone()) };
        trainers.push(Trainer::with_key(key, "digits", Value::Null).await);
    }
    let other = Trainer::with_key(key, "faces", Value::Null).await;
    for n in 0..4 {
        start(&rosa, json!({"seed": n})).await;
    }
    rosa.post("/training/train", json!({"dataset": "faces"})).await.ok(202);
    for left in (0..4).rev() {
        let claimed = join_all(trainers.iter().map(Trainer::claim)).await;
        let (who, run) = claimed.iter().enumerate().find_map(|(n, run)| Some((n, run.clone()?))).expect("a run");
        assert_eq!(claimed.iter().flatten().count(), 1, "with {left} left");
        assert!(join_all(trainers.iter().map(Trainer::claim)).await.iter().all(Option::is_none));
        assert_eq!(trainers[who].succeed(&run, json!(null)).await["state"], "succeeded");
    }
    assert!(other.claim().await.is_some(), "another dataset is not held up");
    let refused = sqlx::query("UPDATE queue SET max_running = 2 WHERE kind = 'dataset'").execute(&app.outside).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("queue_dataset_alone")));
}

#[tokio::test]
async fn a_waiting_trainer_is_woken_by_a_run_and_by_the_end_of_another() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let first = Trainer::new(&app, "digits").await;
    let second = Trainer::with_key(first.worker.key.clone(), "digits", Value::Null).await;
    let (run, _) = tokio::join!(first.worker.claim_as(Uuid::new_v4(), 1, 40.0), async {
        until("a waiting claim", async || !app.ctx.waiters.waited_for().is_empty()).await;
        start(&rosa, json!({})).await
    });
    start(&rosa, json!({"seed": 2})).await;
    let _house = app.keep_house();
    let waiting = second.worker.claim_as(Uuid::new_v4(), 1, 40.0);
    let ending = async {
        until("a waiting claim", async || !app.ctx.waiters.waited_for().is_empty()).await;
        first.succeed(&run[0], json!(null)).await;
    };
    let (next, ()) = tokio::join!(waiting, ending);
    assert_eq!(next[0]["params"]["seed"], 2);
}

#[tokio::test]
async fn a_run_wakes_a_service_that_waits_at_another_replica() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    // Neither keeps house: nobody looks but whom a wake-up reaches.
    let other = app.replica().await;
    let ctx = other.ctx.clone();
    let mut listening = JoinSet::new();
    listening.spawn(async move { announce::listen(&ctx).await.expect("to listen") });
    let key = trainer.worker.key.clone().through(other.router.clone());
    let there = Worker { key, id: trainer.worker.id.clone() };
    let waits =
        async || other.ctx.waiters.waiting_for("dataset/digits", 0) == 1 && app.ctx.index.listeners().await == Some(1);
    let starting = async {
        until("a waiting claim and a listener", waits).await;
        start(&rosa, json!({})).await
    };
    let claiming = tokio::time::timeout(Duration::from_secs(20), there.claim_as(Uuid::new_v4(), 1, 40.0));
    let (claimed, run) = tokio::join!(claiming, starting);
    assert_eq!(claimed.expect("a wake-up")[0]["id"], json!(run));
}

#[tokio::test]
async fn a_model_and_a_dataset_of_one_name_are_not_taken_for_each_other() {
    let app = TestApp::new().await;
    let (rosa, admin) = (researcher(&app, "rosa").await, app.admin().await);
    let model = app.worker("digits").await;
    let trainer = Trainer::new(&app, "digits").await;
    let run = start(&rosa, json!({})).await;
    assert!(model.claim(1).await.is_empty());
    assert_eq!(trainer.next().await["id"], json!(run));
    let models = admin.get("/models").await.ok(200);
    assert_eq!(models["items"].as_array().map(Vec::len), Some(1));
    let queues = admin.get("/queues").await.ok(200);
    let names: Vec<&str> =
        queues["items"].as_array().expect("queues").iter().filter_map(|q| q["model"].as_str()).collect();
    assert_eq!(names, ["dataset/digits", "digits"]);
    let scraped = app.nobody().get("/metrics").await;
    let text = String::from_utf8_lossy(&scraped.bytes).into_owned();
    assert!(text.contains(r#"darkroom_jobs{model="dataset/digits",state="running"} 1"#), "{text}");
    // A key of one service type works for nothing of the other.
    let body = json!({"service": "predict", "model": "digits", "version": "1", "instance": Uuid::new_v4()});
    trainer.worker.key.post("/workers/register", body).await.problem(403, "wrong_service");
    let body = json!({"service": "train", "dataset": "digits", "version": "1", "instance": Uuid::new_v4()});
    model.key.post("/workers/register", body).await.problem(403, "wrong_service");
}

#[tokio::test]
async fn a_run_outlives_its_service_and_the_server() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let first = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({"epochs": 2})).await;
    let run = first.next().await;
    maintenance::rescue(&app.ctx).await.expect("a tick");
    app.age_sessions(3600.0).await;
    maintenance::rescue(&app.ctx).await.expect("a tick");
    let late = first.succeed(&run, json!("late")).await;
    assert_eq!(late["problem"]["code"], "stale_lease");
    // Another server, and Redis without anything that was in it.
    let replica = app.replica().await;
    app.ctx.index.clear_queue("dataset/digits").await;
    let key = first.worker.key.clone().through(replica.router.clone());
    let second = Trainer::with_key(key, "digits", Value::Null).await;
    let again = second.next().await;
    assert_eq!((&again["id"], &again["lease_no"], &again["solo"]), (&json!(id), &json!(2), &json!(true)));
    let retried = second
        .worker
        .complete(&again, json!({"outcome": "retry", "retry_after_s": 0, "error": {"type": "MemoryError", "message": "too large", "traceback": "…"}}))
        .await;
    assert_eq!(retried["state"], "queued");
    let third = second.next().await;
    let ended = second
        .worker
        .complete(&third, json!({"outcome": "rejected", "error": {"type": "ValueError", "message": "no such layer"}}))
        .await;
    assert_eq!(ended["state"], "failed");
    let told = shown(&rosa, &id).await;
    assert_eq!(
        (&told["state"], &told["reason"], &told["error"]["message"]),
        (&json!("failed"), &json!("rejected"), &json!("no such layer"))
    );
    let job = rosa.get(&format!("/jobs/{id}")).await.ok(200);
    let outcomes: Vec<&str> =
        job["attempts"].as_array().expect("attempts").iter().filter_map(|a| a["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["lost", "retry", "rejected"]);
}

#[tokio::test]
async fn a_run_is_cancelled_by_its_owner_and_released_by_its_service() {
    let app = TestApp::new().await;
    let (rosa, rolf) = (researcher(&app, "rosa").await, researcher(&app, "rolf").await);
    let trainer = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({})).await;
    let run = trainer.next().await;
    let item = json!({"worker": trainer.worker.id, "items": [{"id": id, "lease_no": run["lease_no"]}]});
    assert_eq!(trainer.worker.key.post("/jobs/release", item).await.ok(200)["items"][0]["state"], "queued");
    let run = trainer.next().await;
    assert_eq!((&run["lease_no"], &run["attempt"]), (&json!(2), &json!(1)), "that costs no attempt");
    let cancel = format!("/jobs/{id}/cancel");
    rolf.call(axum::http::Method::POST, &cancel, None).await.problem(404, "not_found");
    let cancelled = rosa.call(axum::http::Method::POST, &cancel, None).await.ok(200);
    assert_eq!(cancelled["state"], "cancelled");
    let beat = json!({"jobs": [{"id": id, "lease_no": 2, "progress": 0.5}]});
    let told = trainer.worker.key.post(&format!("/workers/{}/heartbeat", trainer.worker.id), beat).await.ok(200);
    assert_eq!(told["stop"], json!([id]));
    assert_eq!(trainer.succeed(&run, json!("late")).await["problem"]["code"], "stale_lease");
    let told = shown(&rosa, &id).await;
    assert_eq!((&told["state"], &told["result"]), (&json!("cancelled"), &json!(null)));
    // A queued run as well; and what waits for nobody expires.
    let (queued, late) = (start(&rosa, json!({"seed": 1})).await, start(&rosa, json!({"seed": 2})).await);
    rosa.call(axum::http::Method::POST, &format!("/jobs/{queued}/cancel"), None).await.ok(200);
    app.alter("UPDATE job SET finish_by = clock_timestamp() - interval '1 s'").await;
    app.sweep().await;
    let told = shown(&rosa, &late).await;
    assert_eq!((&told["state"], &told["reason"]), (&json!("failed"), &json!("expired")));
    assert!(trainer.claim().await.is_none());
}

#[tokio::test]
async fn a_run_that_is_asked_for_twice_is_one() {
    let app = TestApp::new().await;
    let (rosa, rolf) = (researcher(&app, "rosa").await, researcher(&app, "rolf").await);
    let trainer = Trainer::new(&app, "digits").await;
    let submission = Uuid::new_v4();
    let body = |seed: i64| json!({"dataset": "digits", "submission": submission, "seed": seed});
    let answers = join_all((0..8).map(|_| rosa.post("/training/train", body(1)))).await;
    let first = answers[0].ok(202)["id"].clone();
    assert!(answers.iter().all(|answer| answer.ok(202)["id"] == first));
    assert_eq!(app.count("SELECT count(*) FROM job").await, 1);
    rosa.post("/training/train", body(2)).await.problem(409, "submission_used");
    assert_ne!(rolf.post("/training/train", body(1)).await.ok(202)["id"], first, "another's UUID is another");
    let run = trainer.next().await;
    trainer.succeed(&run, json!(1)).await;
    let again = rosa.post("/training/train", body(1)).await.ok(202);
    assert_eq!((&again["id"], &again["state"]), (&first, &json!("succeeded")));
}

#[tokio::test]
async fn runs_are_listed_to_those_whose_they_are() {
    let app = TestApp::new().await;
    let (rosa, rolf, admin) = (researcher(&app, "rosa").await, researcher(&app, "rolf").await, app.admin().await);
    let trainer = Trainer::new(&app, "digits").await;
    let mut own = Vec::new();
    for seed in 0..5 {
        own.push(start(&rosa, json!({"seed": seed})).await);
    }
    let foreign = start(&rolf, json!({})).await;
    own.reverse();
    let ids = async |who: &crate::kit::client::Client, query: &str| -> Vec<String> {
        let (mut ids, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = who.get(&format!("/training/results?limit=2{query}{cursor}")).await.ok(200);
            ids.extend(
                page["items"].as_array().expect("runs").iter().map(|run| run["id"].as_str().expect("an id").to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return ids,
            }
        }
    };
    assert_eq!(ids(&rosa, "").await, own);
    assert_eq!(ids(&admin, "").await.len(), 6);
    assert_eq!(ids(&rolf, "&dataset=digits").await, std::slice::from_ref(&foreign));
    assert!(ids(&rosa, "&dataset=faces").await.is_empty());
    let run = trainer.next().await;
    assert_eq!(ids(&rosa, "&state=running").await, [run["id"].as_str().expect("an id")]);
    rolf.get(&format!("/training/results/{}", own[0])).await.problem(404, "not_found");
    rolf.get(&format!("/jobs/{}", own[0])).await.problem(404, "not_found");
    let sets = rosa.get("/training/datasets").await.ok(200);
    let set = &sets["items"][0];
    assert_eq!(
        (&set["dataset"], &set["workers"], &set["queued"], &set["running"]),
        (&json!("digits"), &json!(1), &json!(5), &json!(1))
    );
    trainer.worker.key.delete(&format!("/workers/{}", trainer.worker.id)).await;
    assert_eq!(rosa.get("/training/datasets").await.ok(200)["items"], json!([]), "nobody trains on it now");
    let waits = rosa.post("/training/train", json!({"dataset": "digits"})).await.ok(202);
    assert_eq!(waits["workers"], 0);
    let live = json!({"dataset": "digits", "require_live": true});
    rosa.post("/training/train", live).await.problem(422, "no_live_worker");
}

#[tokio::test]
async fn who_waits_for_a_run_sees_it_move() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({})).await;
    let wait = async |after: &Value| {
        let path = format!("/training/results/{id}?wait_s=40&after={after}");
        tokio::time::timeout(Duration::from_secs(20), rosa.get(&path)).await.expect("news in time").ok(200)
    };
    let queued = shown(&rosa, &id).await;
    let (running, run) = tokio::join!(wait(&queued["revision"]), trainer.next());
    assert_eq!(running["state"], "running");
    let beats = async {
        until("somebody who waits", async || app.ctx.waiters.runs.joined() > 0).await;
        let beat = json!({"jobs": [{"id": id, "lease_no": 1, "progress": 0.4, "note": "epoch 2 of 5"}]});
        trainer.worker.key.post(&format!("/workers/{}/heartbeat", trainer.worker.id), beat).await.ok(200)
    };
    let (told, _) = tokio::join!(wait(&running["revision"]), beats);
    assert_eq!((&told["progress"], &told["note"]), (&json!(0.4), &json!("epoch 2 of 5")));
    let (ended, _) = tokio::join!(wait(&told["revision"]), trainer.succeed(&run, json!(1)));
    assert_eq!(ended["state"], "succeeded");
    let revisions = [&queued, &running, &ended].map(|told| told["revision"].as_i64().expect("a revision"));
    assert!(revisions.is_sorted_by(|a, b| a < b), "{revisions:?}");
    assert_eq!(wait(&ended["revision"]).await["state"], "succeeded", "nothing more will come");
}
