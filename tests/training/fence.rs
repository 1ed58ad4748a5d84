//! Only who holds the run, under the lease that it has now, writes anything of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::{Body, Bytes};
use axum::http::Method;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::files::stored;
use super::{Trainer, researcher, shown, start};
use crate::kit::app::{TestApp, Worker};

/// Everything that can be written, and what can be fetched, of a run: all of it must be stale.
async fn is_refused(trainer: &Trainer, run: &Value) {
    let points = json!([{"epoch": 1, "values": {"loss": 99}}]);
    trainer.measure(run, points).await.problem(409, "stale_lease");
    trainer.put(run, "checkpoint", "&epoch=9", "stale").await.problem(409, "stale_lease");
    trainer.put(run, "model", "&name=stale.onnx", "stale").await.problem(409, "stale_lease");
    let url = run["run"]["checkpoint_url"].as_str().expect("a url");
    let path = format!("{url}?worker={}&lease_no={}", trainer.worker.id, run["lease_no"]);
    trainer.worker.key.get(&path).await.problem(409, "stale_lease");
}

#[tokio::test]
async fn a_session_writes_under_its_newest_lease_only() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({})).await;
    let claim = Uuid::new_v4();
    let first = trainer.worker.claim_as(claim, 1, 0.0).await.remove(0);
    trainer.put(&first, "checkpoint", "&epoch=1", "one").await.ok(200);
    trainer.measure(&first, json!([{"epoch": 1, "values": {"loss": 0.5}}])).await.ok(200);
    // The same claim again is a new lease of the same attempt, in the same hands.
    let again = trainer.worker.claim_as(claim, 1, 0.0).await.remove(0);
    assert_eq!((&again["id"], &again["lease_no"], &again["attempt"]), (&json!(id), &json!(2), &json!(1)));
    let before = shown(&rosa, &id).await;
    is_refused(&trainer, &first).await;
    // Given back and taken up by the same worker it is another once more.
    let item = json!({"worker": trainer.worker.id, "items": [{"id": id, "lease_no": 2}]});
    trainer.worker.key.post("/jobs/release", item).await.ok(200);
    is_refused(&trainer, &again).await;
    let third = trainer.next().await;
    for run in [&first, &again] {
        is_refused(&trainer, run).await;
    }
    let told = shown(&rosa, &id).await;
    assert_eq!((&told["metrics"], &told["checkpoint"]), (&before["metrics"], &before["checkpoint"]));
    assert_eq!(stored(&app), 1);
    trainer.measure(&third, json!([{"epoch": 1, "values": {"loss": 0.25}}])).await.ok(200);
    trainer.put(&third, "model", "&name=good.onnx", "good").await.ok(200);
    assert_eq!(trainer.succeed(&third, json!(null)).await["state"], "succeeded");
    is_refused(&trainer, &third).await;
}

#[tokio::test]
async fn another_key_writes_nothing_of_a_run() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({})).await;
    let run = trainer.next().await;
    // One that may train on the dataset as well, and knows session and lease.
    let key = app.key_of(&app.admin().await, "train", &["digits"]).await;
    let other = Trainer { worker: Worker { key, id: trainer.worker.id.clone() } };
    let before = shown(&rosa, &id).await;
    is_refused(&other, &run).await;
    assert_eq!((shown(&rosa, &id).await, stored(&app)), (before, 0));
}

#[tokio::test]
async fn a_file_whose_lease_ends_while_it_comes_is_not_kept_and_a_stale_one_not_even_read() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({})).await;
    let run = trainer.next().await;
    let ((begun, is_begun), (go_on, may_go_on)) = (oneshot::channel(), oneshot::channel::<()>());
    let first = async move {
        begun.send(()).expect("somebody who waits");
        Ok::<_, std::io::Error>(Bytes::from("half"))
    };
    // The second half comes once the lease has ended.
    let second = async move {
        may_go_on.await.expect("the end of the lease");
        Ok(Bytes::from("half"))
    };
    let body = Body::from_stream(stream::once(first).chain(stream::once(second)));
    let sending = trainer.put(&run, "checkpoint", "&epoch=1", body);
    let ending = async {
        is_begun.await.expect("a begun upload");
        rosa.call(Method::POST, &format!("/jobs/{id}/cancel"), None).await.ok(200);
        go_on.send(()).expect("an upload under way");
    };
    let (sent, ()) = tokio::join!(sending, ending);
    sent.problem(409, "stale_lease");
    assert_eq!((&shown(&rosa, &id).await["checkpoint"], stored(&app)), (&Value::Null, 0));
    let read = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&read);
    let body = stream::once(async move {
        seen.store(true, Ordering::Relaxed);
        Ok::<_, std::io::Error>(Bytes::from("weights"))
    });
    trainer.put(&run, "model", "&name=late.onnx", Body::from_stream(body)).await.problem(409, "stale_lease");
    assert!(!read.load(Ordering::Relaxed), "its bytes were taken in");
}
