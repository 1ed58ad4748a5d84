//! The circle: an example trains, its network is made a version of a model, and that reads what scikit-learn reads.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use super::{PACKAGE, python};
use crate::kit::app::{PASSWORD, TestApp};
use crate::kit::client::Client;
use crate::training::{Trainer, researcher, sha256, start};

/// How long a walk may take where the whole suite runs beside; in peace it is 15 s.
const WALK_WAIT: Duration = Duration::from_secs(300);
const SERVICE: &str = "examples/onnx_predict/onnx_predict.py";

/// Python on the package, as a microservice of this server with this key.
fn microservice(python: &Path, server: &str, key: &str, scratch: &Path) -> Command {
    let mut command = Command::new(python);
    command
        .envs([("PYTHONPATH", PACKAGE), ("PYTHONDONTWRITEBYTECODE", "1"), ("DARKROOM_URL", server)])
        .env("DARKROOM_API_KEY", key)
        .env("DARKROOM_READY_FILE", scratch.join("ready"))
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

async fn key_of(who: &Client, service: &str, name: &str) -> String {
    let made = who.post("/auth/key", json!({"service": service, "models": [name]})).await.ok(201);
    made["key"].as_str().expect("a key").to_owned()
}

/// Walks from a dataset to predictions and back; answers what the walk says, and the run.
async fn walk(python: &Path, app: &TestApp, dataset: &str, params: &[&str]) -> (String, Value) {
    let server = app.process(&[]);
    let rosa = researcher(app, "rosa").await;
    let scratch = tempfile::tempdir().expect("a folder");
    let password = scratch.path().join("password");
    std::fs::write(&password, PASSWORD).expect("a file");
    let mut trainer = microservice(python, &server.base, &key_of(&rosa, "train", dataset).await, scratch.path());
    trainer.args(["-m", "darkroom_worker", "train", &format!("examples/{dataset}/{dataset}.py")]);
    let _trainer = trainer.spawn().expect("a trainer");
    let mut walking = microservice(python, &server.base, "", scratch.path());
    walking.args(["examples/walk.py", "--dataset", dataset, "--user", "rosa", "--password-file"]).arg(&password);
    let output = tokio::time::timeout(WALK_WAIT, walking.args(params).output()).await.expect("an end in time");
    let output = output.expect("the walk");
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}{err}");
    let run = rosa.get("/training/results").await.ok(200)["items"][0].clone();
    // The very file: as the run says, as it is sent, and as the version is called that predicted.
    let file = rosa.get(run["model"]["url"].as_str().expect("a url")).await;
    let sum = sha256(&file.bytes);
    assert_eq!(run["model"]["sha256"], sum.as_str());
    let version = format!("run-{}", &sum[..12]);
    assert_eq!(run["promoted"][0]["version"], version.as_str());
    let served = rosa.get(&format!("/models/{dataset}_onnx")).await.ok(200)["served"].clone();
    assert_eq!((served.as_array().map(Vec::len), &served[0]["version"]), (Some(1), &json!(version)));
    (out.into_owned(), run)
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_that_were_held_out_are_read_as_scikit_learn_reads_them() {
    let Some(python) = python() else { return };
    let app = TestApp::new().await;
    let (said, run) = walk(&python, &app, "digits", &["epochs=4", "learning_rate=[0.001,0.003]"]).await;
    assert!(said.contains("450 of 450 as scikit-learn itself"), "{said}");
    let accuracy = run["result"]["val_accuracy"].as_f64().expect("an accuracy");
    assert!(accuracy > 0.9, "{run}");
    println!("{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faces_that_were_held_out_are_told_apart_as_scikit_learn_does_and_photographs_are_judged() {
    let Some(python) = python() else { return };
    let app = TestApp::new().await;
    let (said, run) = walk(&python, &app, "faces", &["--photos", "examples/photos", "epochs=20"]).await;
    assert!(said.contains("50 of 50 as scikit-learn itself"), "{said}");
    // Those of which every network that was tried says the same; of the others the page of the example tells.
    for (photograph, label) in [
        ("astronaut.jpg", "face"),
        ("grace_hopper.jpg", "face"),
        ("astronaut_sideways.jpg", "no_face"),
        ("chelsea.png", "no_face"),
        ("flower.jpg", "no_face"),
        ("rocket.jpg", "no_face"),
    ] {
        let line = said.lines().find(|line| line.starts_with(photograph)).expect(photograph);
        assert_eq!(line.split_whitespace().nth(1), Some(label), "{line}");
    }
    let accuracy = run["result"]["val_accuracy"].as_f64().expect("an accuracy");
    assert!(accuracy > 0.85, "{run}");
    println!("{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_file_that_is_no_network_is_not_served_and_its_jobs_wait() {
    let Some(python) = python() else { return };
    let app = TestApp::new().await;
    let server = app.process(&[]);
    let rosa = researcher(&app, "rosa").await;
    let trainer = Trainer::new(&app, "digits").await;
    let id = start(&rosa, json!({})).await;
    let run = trainer.next().await;
    trainer.put(&run, "model", "&name=digits.onnx", b"<!doctype html>".as_slice()).await.ok(200);
    trainer.succeed(&run, json!(null)).await;
    rosa.post(&format!("/training/results/{id}/promote"), json!({"model": "digits_onnx"})).await.ok(200);
    let ines = app.investigator("ines").await;
    let photo = std::fs::read("examples/photos/coffee.jpg").expect("a photograph");
    let job = ines.submit(&[("coffee.jpg", photo)], &["digits_onnx"]).await["images"][0]["jobs"][0]["id"].clone();

    let scratch = tempfile::tempdir().expect("a folder");
    let key = key_of(&rosa, "predict", "digits_onnx").await;
    let mut service = microservice(&python, &server.base, &key, scratch.path());
    service.args(["-m", "darkroom_worker", "run", SERVICE, "--name", "digits_onnx"]).env("DARKROOM_RUN", &id);
    let mut service = service.stderr(Stdio::piped()).spawn().expect("a service");
    let mut lines = BufReader::new(service.stderr.take().expect("stderr")).lines();
    let told = async {
        while let Some(line) = lines.next_line().await.expect("text") {
            if line.contains(&format!("the model of run {id} is no ONNX that can be served")) {
                return;
            }
        }
        panic!("it ended without saying why");
    };
    tokio::time::timeout(WALK_WAIT, told).await.expect("the reason");
    assert_eq!(rosa.get("/workers?model=digits_onnx").await.ok(200)["items"], json!([]));
    let waits = ines.get(&format!("/jobs/{}", job.as_str().expect("a job"))).await.ok(200);
    assert_eq!(
        (&waits["state"], &waits["attempt"], &waits["waiting"]),
        (&json!("queued"), &json!(0), &json!("no_live_worker"))
    );
}
