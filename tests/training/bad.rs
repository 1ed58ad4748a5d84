//! What is refused, says why, and leaves nothing behind.

use axum::body::{Body, Bytes};
use futures_util::stream;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Trainer, researcher, sha256, shown, start};
use crate::kit::app::TestApp;

#[tokio::test]
async fn a_run_of_bad_parameters_is_not_started() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    Trainer::new(&app, "digits").await;
    let cases = [
        (json!({"dataset": "digist"}), 422, "unknown_dataset", "/dataset"),
        (json!({"dataset": "../digits"}), 422, "unknown_dataset", "/dataset"),
        (json!({"model": "{\"layers\": [64"}), 422, "invalid_field", "/model"),
        (json!({"epochs": -1}), 422, "invalid_field", "/epochs"),
        (json!({"epochs": 1_000_001}), 422, "invalid_field", "/epochs"),
        (json!({"learning_rate": vec![0.1; 10_000]}), 422, "invalid_field", "/learning_rate"),
        (json!({"learning_rate": [0.1, -1]}), 422, "invalid_field", "/learning_rate"),
        (json!({"seed": -1}), 422, "invalid_field", "/seed"),
        (json!({"split": 1.0}), 422, "invalid_field", "/split"),
        (json!({"batch_size": 0}), 422, "invalid_field", "/batch_size"),
        (json!({"save": "yes"}), 422, "invalid_field", "/save"),
        (json!({"priority": 101}), 422, "invalid_field", "/priority"),
        (json!({"submission": "mine"}), 422, "invalid_field", "/submission"),
        (json!({"a": 9_007_199_254_740_993_u64}), 422, "invalid_field", ""),
    ];
    for (more, status, code, pointer) in cases {
        let mut body = json!({"dataset": "digits"});
        body.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        let told = rosa.post("/training/train", body).await.problem(status, code);
        assert_eq!(told["errors"][0]["pointer"], pointer, "{more}");
    }
    let schema = json!({"type": "object", "additionalProperties": false, "properties": {"epochs": {"type": "integer", "maximum": 50}}});
    let key = app.key_of(&rosa, "train", &["strict"]).await;
    Trainer::with_key(key, "strict", schema).await;
    let strict = |name: &str, value: Value| json!({"dataset": "strict", name: value});
    let unknown = rosa.post("/training/train", strict("epohcs", json!(1))).await.problem(422, "unknown_field");
    assert_eq!(unknown["errors"][0]["pointer"], "/epohcs");
    assert!(unknown["mend"].as_str().expect("text").contains("Did you mean \"epochs\"?"), "{unknown}");
    rosa.post("/training/train", strict("epochs", json!(51))).await.problem(422, "invalid_field");
    let near = rosa.post("/training/train", json!({"dataset": "digist"})).await.problem(422, "unknown_dataset");
    assert!(near["mend"].as_str().expect("text").contains("Did you mean \"digits\"?"), "{near}");
    rosa.post("/training/train", json!({"epochs": 1})).await.problem(422, "invalid_field");
    rosa.post("/training/train", json!([])).await.problem(422, "invalid_field");
    rosa.raw("/training/train", r#"{"dataset":"digits","a":1,"a":2}"#).await.problem(422, "duplicate_key");
    rosa.raw("/training/train", r#"{"dataset":"digits","a":"\u0000"}"#).await.problem(422, "nul_character");
    rosa.raw("/training/train", r#"{"dataset":"digits","rate":NaN}"#).await.problem(400, "malformed_json");
    let large = json!({"dataset": "digits", "model": "x".repeat(300_000)});
    rosa.post("/training/train", large).await.problem(413, "too_large");
    assert_eq!(app.count("SELECT (SELECT count(*) FROM training_run) + (SELECT count(*) FROM job)").await, 0);
    rosa.get("/training/results?state=done").await.problem(422, "invalid_field");
    rosa.get("/training/results?cursor=x").await.problem(422, "invalid_field");
    rosa.get(&format!("/training/results/{}", Uuid::new_v4())).await.problem(404, "not_found");
}

#[tokio::test]
async fn metrics_that_are_none_are_refused() {
    let app = TestApp::new().await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({})).await;
    let run = trainer.next().await;
    let many: Value = (0..33).map(|n| (format!("v{n}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    for (points, pointer) in [
        (json!([{"epoch": -1, "values": {"loss": 1}}]), "/points/0/epoch"),
        (json!([{"epoch": 1_000_001, "values": {"loss": 1}}]), "/points/0/epoch"),
        (json!([{"epoch": 1, "values": {}}]), "/points/0/values"),
        (json!([{"epoch": 1, "values": {"1st": 1}}]), "/points/0/values"),
        (json!([{"epoch": 1, "values": many}]), "/points/0/values"),
        (
            json!([{"epoch": 1, "values": {"loss": 1}}, {"epoch": 2, "values": {"loss": "NaN"}}]),
            "/points/1/values/loss",
        ),
        (vec![json!({"epoch": 1, "values": {"loss": 1}}); 1_001].into(), "/points"),
    ] {
        let told = trainer.measure(&run, points).await.problem(422, "invalid_field");
        assert_eq!(told["errors"][0]["pointer"], pointer, "{told}");
    }
    let path = run["run"]["metrics_url"].as_str().expect("a url");
    let body = |value: &str| {
        format!(
            r#"{{"worker":"{}","lease_no":1,"points":[{{"epoch":1,"values":{{"loss":{value}}}}}]}}"#,
            trainer.worker.id
        )
    };
    trainer.worker.key.raw(path, body("NaN")).await.problem(400, "malformed_json");
    trainer.worker.key.raw(path, body("1e999")).await.problem(422, "invalid_field");
    // Another's run, and one more epoch than a run may measure.
    let faces = Trainer::new(&app, "faces").await;
    faces.measure(&run, json!([{"epoch": 1, "values": {"loss": 1}}])).await.problem(409, "stale_lease");
    for thousand in 0..10 {
        let points: Vec<Value> =
            (0..1_000).map(|n| json!({"epoch": thousand * 1_000 + n, "values": {"loss": 0.5}})).collect();
        trainer.measure(&run, points.into()).await.ok(200);
    }
    trainer.measure(&run, json!([{"epoch": 10_000, "values": {"loss": 1}}])).await.problem(413, "too_large");
    let again = trainer.measure(&run, json!([{"epoch": 9_999, "values": {"loss": 0.25}}])).await;
    assert_eq!(again.ok(200)["points"], 10_000, "the same epoch again replaces");
    let told = shown(&rosa, &id).await;
    assert_eq!(told["metrics"].as_array().map(Vec::len), Some(10_000));
    assert_eq!(told["metrics"][9_999]["values"]["loss"], 0.25);
}

#[tokio::test]
async fn a_file_that_does_not_come_whole_is_not_kept() {
    let app = TestApp::with(|serve| serve.artifact_bytes_max = 1_000).await;
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({})).await;
    let run = trainer.next().await;
    let good = "&name=model.onnx";
    let other = format!("{good}&sha256={}", sha256(b"other"));
    let long = format!("&name={}", "a".repeat(256));
    for (query, status, code) in [
        ("&name=..%2Fmodel.onnx", 422, "invalid_field"),
        ("&name=C:%5Cmodel.onnx", 422, "invalid_field"),
        ("&name=a%0Ab", 422, "invalid_field"),
        ("&name=", 422, "invalid_field"),
        (long.as_str(), 422, "invalid_field"),
        ("", 422, "invalid_field"),
        ("&name=a&sha256=12", 422, "invalid_field"),
        (other.as_str(), 422, "checksum_mismatch"),
    ] {
        trainer.put(&run, "model", query, "weights").await.problem(status, code);
    }
    trainer.put(&run, "model", good, "").await.problem(422, "empty_file");
    trainer.put(&run, "model", good, vec![0; 1_001]).await.problem(413, "too_large");
    let chunks = |ends: bool| {
        let mut chunks: Vec<Result<Bytes, std::io::Error>> = vec![Ok(Bytes::from(vec![0; 600]))];
        chunks.push(if ends { Ok(Bytes::from(vec![0; 600])) } else { Err(std::io::ErrorKind::UnexpectedEof.into()) });
        Body::from_stream(stream::iter(chunks))
    };
    trainer.put(&run, "model", good, chunks(true)).await.problem(413, "too_large");
    trainer.put(&run, "checkpoint", "&epoch=1", chunks(false)).await.problem(400, "body_cut_off");
    trainer.put(&run, "checkpoint", "&epoch=-1", "weights").await.problem(422, "invalid_field");
    assert_eq!(app.count("SELECT count(*) FROM training_file").await, 0);
    for folder in ["images", "staging"] {
        let left = std::fs::read_dir(app.settings.data.join(folder)).expect("a folder").count();
        assert_eq!(left, 0, "{folder}");
    }
    trainer.put(&run, "model", good, vec![0; 1_000]).await.ok(200);
    trainer.succeed(&run, json!(null)).await;
    assert_eq!(shown(&rosa, &id).await["model"]["bytes"], 1_000);
}
