//! What a run measures and brings: metrics, checkpoints, models, and the versions of models that they become.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Method;
use darkroom::maintenance;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{Trainer, researcher, sha256, shown, start};
use crate::kit::app::TestApp;
use crate::kit::client::Client;

/// A dead worker's run goes back into line.
async fn die(app: &TestApp) {
    maintenance::rescue(&app.ctx).await.expect("a tick");
    app.age_sessions(3600.0).await;
    maintenance::rescue(&app.ctx).await.expect("a tick");
}

/// The bytes that lie in the store of this server.
pub fn stored(app: &TestApp) -> usize {
    let folders = std::fs::read_dir(app.ctx.blobs.root()).expect("a folder").flatten();
    folders.map(|folder| std::fs::read_dir(folder.path()).map_or(0, Iterator::count)).sum()
}

fn model_path(run: &str) -> String {
    format!("/training/results/{run}/model")
}

#[tokio::test]
async fn an_attempt_after_a_death_resumes_and_what_is_stale_changes_nothing() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let first = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({"epochs": 4})).await;
    let run = first.next().await;
    let points = json!([{"epoch": 1, "values": {"loss": 0.9, "val/acc": 0.5}}, {"epoch": 2, "values": {"loss": 0.7}}]);
    assert_eq!(first.measure(&run, points).await.ok(200)["points"], 2);
    first.put(&run, "checkpoint", "&epoch=1", "one").await.ok(200);
    let kept = first.put(&run, "checkpoint", "&epoch=2", "two").await.ok(200);
    assert_eq!((&kept["bytes"], &kept["sha256"]), (&json!(3), &json!(sha256(b"two"))));
    first.put(&run, "model", "&name=lost.onnx", "lost").await.ok(200);
    assert_eq!(stored(&app), 2, "what was replaced is gone");
    die(&app).await;
    let second = Trainer::with_key(first.worker.key.clone(), "digits", Value::Null).await;
    let again = second.next().await;
    let checkpoint = &again["run"]["checkpoint"];
    assert_eq!((&checkpoint["epoch"], &checkpoint["sha256"]), (&json!(2), &json!(sha256(b"two"))));
    let fetch = async |who: &Trainer, run: &Value| {
        let url = run["run"]["checkpoint_url"].as_str().expect("a url");
        who.worker.key.get(&format!("{url}?worker={}&lease_no={}", who.worker.id, run["lease_no"])).await
    };
    assert_eq!(fetch(&second, &again).await.bytes, b"two");
    assert_eq!(second.measure(&again, json!([{"epoch": 3, "values": {"loss": 0.5}}])).await.ok(200)["points"], 3);
    // The one that is thought dead lives, and so does a lease number that was guessed.
    let before = shown(&rosa, &id).await;
    let guessed = {
        let mut guessed = run.clone();
        guessed["lease_no"] = again["lease_no"].clone();
        guessed
    };
    for run in [&run, &guessed] {
        first.measure(run, json!([{"epoch": 1, "values": {"loss": 99}}])).await.problem(409, "stale_lease");
        first.put(run, "checkpoint", "&epoch=9", "stale").await.problem(409, "stale_lease");
        first.put(run, "model", "&name=stale.onnx", "stale").await.problem(409, "stale_lease");
        fetch(&first, run).await.problem(409, "stale_lease");
        assert_eq!(first.succeed(run, json!("stale")).await["problem"]["code"], "stale_lease");
    }
    assert_eq!(shown(&rosa, &id).await, before);
    assert_eq!(stored(&app), 2);
    second.put(&again, "model", "&name=good.onnx", "good").await.ok(200);
    second.succeed(&again, json!(null)).await;
    let told = shown(&rosa, &id).await;
    let epochs: Vec<&Value> =
        told["metrics"].as_array().expect("metrics").iter().map(|point| &point["epoch"]).collect();
    assert_eq!(epochs, [&json!(1), &json!(2), &json!(3)]);
    assert_eq!(told["metrics"][0]["values"], json!({"loss": 0.9, "val/acc": 0.5}));
    assert_eq!((&told["model"]["name"], &told["model"]["sha256"]), (&json!("good.onnx"), &json!(sha256(b"good"))));
    assert_eq!(told["older_left_out"], false);
    second.put(&again, "model", "&name=late.onnx", "late").await.problem(409, "stale_lease");
    assert_eq!(rosa.get(&model_path(&id)).await.bytes, b"good");
}

