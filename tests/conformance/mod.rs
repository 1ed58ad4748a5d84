//! Schemathesis calls every operation with made-up requests, good and bad, as everybody, and finds nothing: no 5xx, no status
//! and no answer that the document does not describe, no bad request taken (<https://schemathesis.readthedocs.io>).

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use darkroom::dev::python;
use darkroom::domain::account::Role;
use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::kit::app::{TestApp, Worker};
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo};

/// Seconds for making requests up, all callers together; what else they do doubles it at most.
const SECONDS: usize = 60;
/// Callers at once: each is one interpreter, on two cores.
const AT_ONCE: usize = 2;
const CALLERS: usize = 6;
/// How long one caller may take in all.
const CALLER_WAIT: Duration = Duration::from_secs(180);
/// What `make test` shows of the run.
const NOTE: &str = "target/requests.txt";

/// Somebody who calls.
struct Caller {
    name: &'static str,
    /// What the `Authorization` header says; nobody's is that of an empty log-in form.
    credential: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_requests_find_nothing() {
    let Ok(python) = python::environment() else {
        std::fs::write(NOTE, "made-up requests: not tried, there is no Python\n").expect("a note");
        return;
    };
    python::install_requirements(Path::new("tests/conformance/requirements.txt")).expect("schemathesis");
    let app = TestApp::new().await;
    let server = app.process(&[]);
    let (callers, ids) = world(&app).await;
    let calls = callers.iter().map(|caller| async {
        let mut schemathesis = command(&python.with_file_name("st"), &server.base, caller);
        let output = tokio::time::timeout(CALLER_WAIT, schemathesis.envs(ids.clone()).output()).await;
        let output = output.expect("schemathesis to end").expect("schemathesis");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        let summary = told.lines().find(|line| line.contains(" generated, ")).unwrap_or("nothing made up");
        let line = format!("made-up requests, as {}: {}\n", caller.name, summary.trim());
        (line, (!output.status.success()).then_some(told))
    });
    let told: Vec<(String, Option<String>)> = futures_util::stream::iter(calls).buffered(AT_ONCE).collect().await;
    std::fs::write(NOTE, told.iter().map(|(line, _)| line.as_str()).collect::<String>()).expect("a note");
    let found: Vec<String> = told.into_iter().filter_map(|(line, found)| Some(line + &found?)).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

fn command(schemathesis: &Path, base: &str, caller: &Caller) -> Command {
    let seconds = SECONDS * AT_ONCE / CALLERS;
    let mut command = Command::new(schemathesis);
    command
        .args(["--config-file", "tests/conformance/schemathesis.toml", "run", &format!("{base}/openapi.json")])
        .args(["--max-time", &seconds.to_string(), "--seed", "1"])
        .env("CREDENTIAL", &caller.credential)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// Everybody, and the ids of what is there.
async fn world(app: &TestApp) -> ([Caller; CALLERS], [(&'static str, String); 6]) {
    let owner = app.investigator("ines").await;
    let admin = app.admin().await;
    let researcher = app.user("rosa", &[Role::Researcher]).await;
    // Not the researcher's, who disables all of his own.
    let predict = app.key("predict", &["ocr"]).await;
    let train = app.key("train", &["*"]).await;
    let leaver = app.investigator("leaver").await;
    let spare = researcher.post("/auth/key", json!({"service": "predict", "models": ["x"]})).await.ok(201);
    let worker = Worker::register(predict.clone(), "ocr", "v1").await;
    app.sweep().await;
    let sent = owner.submit(&[("a.png", photo(1)), ("b.png", photo(2))], &["ocr"]).await;
    let job = worker.claim(1).await.remove(0);
    worker.succeed(&job).await;
    let bearer = |client: &Client| format!("Bearer {}", client.token.as_ref().expect("a credential"));
    let text = |value: &Value| value.as_str().expect("an id").to_owned();
    let ids = [
        ("MD5", md5_of(&photo(1))),
        ("SUBMISSION", text(&sent["submission"])),
        ("JOB", text(&job["id"])),
        ("WORKER", worker.id.clone()),
        ("KEY", text(&spare["id"])),
        ("LEAVER", bearer(&leaver)),
    ];
    let caller = |name, client: &Client| Caller { name, credential: bearer(client) };
    let callers = [
        Caller { name: "nobody", credential: "Basic".into() },
        caller("an investigator", &owner),
        caller("a researcher", &researcher),
        caller("an administrator", &admin),
        caller("a key for prediction", &predict),
        caller("a key for training", &train),
    ];
    (callers, ids)
}
