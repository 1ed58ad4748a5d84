//! Datasets and the levers of their owners.

use axum::http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Trainer, researcher, shown, start};
use crate::kit::app::{TestApp, until};

#[tokio::test]
async fn a_paused_dataset_hands_out_no_runs_and_a_resumed_one_wakes_its_services() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::with_key(app.key_of(&rosa, "train", &["digits"]).await, "digits", Value::Null).await;
    let (first, second) = (start(&rosa, json!({})).await, start(&rosa, json!({"seed": 2})).await);
    let run = trainer.next().await;
    let paused = rosa.patch("/training/datasets/digits", json!({"paused": true})).await.ok(200);
    assert_eq!(
        (&paused["dataset"], &paused["paused"], &paused["running"]),
        (&json!("digits"), &json!(true), &json!(1))
    );
    assert_eq!(trainer.succeed(&run, json!(1)).await["state"], "succeeded", "what runs goes on");
    assert_eq!(shown(&rosa, &first).await["state"], "succeeded");
    let (claimed, resumed) = tokio::join!(trainer.worker.claim_as(Uuid::new_v4(), 1, 40.0), async {
        until("a waiting claim", async || !app.ctx.waiters.waited_for().is_empty()).await;
        assert_eq!(shown(&rosa, &second).await["state"], "queued");
        rosa.patch("/training/datasets/digits", json!({"paused": false})).await.ok(200)
    });
    assert_eq!((&claimed[0]["id"], &resumed["paused"]), (&json!(second), &json!(false)));
    let told = "SELECT count(*) FROM audit_events WHERE code = 'dataset_changed' AND model = 'dataset/digits' AND reason IN ('paused', 'resumed')";
    assert_eq!(app.count(told).await, 2);
}

#[tokio::test]
async fn a_datasets_policy_says_how_often_and_how_long_its_runs_are_tried() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::with_key(app.key_of(&rosa, "train", &["digits"]).await, "digits", Value::Null).await;
    let policy =
        json!({"max_attempts": 1, "backoff_base_s": 1, "backoff_cap_s": 2, "retry_budget_s": 60, "deadline_s": 90});
    let set = rosa.patch("/training/datasets/digits", policy.clone()).await.ok(200);
    for (name, value) in policy.as_object().expect("an object") {
        assert_eq!(set["retry"][name].as_f64(), value.as_f64(), "{name}");
    }
    assert_eq!(rosa.get("/training/datasets").await.ok(200)["items"][0], set);
    let open = rosa.patch("/training/datasets/digits", json!({"retry_budget_s": null})).await.ok(200);
    assert_eq!((&open["retry"]["retry_budget_s"], &open["owner"]), (&Value::Null, &json!("rosa")));
    start(&rosa, json!({})).await;
    let run = trainer.next().await;
    assert_eq!((&run["max_attempts"], &run["deadline_s"]), (&json!(1), &json!(90.0)));
    let failed = json!({"outcome": "retry", "error": {"type": "MemoryError"}});
    assert_eq!(trainer.worker.complete(&run, failed).await["state"], "failed", "it was the only try");
}

#[tokio::test]
async fn a_retired_dataset_takes_no_runs_until_it_is_brought_back() {
    let app = TestApp::new().await;
    let (rosa, admin) = (researcher(&app, "rosa").await, app.admin().await);
    let trainer = Trainer::new(&app, "digits").await;
    let (running, queued) = (start(&rosa, json!({})).await, start(&rosa, json!({"seed": 2})).await);
    let run = trainer.next().await;
    rosa.patch("/training/datasets/digits", json!({"retired": true})).await.problem(403, "missing_role");
    let retired = admin.patch("/training/datasets/digits", json!({"retired": true})).await.ok(200);
    assert!(retired["retired_at"].is_string() && retired["queued"] == 0, "{retired}");
    assert_eq!(shown(&rosa, &queued).await["state"], "cancelled");
    assert_eq!(trainer.succeed(&run, json!(1)).await["state"], "succeeded");
    assert_eq!(shown(&rosa, &running).await["state"], "succeeded");
    assert_eq!(rosa.get("/training/datasets").await.ok(200)["items"], json!([]));
    let refused = rosa.post("/training/train", json!({"dataset": "digits"})).await.problem(422, "unknown_dataset");
    assert!(refused["detail"].as_str().is_some_and(|told| told.contains("retired")), "{refused}");
    let again = json!({"service": "train", "dataset": "digits", "version": "t1", "instance": Uuid::new_v4()});
    trainer.worker.key.post("/workers/register", again.clone()).await.problem(409, "retired_model");
    admin.patch("/training/datasets/digits", json!({"retired": false})).await.ok(200);
    trainer.worker.key.post("/workers/register", again).await.ok(201);
    start(&rosa, json!({"seed": 3})).await;
}

#[tokio::test]
async fn a_bad_change_of_a_dataset_changes_nothing() {
    let app = TestApp::new().await;
    let (rosa, rolf) = (researcher(&app, "rosa").await, researcher(&app, "rolf").await);
    Trainer::with_key(app.key_of(&rosa, "train", &["digits"]).await, "digits", Value::Null).await;
    app.worker("ocr").await;
    let before = rosa.get("/training/datasets").await.ok(200);
    for (bad, code, pointer) in [
        (json!({"paused": "yes"}), "invalid_field", "/paused"),
        (json!({"max_attempts": 0}), "invalid_field", "/max_attempts"),
        (json!({"max_attempts": 101}), "invalid_field", "/max_attempts"),
        (json!({"backoff_base_s": -1}), "invalid_field", "/backoff_base_s"),
        (json!({"backoff_cap_s": 86_401}), "invalid_field", "/backoff_cap_s"),
        (json!({"retry_budget_s": 0.5}), "invalid_field", "/retry_budget_s"),
        (json!({"deadline_s": 0}), "invalid_field", "/deadline_s"),
        (json!({"deadline_s": 86_401}), "invalid_field", "/deadline_s"),
        // One run at a time is no setting.
        (json!({"max_running": 2}), "unknown_field", "/max_running"),
        (json!({"pause": true}), "unknown_field", "/pause"),
    ] {
        let told = rosa.patch("/training/datasets/digits", bad.clone()).await.problem(422, code);
        assert_eq!(told["errors"][0]["pointer"], pointer, "{bad}");
    }
    let pause = json!({"paused": true});
    rolf.patch("/training/datasets/digits", pause.clone()).await.problem(403, "missing_role");
    // A model of that name is no dataset.
    for path in ["/training/datasets/ocr", "/training/datasets/digitz", "/training/datasets/..%2Fdigits"] {
        rosa.patch(path, pause.clone()).await.problem(404, "not_found");
    }
    rosa.call(Method::GET, "/training/datasets/digits", None).await.problem(405, "method_not_allowed");
    assert_eq!(rosa.get("/training/datasets").await.ok(200), before);
}