#[tokio::test]
async fn a_model_of_a_lost_lease_is_never_served_and_orphans_are_collected() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let first = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({})).await;
    let run = first.next().await;
    first.put(&run, "checkpoint", "&epoch=1", "one").await.ok(200);
    first.put(&run, "model", "&name=lost.onnx", "lost").await.ok(200);
    rosa.get(&model_path(&id)).await.problem(409, "run_not_finished");
    die(&app).await;
    let second = Trainer::with_key(first.worker.key.clone(), "digits", Value::Null).await;
    let again = second.next().await;
    second.succeed(&again, json!({"accuracy": 0.9})).await;
    rosa.get(&model_path(&id)).await.problem(404, "no_model_file");
    assert_eq!(shown(&rosa, &id).await["model"], Value::Null);
    assert_eq!(stored(&app), 2);
    assert_eq!(maintenance::collect_blobs(&app.ctx, Duration::from_secs(3600)).await.expect("a tick"), 0, "too young");
    assert_eq!(maintenance::collect_blobs(&app.ctx, Duration::ZERO).await.expect("a tick"), 1, "the lost model alone");
    assert_eq!(stored(&app), 1);
    // What is named stays, whatever is collected, and after a restart.
    let replica = app.replica().await;
    let retried =
        rosa.clone().through(replica.router.clone()).post(&format!("/jobs/{id}/retry"), Value::Null).await.ok(201);
    maintenance::collect_blobs(&replica.ctx, Duration::ZERO).await.expect("a tick");
    let run = second.next().await;
    assert_eq!((&run["id"], &run["run"]["checkpoint"]["sha256"]), (&retried["id"], &json!(sha256(b"one"))));
    second.put(&run, "checkpoint", "&epoch=2", "two").await.ok(200);
    assert_eq!(stored(&app), 2, "the copied bytes are still the other run's");
    assert_eq!(shown(&rosa, &id).await["checkpoint"]["sha256"], sha256(b"one"));
    second.succeed(&run, json!(null)).await;
    let again = retried["id"].as_str().expect("an id");
    assert_eq!(shown(&rosa, again).await["retry_of"], json!(id));
    let fresh = rosa.post(&format!("/jobs/{again}/retry"), json!({"fresh": true})).await.ok(201);
    let run = second.next().await;
    assert_eq!((&run["id"], &run["run"]["checkpoint"]), (&fresh["id"], &json!(null)));
    let url =
        format!("{}?worker={}&lease_no=1", run["run"]["checkpoint_url"].as_str().expect("a url"), second.worker.id);
    second.worker.key.get(&url).await.problem(404, "no_checkpoint");
}

#[tokio::test]
async fn a_model_is_downloaded_by_those_who_may() {
    let app = TestApp::new().await;
    let (rosa, rolf) = (researcher(&app, "rosa").await, researcher(&app, "rolf").await);
    let trainer = Trainer::new(&app, "digits").await;
    let weights = b"the weights of a model".as_slice();
    let id = start(&rosa, json!({})).await;
    let run = trainer.next().await;
    let query = format!("&name={}&sha256={}", "Gewichte%20%C3%BC.onnx", sha256(weights).to_uppercase());
    trainer.put(&run, "model", &query, weights).await.ok(200);
    trainer.succeed(&run, json!(null)).await;
    let path = model_path(&id);
    let whole = rosa.get(&path).await;
    assert_eq!((whole.status.as_u16(), whole.bytes.as_slice()), (200, weights));
    let header = |name: &str| whole.headers[name].to_str().expect("text").to_owned();
    assert_eq!(
        header("content-disposition"),
        "attachment; filename=\"Gewichte _.onnx\"; filename*=UTF-8''Gewichte%20%C3%BC.onnx"
    );
    assert_eq!(header("etag"), format!("\"{}\"", sha256(weights)));
    assert!(header("repr-digest").starts_with("sha-256=:"));
    let ranged = axum::http::Request::get(&path).header("range", "bytes=4-10").body(axum::body::Body::empty());
    let part = rosa.send(ranged.expect("a request")).await;
    assert_eq!((part.status.as_u16(), part.bytes.as_slice()), (206, &weights[4..=10]));
    let same = axum::http::Request::get(&path).header("if-none-match", header("etag")).body(axum::body::Body::empty());
    assert_eq!(rosa.send(same.expect("a request")).await.status, 304);
    rolf.get(&path).await.problem(404, "not_found");
    app.investigator("ines").await.get(&path).await.problem(403, "missing_role");
    trainer.worker.key.get(&path).await.problem(403, "wrong_service");
    let key = app.key_of(&rosa, "predict", &["digits_onnx"]).await;
    key.get(&path).await.problem(404, "not_found");

    let promote = format!("/training/results/{id}/promote");
    rolf.post(&promote, json!({"model": "digits_onnx"})).await.problem(404, "not_found");
    let promoted = rosa.post(&promote, json!({"model": "digits_onnx"})).await.ok(200);
    let version = format!("run-{}", &sha256(weights)[..12]);
    assert_eq!((&promoted["version"], &promoted["url"]), (&json!(version), &json!(path)));
    assert_eq!(rosa.post(&promote, json!({"model": "digits_onnx", "version": null})).await.ok(200), promoted);
    assert_eq!(key.get(&path).await.bytes, weights);
    let others = app.key_of(&rolf, "predict", &["*"]).await;
    others.get(&path).await.problem(404, "not_found");
    assert_eq!(shown(&rosa, &id).await["promoted"][0]["model"], "digits_onnx");
    // The model is hers, and a worker of hers serves that version.
    let register =
        json!({"service": "predict", "model": "digits_onnx", "version": version, "instance": Uuid::new_v4()});
    others.post("/workers/register", register.clone()).await.problem(403, "out_of_scope");
    key.post("/workers/register", register).await.ok(201);
    let owned = rosa.get("/models/digits_onnx").await.ok(200);
    assert_eq!(owned["owner"], "rosa");
}

