//! A model's code and the server change under load: nothing is missing, and nothing is accepted twice.

use std::path::Path;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use darkroom::dev::process;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{PACKAGE, python};
use crate::kit::app::{TestApp, until};
use crate::kit::client::Client;
use crate::kit::images::{md5_of, photo};

/// How long an edit may take to be served here, where the whole suite runs beside: in peace it is under two seconds.
const EDIT_WAIT: Duration = Duration::from_secs(20);

/// Sends one photograph after another, each once it is committed.
struct Load {
    ines: Client,
    sent: AtomicU64,
    over: AtomicBool,
}

impl Load {
    async fn run(&self) {
        while !self.over.load(Ordering::Relaxed) {
            let salt = self.sent.load(Ordering::Relaxed);
            self.ines.submit(&[("a.png", photo(salt))], &["words"]).await;
            self.sent.store(salt + 1, Ordering::Relaxed);
        }
    }

    /// What the model says of a photograph that is sent from now on; fails when it never is.
    async fn next_word(&self) -> Value {
        let salt = self.sent.load(Ordering::Relaxed) + 1;
        until("the next photograph", async || self.sent.load(Ordering::Relaxed) > salt).await;
        let answer = self.ines.get(&format!("/predict/{}?wait_s=30", md5_of(&photo(salt)))).await.ok(200);
        answer["results"]["words"]["fields"]["word"].clone()
    }

    async fn until_says(&self, word: &str) -> Duration {
        let start = Instant::now();
        while self.next_word().await != word {
            assert!(start.elapsed() < EDIT_WAIT, "the model does not say {word:?}");
        }
        start.elapsed()
    }
}

fn write(model: &Path, word: &str) {
    std::fs::write(model, format!("def predict(image):\n    return {{\"word\": {word}}}\n")).expect("a model");
}

fn serve(python: &Path, model: &Path, server: &str, key: &str) -> Child {
    Command::new(python)
        .args(["-m", "darkroom_worker", "run", "--watch", "--name", "words", "--server", server])
        .arg("--ready-file")
        .arg(model.with_extension("ready"))
        .arg(model)
        .env("PYTHONPATH", std::fs::canonicalize(PACKAGE).expect("the package"))
        .envs([("PYTHONDONTWRITEBYTECODE", "1"), ("DARKROOM_API_KEY", key)])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a worker")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn edits_of_the_model_and_of_the_server_lose_nothing_under_load() {
    let Some(python) = python() else { return };
    let app = TestApp::new().await;
    let beats = [("DARKROOM_HEARTBEAT_S", "0.5"), ("DARKROOM_LEASE_S", "10")];
    let server = app.process_at("127.0.0.1:0", &beats, std::io::sink());
    let base = server.base.clone();
    let folder = tempfile::tempdir().expect("a folder");
    let model = folder.path().join("words.py");
    write(&model, "\"one\"");
    let key = app.key("predict", &["words"]).await.token.expect("a key");
    let _worker = serve(&python, &model, &base, &key);
    let ines = app.investigator("ines").await;
    let listed = async || ines.get("/workers").await.ok(200)["items"].clone();
    until("the worker", async || listed().await[0].is_object()).await;
    let load = Load { ines: ines.clone(), sent: AtomicU64::new(0), over: AtomicBool::new(false) };
    let edits = async {
        load.until_says("one").await;
        write(&model, "\"two\"");
        println!("an edit was served after {:.2} s", load.until_says("two").await.as_secs_f64());
        write(&model, "\"three");
        until("the trouble to be shown", async || {
            listed().await[0]["trouble"].as_str().is_some_and(|trouble| trouble.contains("SyntaxError"))
        })
        .await;
        assert_eq!(load.next_word().await, "two", "the code before goes on");
        // As dev does it: asked to stop, and started again where it was. Less patient than dev: what is under way is cut off.
        let address = base.trim_start_matches("http://");
        process::signal(&server.pid.to_string(), "TERM").expect("a signal");
        until("the server to stop", async || TcpStream::connect(address).await.is_err()).await;
        drop(server);
        let again = app.process_at(address, &beats, std::io::sink());
        load.until_says("two").await;
        write(&model, "\"three\"");
        load.until_says("three").await;
        until("the trouble to be over", async || {
            listed().await.as_array().is_some_and(|all| all.iter().all(|w| w["trouble"].is_null()))
        })
        .await;
        load.over.store(true, Ordering::Relaxed);
        again
    };
    let (_server, ()) = tokio::join!(edits, load.run());
    let sent = load.sent.load(Ordering::Relaxed) as i64;
    until("every job to end", async || app.count("SELECT count(*) FROM job").await == 0).await;
    println!("{sent} photographs");
    // A job has one row there, and one more for each result that was accepted of it.
    assert_eq!(app.count("SELECT count(*) FROM job_archive WHERE state = 'succeeded'").await, sent);
    assert_eq!(app.count("SELECT count(DISTINCT id) FROM job_archive").await, sent);
    assert_eq!(app.count("SELECT count(*) FROM outcome").await, sent);
    let served = ines.get("/models/words").await.ok(200)["served"].as_array().map_or(0, Vec::len);
    assert_eq!(served, 3, "each code is a version");
}
