//! The demo's light models, served from a real server by the package.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use darkroom::dev::process::signal;
use darkroom::domain::account::Role;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use super::{PACKAGE, python};
use crate::kit::app::{TestApp, until};
use crate::kit::images::md5_of;

const MODELS: [&str; 3] = ["face_detect", "image_stats", "image_hash"];
/// How long a worker that is told to end may take.
const END_WAIT: Duration = Duration::from_secs(30);

/// What a model is known to say of photographs, by their names.
fn known(model: &str) -> Vec<(String, Value)> {
    let file = std::fs::read_to_string(format!("examples/{model}/answers.json")).expect("known answers");
    let answers: Value = serde_json::from_str(&file).expect("JSON");
    let photographs = answers["photographs"].as_object().expect("photographs");
    let name = |path: &String| Path::new(path).file_name().expect("a name").to_string_lossy().into_owned();
    photographs.iter().map(|(path, one)| (name(path), one["result"].clone())).collect()
}

/// What does not depend on the machine's arithmetic.
fn gist(result: &Value) -> Value {
    let items = result["items"].as_array().expect("items").iter();
    json!([result["summary"], items.map(|item| [&item["type"], &item["label"], &item["value"]]).collect::<Vec<_>>()])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_light_models_say_through_the_server_what_they_are_known_to_say() {
    let Some(python) = python() else { return };
    let app = TestApp::new().await;
    let server = app.process(&[]);
    let rosa = app.user("rosa", &[Role::Researcher]).await;
    let key = rosa.post("/auth/key", json!({"service": "predict", "models": MODELS})).await.ok(201)["key"].clone();
    let scratch = tempfile::tempdir().expect("a folder");
    let mut workers: Vec<Child> = MODELS
        .map(|model| {
            let mut command = Command::new(&python);
            command
                .args(["-m", "darkroom_worker", "run", &format!("examples/{model}/{model}.py")])
                .args(["--expect", &format!("examples/{model}/answers.json"), "--ready-file"])
                .arg(scratch.path().join(model))
                .envs([("PYTHONPATH", PACKAGE), ("PYTHONDONTWRITEBYTECODE", "1"), ("DARKROOM_URL", &server.base)])
                .env("DARKROOM_API_KEY", key.as_str().expect("a key"))
                .stdin(Stdio::null())
                .kill_on_drop(true);
            command.spawn().expect("a worker")
        })
        .into();
    until("all are registered", || async {
        rosa.get("/workers").await.ok(200)["items"].as_array().map(Vec::len) == Some(3)
    })
    .await;
    let ines = app.investigator("ines").await;
    let photographs: Vec<(String, Vec<u8>)> = known(MODELS[0])
        .into_iter()
        .map(|(name, _)| (name.clone(), std::fs::read(format!("examples/photos/{name}")).expect("a photograph")))
        .collect();
    let images: Vec<(&str, Vec<u8>)> = photographs.iter().map(|(name, bytes)| (name.as_str(), bytes.clone())).collect();
    ines.submit(&images, &MODELS).await;
    let mut said = Vec::new();
    for (name, bytes) in &photographs {
        let answer = ines.get(&format!("/predict/{}?wait_s=30", md5_of(bytes))).await.ok(200);
        assert_eq!(answer["status"], "succeeded", "{name}: {answer}");
        said.push((name, answer["results"].clone()));
    }
    for model in MODELS {
        for (name, result) in known(model) {
            let (_, results) = said.iter().find(|(said, _)| **said == name).expect("the photograph");
            assert_eq!(gist(&results[model]), gist(&result), "{model} of {name}");
        }
    }
    for worker in &mut workers {
        signal(&worker.id().expect("a process id").to_string(), "TERM").expect("a signal");
        let ended = tokio::time::timeout(END_WAIT, worker.wait()).await.expect("it ends").expect("its exit code");
        assert!(ended.success(), "{ended}");
    }
}
