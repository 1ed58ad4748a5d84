//! Ended runs and their files are kept as long as the policy says.

use darkroom::store::retention::Kind;
use darkroom::store::training;
use serde_json::{Value, json};
use uuid::Uuid;

use super::files::stored;
use super::{Trainer, researcher, start};
use crate::history::counts;
use crate::kit::app::TestApp;
use crate::kit::client::Client;

/// A server that keeps runs for thirty days, and checkpoints of ended ones for ten.
async fn with_runs_kept() -> TestApp {
    TestApp::with(|s| (s.keep_runs_days, s.keep_checkpoints_days) = (Some(30), Some(10))).await
}

/// A run that has measured, saved and ended; its id.
async fn trained(trainer: &Trainer, rosa: &Client, weights: &'static str) -> String {
    let id = start(rosa, json!({})).await;
    let run = trainer.next().await;
    trainer.measure(&run, json!([{"epoch": 1, "values": {"loss": 0.5}}])).await.ok(200);
    trainer.put(&run, "checkpoint", "&epoch=1", format!("{weights}, half way")).await.ok(200);
    trainer.put(&run, "model", "&name=a.onnx", weights).await.ok(200);
    trainer.succeed(&run, json!(null)).await;
    id
}

const ELEVEN_DAYS: &str = "UPDATE training_run SET finished_at = finished_at - interval '11 days'";
const TWENTY_DAYS: &str = "UPDATE training_run SET finished_at = finished_at - interval '20 days'";

#[tokio::test]
async fn an_old_run_goes_with_its_files_unless_it_is_a_version_of_a_model() {
    let app = with_runs_kept().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let (old, kept) = (trained(&trainer, &rosa, "old").await, trained(&trainer, &rosa, "kept").await);
    let path = |run: &str, what: &str| format!("/training/results/{run}{what}");
    rosa.post(&path(&kept, "/promote"), json!({"model": "digits_onnx"})).await.ok(200);
    let live = start(&rosa, json!({})).await;
    let run = trainer.next().await;
    trainer.put(&run, "checkpoint", "&epoch=1", "live").await.ok(200);
    assert_eq!((counts(&app).await, stored(&app)), ((vec![], vec![]), 5));
    app.alter(ELEVEN_DAYS).await;
    let checkpoints = vec![(Kind::Checkpoints, 2)];
    assert_eq!(counts(&app).await, (checkpoints.clone(), checkpoints), "the live one keeps its own");
    assert_eq!(stored(&app), 3);
    assert_eq!(rosa.get(&path(&old, "")).await.ok(200)["checkpoint"], Value::Null);
    assert_eq!(rosa.get(&path(&old, "/model")).await.bytes, b"old");
    app.alter(TWENTY_DAYS).await;
    let runs = vec![(Kind::Runs, 1)];
    assert_eq!(counts(&app).await, (runs.clone(), runs));
    assert_eq!(stored(&app), 2);
    rosa.get(&path(&old, "")).await.problem(404, "not_found");
    rosa.get(&path(&old, "/model")).await.problem(404, "not_found");
    assert_eq!(rosa.get(&path(&kept, "/model")).await.bytes, b"kept");
    assert_eq!(rosa.get(&path(&kept, "")).await.ok(200)["metrics"][0]["values"]["loss"], 0.5);
    assert_eq!(trainer.succeed(&run, json!(1)).await["state"], "succeeded");
    assert_eq!(rosa.get(&path(&live, "")).await.ok(200)["checkpoint"]["bytes"], 4);
    // A version is known until its model has been retired for as long as runs are kept.
    rosa.patch("/models/digits_onnx", json!({"retired": true})).await.ok(200);
    assert_eq!(counts(&app).await, (vec![], vec![]));
    app.alter("UPDATE queue SET retired_at = retired_at - interval '31 days' WHERE name = 'digits_onnx'").await;
    let runs = vec![(Kind::Runs, 1)];
    assert_eq!(counts(&app).await, (runs.clone(), runs));
    rosa.get(&path(&kept, "")).await.problem(404, "not_found");
    assert_eq!(app.count("SELECT count(*) FROM training_metric").await, 0);
    assert_eq!(app.count("SELECT count(*) FROM audit_events WHERE code = 'run_removed'").await, 2);
}

#[tokio::test]
async fn the_bytes_of_a_copied_checkpoint_stay_as_long_as_any_run_has_them() {
    let app = with_runs_kept().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let first = trained(&trainer, &rosa, "first").await;
    let again = rosa.post(&format!("/jobs/{first}/retry"), Value::Null).await.ok(201);
    app.alter(ELEVEN_DAYS).await;
    let one = vec![(Kind::Checkpoints, 1)];
    assert_eq!(counts(&app).await, (one.clone(), one));
    let run = trainer.next().await;
    assert_eq!((&run["id"], &run["run"]["checkpoint"]["epoch"]), (&again["id"], &json!(1)));
    let url = run["run"]["checkpoint_url"].as_str().expect("a url");
    let fetched = trainer.worker.key.get(&format!("{url}?worker={}&lease_no=1", trainer.worker.id)).await;
    assert_eq!(fetched.bytes, b"first, half way");
    trainer.succeed(&run, json!(1)).await;
    app.alter(ELEVEN_DAYS).await;
    let one = vec![(Kind::Checkpoints, 1)];
    assert_eq!(counts(&app).await, (one.clone(), one));
    assert_eq!(stored(&app), 1, "the model of the first");
    let mut longer = app.settings.clone();
    longer.keep_checkpoints_days = Some(31);
    let refused = longer.limits().expect_err("files cannot stay longer").to_string();
    assert!(refused.contains("DARKROOM_KEEP_CHECKPOINTS_DAYS"), "{refused}");
}

#[tokio::test]
async fn a_checkpoint_does_not_go_while_it_is_copied() {
    let app = with_runs_kept().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let first = trained(&trainer, &rosa, "first").await;
    let again = start(&rosa, json!({})).await;
    app.alter(ELEVEN_DAYS).await;
    let id = |run: &str| Uuid::parse_str(run).expect("a UUID");
    let mut connection = app.ctx.db.pool().acquire().await.expect("a connection");
    let mut copying = sqlx::Connection::begin(&mut *connection).await.expect("a transaction");
    training::copy_checkpoint(&mut copying, id(&first), id(&again)).await.expect("a copy");
    let one = vec![(Kind::Checkpoints, 1)];
    assert_eq!(counts(&app).await, (one.clone(), vec![]));
    copying.commit().await.expect("an end");
    assert_eq!(counts(&app).await, (one.clone(), one));
    assert_eq!(stored(&app), 2, "the model of the first, and what the other goes on from");
}