#[tokio::test]
async fn a_version_of_a_model_is_one_run() {
    let app = TestApp::new().await;
    let (rosa, rolf) = (researcher(&app, "rosa").await, researcher(&app, "rolf").await);
    let trainer = Trainer::new(&app, "digits").await;
    let train = async |who: &Client, weights: Option<&'static str>| {
        let id = start(who, json!({})).await;
        let run = trainer.next().await;
        if let Some(weights) = weights {
            trainer.put(&run, "model", "&name=a.onnx", weights).await.ok(200);
        }
        trainer.succeed(&run, json!(null)).await;
        format!("/training/results/{id}/promote")
    };
    let (one, two, none) = (train(&rosa, Some("1")).await, train(&rosa, Some("2")).await, train(&rosa, None).await);
    let to = |version: &str| json!({"model": "digits_onnx", "version": version});
    let first = rosa.post(&one, to("v1")).await.ok(200);
    rosa.post(&two, to("v1")).await.problem(409, "version_taken");
    // What a version is never changes, and these are its very bytes.
    let alike = train(&rosa, Some("1")).await;
    for again in [&one, &alike] {
        assert_eq!(rosa.post(again, to("v1")).await.ok(200), first);
    }
    rosa.post(&two, to("v2")).await.ok(200);
    rosa.post(&none, to("v3")).await.problem(404, "no_model_file");
    let live = start(&rosa, json!({})).await;
    rosa.post(&format!("/training/results/{live}/promote"), to("v3")).await.problem(409, "run_not_finished");
    rosa.call(Method::POST, &format!("/jobs/{live}/cancel"), None).await.ok(200);
    let foreign = train(&rolf, Some("3")).await;
    rolf.post(&foreign, to("v4")).await.problem(403, "missing_role");
    let worker = app.worker("ocr").await;
    let ocr = json!({"model": "ocr", "version": "v1"});
    app.admin().await.post(&one, ocr).await.problem(409, "version_taken");
    drop(worker);
    for (bad, pointer) in [
        (json!({"model": "Digits"}), "/model"),
        (json!({"model": "a", "version": ""}), "/version"),
        (json!({"model": "a", "version": "a\nb"}), "/version"),
    ] {
        assert_eq!(rosa.post(&one, bad).await.problem(422, "invalid_field")["errors"][0]["pointer"], pointer);
    }
    let told = "SELECT count(*) FROM audit_events WHERE code = 'run_promoted'";
    assert_eq!(app.count(told).await, 2);
    let versions: Vec<Option<Vec<String>>> = sqlx::query_scalar("SELECT promoted FROM audit_runs ORDER BY id LIMIT 2")
        .fetch_all(&app.outside)
        .await
        .expect("runs");
    assert_eq!(versions, [Some(vec!["digits_onnx v1".to_owned()]), Some(vec!["digits_onnx v2".to_owned()])]);
}

#[tokio::test]
async fn a_file_that_comes_late_under_the_same_lease_replaces_no_newer_one() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    start(&rosa, json!({"epochs": 4})).await;
    let run = trainer.next().await;
    for (what, old, new) in [("checkpoint", "&epoch=1", "&epoch=2"), ("model", "&name=old.onnx", "&name=new.onnx")] {
        let (begun, rest) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let body = stream::once({
            let (begun, rest) = (Arc::clone(&begun), Arc::clone(&rest));
            async move {
                begun.notify_one();
                rest.notified().await;
                Ok::<_, std::io::Error>("old")
            }
        });
        let late = async { trainer.put(&run, what, old, Body::from_stream(body)).await.ok(200) };
        let meanwhile = async {
            begun.notified().await;
            assert_eq!(trainer.put(&run, what, new, "new").await.ok(200)["kept"], true);
            rest.notify_one();
        };
        let (late, ()) = tokio::join!(late, meanwhile);
        assert_eq!((&late["kept"], &late["sha256"]), (&json!(false), &json!(sha256(b"old"))), "{what}");
    }
    assert_eq!(stored(&app), 2, "the bytes of what came late went");
    let url = run["run"]["checkpoint_url"].as_str().expect("a url");
    let url = format!("{url}?worker={}&lease_no={}", trainer.worker.id, run["lease_no"]);
    assert_eq!(trainer.worker.key.get(&url).await.bytes, b"new");
    // One after the other, the later replaces the one before, whatever its epoch.
    assert_eq!(trainer.put(&run, "checkpoint", "&epoch=1", "again").await.ok(200)["kept"], true);
    assert_eq!(stored(&app), 2);
}
