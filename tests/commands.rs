//! The commands that talk to a server: log in, make keys, submit, look up.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use darkroom::domain::account::Role;
use serde_json::Value;
use uuid::Uuid;

use crate::kit::app::{PASSWORD, TestApp};
use crate::kit::images::photo;
use crate::kit::process::{DARKROOM, Process};

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

impl Desk {
    /// A home with a session of this user.
    fn of(app: &TestApp, user: &str) -> (Self, Process) {
        let server = app.process(&[]);
        let desk = Self { home: tempfile::tempdir().expect("a folder"), server: server.base.clone() };
        desk.log_in(user);
        (desk, server)
    }

    fn log_in(&self, user: &str) -> String {
        let password = self.write("password", PASSWORD.as_bytes());
        self.says(0, &["login", "--user", user, "--password-file", &password])
    }

    /// What it says beside, if it ends with this code.
    fn complains(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args);
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(code), "{args:?}\n{out}{err}");
        err.into_owned()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_there_is_listed_and_taken_back() {
    let app = TestApp::new().await;
    app.user("ada", Role::ALL).await;
    app.user("ines", &[Role::Investigator]).await;
    let worker = app.worker("ocr").await;
    let (desk, _server) = Desk::of(&app, "ada");
    assert!(desk.says(0, &["submissions"]).contains("No submission yet"));
    let photo = desk.write("a.png", &photo(1));
    let id = Uuid::new_v4().to_string();
    desk.says(0, &["submit", "-m", "ocr", &photo, "--submission", &id, "--no-wait"]);

    // Each as a table with the same facts as its JSON.
    let table = desk.says(0, &["submissions"]);
    assert!(table.starts_with("SUBMISSION") && table.contains(&id) && table.contains("queued"), "{table}");
    let listed = desk.json(0, &["submissions", "--limit", "1", "--json"]);
    assert_eq!((&listed["items"][0]["id"], &listed["items"][1]), (&id.as_str().into(), &Value::Null));
    let jobs = worker.claim(1).await;
    let workers = desk.says(0, &["workers", "--model", "ocr"]);
    assert!(workers.contains(&worker.id) && workers.contains("alive") && workers.contains("  1  "), "{workers}");
    assert_eq!(desk.json(0, &["workers", "--json"])["items"][0]["running"], 1);
    assert!(desk.says(0, &["workers", "--model", "none"]).contains("No worker"));
    assert!(desk.says(0, &["models"]).contains("live") && desk.says(0, &["models", "--retired"]).contains("ocr"));
    assert_eq!(desk.json(0, &["models", "--json"])["items"][0]["name"], "ocr");
    assert!(desk.says(0, &["queues"]).contains("ocr"));
    assert_eq!(desk.json(0, &["queues", "--json"])["items"][0]["running"], 1);

    assert!(desk.says(0, &["cancel", &id]).contains("1 job cancelled"));
    assert_eq!(desk.json(0, &["cancel", &id, "--json"])["items"][0]["cancelled"], 0);
    assert_eq!(worker.succeed(&jobs[0]).await["problem"]["code"], "stale_lease");
    desk.complains(2, &["cancel", &Uuid::new_v4().to_string()]);

    let users = desk.says(0, &["user", "list"]);
    assert!(users.contains("ines") && users.contains("investigator") && !users.contains("disabled"), "{users}");
    desk.complains(0, &["user", "disable", "ines"]);
    let listed = desk.json(0, &["user", "list", "--json"]);
    assert!(listed["items"][1]["disabled_at"].is_string(), "{listed}");
    desk.complains(0, &["user", "enable", "ines"]);
    desk.log_in("ines");
    desk.complains(3, &["user", "list"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_signs_out_leaves_no_token_behind() {
    let app = TestApp::new().await;
    app.user("ines", &[Role::Investigator]).await;
    let (desk, _server) = Desk::of(&app, "ines");
    let session = desk.home.path().join(".config/darkroom/session.json");
    let kept: Value = serde_json::from_slice(&std::fs::read(&session).expect("a session")).expect("JSON");
    let token = kept["token"].as_str().expect("a token");
    assert!(desk.complains(0, &["logout"]).contains("Signed out"));
    assert!(!session.exists());
    assert!(desk.complains(3, &["submissions"]).contains("darkroom login"));
    desk.complains(3, &["submissions", "--token", token]);
    desk.complains(0, &["logout", "--token", token]);
    desk.log_in("ines");
    let other = app.log_in("ines", PASSWORD).await;
    desk.complains(0, &["logout", "--everywhere"]);
    crate::kit::app::until("the other token to end", async || other.get("/auth/profile").await.status == 401).await;
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
