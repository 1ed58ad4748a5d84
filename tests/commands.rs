//! The commands that talk to a server: log in, make keys, submit, look up.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use darkroom::domain::account::Role;
use serde_json::Value;
use uuid::Uuid;

use crate::kit::app::{PASSWORD, TestApp};
use crate::kit::images::photo;
use crate::kit::process::DARKROOM;

/// Somebody at a terminal, with a home of their own.
struct Desk {
    home: tempfile::TempDir,
    server: String,
}

impl Desk {
    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(DARKROOM);
        command.args(args).env("HOME", self.home.path()).env("DARKROOM_URL", &self.server).stdin(Stdio::null());
        command.env_remove("XDG_CONFIG_HOME").env_remove("DARKROOM_TOKEN").output().expect("darkroom")
    }

    /// What it prints, if it ends with this code.
    fn says(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}{err}");
        out.into_owned()
    }

    fn json(&self, code: i32, args: &[&str]) -> Value {
        serde_json::from_str(&self.says(code, args)).expect("JSON")
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, bytes).expect("a file");
        path.to_str().expect("a path in UTF-8").to_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn photographs_go_out_and_results_come_back() {
    let app = TestApp::new().await;
    app.user("ines", &[Role::Investigator, Role::Researcher]).await;
    let worker = app.worker("ocr").await;
    let server = app.process(&[]);
    let desk = Desk { home: tempfile::tempdir().expect("a folder"), server: server.base.clone() };

    desk.says(3, &["submit", "-m", "ocr", "."]);
    let password = desk.write("password", PASSWORD.as_bytes());
    let greeting = desk.says(0, &["login", "--user", "ines", "--password-file", &password]);
    assert!(greeting.contains("as ines (investigator, researcher)"), "{greeting}");
    let key = desk.says(0, &["key", "create", "--service", "predict", "--models", "mine_*"]);
    assert!(key.starts_with("dr_") && desk.says(0, &["key", "list"]).contains(&key[3..15]), "{key}");

    let (first, second) = (desk.write("a.png", &photo(1)), desk.write("b.png", &photo(2)));
    let bad = desk.write("notes.png", b"no photograph");
    desk.says(2, &["submit", "-m", "nobody_knows", &first]);
    let id = Uuid::new_v4().to_string();
    let sent =
        desk.json(1, &["submit", "-m", "ocr", &first, &second, &bad, "--submission", &id, "--no-wait", "--json"]);
    assert_eq!((&sent["counts"]["jobs"], &sent["counts"]["rejected"]), (&2.into(), &1.into()), "{sent}");
    assert_eq!(sent["rejected"][0]["problem"]["code"], "not_an_image");
    let waiting = desk.says(1, &["submit", "-m", "ocr", &first, &bad, "--submission", &id, "--no-wait"]);
    assert!(waiting.contains("queued 1") && !waiting.contains("computed"), "{waiting}");
    let jobs = worker.claim(2).await;
    worker.succeed(&jobs[0]).await;
    worker.complete(&jobs[1], serde_json::json!({"outcome": "rejected", "error": {"type": "ValueError"}})).await;

    let page = desk.home.path().join("report.html");
    let again =
        ["submit", "-m", "ocr", &first, &second, "--submission", &id, "--report", page.to_str().expect("UTF-8")];
    let table = desk.says(1, &again);
    assert!(table.contains("ok=true") && table.contains("rejected: ValueError"), "{table}");
    assert!(std::fs::read_to_string(page).expect("the report").contains("The worker rejected the photograph."));
    assert_eq!(desk.says(1, &["status", &id]).lines().count(), 3);
    let told = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let folder = told(desk.run(&["status", desk.home.path().to_str().expect("UTF-8")]));
    assert!(folder.contains("is a folder"), "{folder}");
    let looked_up = desk.json(1, &["status", "--json", &first, &second])["items"].clone();
    assert_eq!(looked_up.as_array().map(Vec::len), Some(2));
    desk.says(1, &["status", &"0".repeat(32)]);
    assert!(Path::new(&desk.home.path().join(".config/darkroom/session.json")).is_file());
    app.user("rosa", &[Role::Researcher]).await;
    desk.says(0, &["login", "--user", "rosa", "--password-file", &password]);
    let refused = told(desk.run(&["submit", "-m", "ocr", &first]));
    assert!(refused.contains("Missing role") && !refused.contains("--submission"), "nothing goes on: {refused}");
}
