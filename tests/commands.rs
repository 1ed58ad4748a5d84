//! The commands that talk to a server: log in, make keys, submit, look up.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use darkroom::dev::Alone;
use darkroom::domain::account::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::app::{PASSWORD, TestApp, until};
use crate::kit::desk::Desk;
use crate::kit::images::{md5_of, photo};
use crate::kit::process::DARKROOM;

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
    let found = desk.says(0, &["search", "-label:x name:a.png", "--limit", "5"]);
    assert!(found.starts_with("NAME") && found.contains("a.png") && found.contains("40x30"), "{found}");
    assert!(!found.contains("TAGS") && !found.contains("DISTANCE"), "no row has any: {found}");
    assert_eq!(desk.json(0, &["search", "type:png", "--json"])["items"][0]["by"], "ada");
    assert!(desk.says(0, &["search", "label:nobody"]).contains("No image fits"));
    assert!(desk.complains(2, &["search", "--case", "Harbour"]).contains("no case of yours is named"));
    desk.says(0, &["case", "make", "Harbour"]);
    assert!(desk.says(0, &["search", "--case", "Harbour"]).contains("No image fits"), "none of that case");
    assert!(desk.complains(2, &["search", "lable:x"]).contains("at character 1"));
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
    assert!(
        desk.complains(0, &["user", "roles", "ines", "investigator,researcher"]).contains("investigator,researcher")
    );
    desk.complains(2, &["user", "roles", "ines", "king"]);
    desk.complains(2, &["user", "roles", "ines"]);
    desk.complains(0, &["user", "roles", "ines", "investigator"]);
    desk.log_in("ines");
    assert!(desk.complains(3, &["user", "list"]).contains("with `darkroom user roles`"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_case_is_made_filled_shared_closed_and_deleted() {
    let app = TestApp::new().await;
    let _worker = app.worker("ocr").await;
    for name in ["ines", "jo"] {
        app.user(name, &[Role::Investigator]).await;
    }
    let (desk, _server) = Desk::of(&app, "ines");
    let made = desk.complains(0, &["case", "make", "Pier 5"]);
    assert!(made.contains("--case \"Pier 5\"") && !made.contains("Another"), "{made}");
    assert!(desk.says(0, &["case", "delete", "Pier 5", "--yes"]).contains("0 images"));
    let id = desk.says(0, &["case", "make", "Pier 4", "--description", "21 November"]);
    let id = id.trim();
    let bytes = photo(1);
    let photo = desk.write("a.png", &bytes);
    desk.says(0, &["submit", "-m", "ocr", &photo, "--case", "Pier 4", "--no-wait"]);
    desk.says(0, &["submit", "-m", "ocr", &photo, "--case", id, "--no-wait"]);
    assert!(
        desk.complains(2, &["submit", "-m", "ocr", &photo, "--case", "Pier 5", "--no-wait"]).contains("darkroom cases")
    );
    let shown = desk.says(0, &["case", "add", "Pier 4", "jo", "--role", "editor"]);
    assert!(shown.contains("Pier 4") && shown.contains("editor  jo") && shown.contains("1 images"), "{shown}");
    let listed = desk.says(0, &["cases"]);
    assert!(listed.starts_with("CASE") && listed.contains(id) && listed.contains("own"), "{listed}");
    assert_eq!(desk.json(0, &["cases", "--json"])["items"][0]["members"][1]["user"], "jo");
    assert!(
        desk.says(0, &["case", "tags", "Pier 4"]).contains("No tag")
            && desk.says(0, &["case", "notes", id]).contains("No note")
    );
    let ines = app.log_in("ines", PASSWORD).await;
    ines.post(&format!("/cases/{id}/tags"), json!({"images": [md5_of(&bytes)], "add": ["beach"]})).await.ok(200);
    ines.post(&format!("/cases/{id}/notes"), json!({"text": "ask\nagain"})).await.ok(201);
    assert!(desk.says(0, &["case", "tags", "Pier 4"]).contains("beach  1"));
    let notes = desk.says(0, &["case", "notes", "Pier 4"]);
    assert!(notes.contains("ines  ask again") && !notes.contains("IMAGE"), "of the case alone: {notes}");
    assert_eq!(desk.json(0, &["case", "notes", id, "--json"])["items"][0]["text"], "ask\nagain");
    assert!(desk.says(0, &["search", "--case", id]).contains("beach"));
    let edited = desk.says(0, &["case", "edit", "Pier 4", "--name", "Pier 7", "--description", "22 November"]);
    assert!(edited.contains("Pier 7") && edited.contains("22 November") && edited.contains("editor  jo"), "{edited}");
    desk.says(0, &["case", "edit", "Pier 7", "--name", "Pier 4"]);
    let edited = desk.json(0, &["case", "edit", "Pier 4", "--description", "21 November", "--json"]);
    assert_eq!((&edited["name"], &edited["description"]), (&json!("Pier 4"), &json!("21 November")));
    desk.complains(2, &["case", "edit", "Pier 4"]);
    assert!(desk.says(0, &["case", "close", "Pier 4"]).contains("closed"));
    assert!(desk.complains(2, &["case", "edit", "Pier 4", "--name", "Pier 8"]).contains("`darkroom case reopen`"));
    let refused = desk.complains(2, &["submit", "-m", "ocr", &photo, "--case", id, "--no-wait"]);
    assert!(refused.contains("`darkroom case reopen`") && refused.matches("is closed").count() == 1, "{refused}");
    assert!(desk.says(0, &["case", "reopen", "Pier 4"]).contains("open"));
    assert!(desk.complains(0, &["case", "remove", "Pier 4", "jo"]).contains("no member"));
    assert!(desk.complains(0, &["case", "make", "Pier 4"]).contains("Another case is named \"Pier 4\", too"));
    assert!(desk.complains(2, &["case", "show", "Pier 4"]).contains(id), "both are named");
    assert_eq!(desk.json(0, &["case", "show", id, "--json"])["description"], "21 November");
    assert!(desk.complains(2, &["case", "delete", id]).contains("--yes"));
    let receipt = desk.says(0, &["case", "delete", id, "--yes"]);
    let told = receipt.contains("2 titles, 1 images") || receipt.contains("the rest goes");
    assert!(told, "{receipt}");
    desk.complains(2, &["case", "show", id]);
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
    let desk = Desk::at(&server);

    desk.says(3, &["submit", "-m", "ocr", "."]);
    let empty = desk.write("empty", b"");
    assert!(desk.complains(2, &["login", "--user", "ines", "--password-file", &empty]).contains("password is empty"));
    let password = desk.write("password", PASSWORD.as_bytes());
    let greeting = desk.says(0, &["login", "--user", "ines", "--password-file", &password]);
    assert!(greeting.contains("as ines (investigator, researcher)"), "{greeting}");
    let key = desk.says(0, &["key", "create", "--service", "predict", "--models", "mine_*"]);
    assert!(key.starts_with("dr_") && desk.says(0, &["key", "list"]).contains(&key[3..15]), "{key}");

    let (first, second) = (desk.write("a.png", &photo(1)), desk.write("b.png", &photo(2)));
    let bad = desk.write("notes.png", b"no photograph");
    desk.says(2, &["submit", "-m", "nobody_knows", &first]);
    let alone = desk.says(1, &["submit", "-m", "ocr", &bad]);
    assert!(alone.contains("Not an image.") && alone.contains("Send a JPEG"), "as beside others: {alone}");
    assert!(
        desk.complains(2, &["submit", "-m", "ocr", "/dev/null"])
            .contains("among 1 file (1 a pipe, a socket or a device)")
    );
    assert!(desk.complains(2, &["verify", &bad]).contains("notes.png is no folder: unpack it"));
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
    let csv = desk.write("results.csv", b"old");
    desk.says(1, &["submit", "-m", "ocr", &first, &second, &bad, "--submission", &id, "--csv", &csv]);
    let csv = std::fs::read_to_string(csv).expect("the CSV");
    assert_eq!(csv.lines().count(), 4, "{csv}");
    assert!(csv.contains("rejected: ValueError") && csv.contains("Not an image"), "{csv}");
    let told = |output: Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let folder = told(desk.run(&["status", desk.home.path().to_str().expect("UTF-8")]));
    assert!(folder.contains("is a folder"), "{folder}");
    let looked_up = desk.json(1, &["status", "--json", &first, &second])["items"].clone();
    assert_eq!(looked_up.as_array().map(Vec::len), Some(2));
    assert!(desk.says(1, &["status", &"0".repeat(32)]).contains("not yours to see.\n"), "in full");
    assert!(desk.complains(0, &["search", "--limit", "1"]).contains("--limit takes another"));
    assert!(!desk.complains(0, &["search", "--limit", "3"]).contains("--limit"));
    assert!(Path::new(&desk.home.path().join(".config/darkroom/session.json")).is_file());
    app.user("rosa", &[Role::Researcher]).await;
    desk.says(0, &["login", "--user", "rosa", "--password-file", &password]);
    let refused = told(desk.run(&["submit", "-m", "ocr", &first]));
    assert!(refused.contains("Missing role") && !refused.contains("--submission"), "nothing goes on: {refused}");
}

#[test]
fn a_second_demo_finds_the_first() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("examples/photos")).expect("a folder");
    std::fs::create_dir(folder.path().join(".darkroom")).expect("a folder");
    let lock = folder.path().join(".darkroom/demo.lock");
    let Ok(mut first) = Alone::take(&lock).expect("a lock") else { panic!("somebody else holds it") };
    first.say(": http://127.0.0.1:1").expect("a word");
    let second = Command::new(DARKROOM).arg("demo").current_dir(folder.path()).output().expect("darkroom");
    let told = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && told.contains("runs here already: http://127.0.0.1:1"), "{told}");
}

#[test]
fn who_finds_the_address_taken_is_told_what_to_set() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("examples/photos")).expect("a folder");
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let place = taken.local_addr().expect("its address").to_string();
    for command in ["demo", "dev"] {
        let mut said = Command::new(DARKROOM);
        said.arg(command).env("DARKROOM_LISTEN", &place);
        let mut flag = Command::new(DARKROOM);
        flag.args([command, "--listen", &place]).env("DARKROOM_LISTEN", "127.0.0.1:1");
        for mut run in [said, flag] {
            let ended = run.current_dir(folder.path()).output().expect("darkroom");
            let told = String::from_utf8_lossy(&ended.stderr);
            assert!(!ended.status.success() && told.contains(&format!("cannot listen on {place}")), "{told}");
            assert!(told.contains("set DARKROOM_LISTEN to a free address"), "{told}");
        }
    }
}

#[test]
fn help_tells_what_matters_to_the_command() {
    for command in ["doctor", "retention", "models", "psql", "key list", "user disable"] {
        let help = Command::new(DARKROOM).args(command.split(' ')).arg("--help").output().expect("darkroom");
        let flags =
            String::from_utf8_lossy(&help.stdout).lines().filter(|line| line.trim_start().starts_with('-')).count();
        assert!((1..=8).contains(&flags), "{command}: {flags} flags");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn work_is_watched_as_it_goes_with_a_stream_and_without() {
    let app = TestApp::new().await;
    app.user("ines", &[Role::Investigator]).await;
    let worker = app.worker("ocr").await;
    // An account has one stream.
    let server = app.process(&[("DARKROOM_STREAMS_MAX", "4")]);
    let desk = Desk::at(&server);
    desk.log_in("ines");
    let ines = app.log_in("ines", PASSWORD).await;
    let http = reqwest::Client::new();
    let streams = async || {
        let metrics = http.get(format!("{}/metrics", server.base)).send().await.expect("metrics");
        metrics.text().await.expect("metrics").contains("darkroom_event_streams 1\n")
    };
    let mut held = None;
    let bad = json!({"outcome": "rejected", "error": {"type": "ValueError"}});
    for (n, outcome, code) in [(1, json!({"outcome": "succeeded", "result": {}}), 0), (2, bad, 1)] {
        let sent = ines.submit(&[("a.png", photo(n))], &["ocr"]).await;
        let mut watching = desk.command(&["watch", sent["submission"].as_str().expect("an id")]);
        let watching = watching.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("darkroom");
        until("a stream", streams).await;
        worker.complete(&worker.claim(1).await.remove(0), outcome).await;
        let ended =
            tokio::task::spawn_blocking(|| watching.wait_with_output()).await.expect("to wait").expect("its end");
        let told = String::from_utf8_lossy(&ended.stdout).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{told}");
        assert!(told.starts_with("MODEL  SUCCEEDED") && told.contains("ocr    "), "{told}");
        // The next has to ask.
        if held.is_some() {
            continue;
        }
        let other =
            http.get(format!("{}/events?watch=models", server.base)).bearer_auth(ines.token.as_ref().expect("a token"));
        held = Some(other.send().await.expect("a stream"));
        assert_eq!(held.as_ref().map(|stream| stream.status().as_u16()), Some(200));
    }
    drop(held);
    let mut watching = desk.command(&["watch", "--queues"]).stdout(Stdio::piped()).spawn().expect("darkroom");
    let mut lines =
        BufReader::new(watching.stdout.take().expect("what it prints")).lines().map(|line| line.expect("a line"));
    assert!(lines.next().is_some_and(|line| line.starts_with("MODEL")));
    assert!(lines.next().is_some_and(|line| line.starts_with("ocr    0")));
    ines.submit(&[("c.png", photo(3))], &["ocr"]).await;
    assert!(lines.next().is_some_and(|line| line.starts_with("ocr    1")), "only what is another");
    Command::new("kill").args(["-INT", &watching.id().to_string()]).status().expect("kill");
    assert_eq!(watching.wait().expect("its end").code(), Some(130));
    desk.complains(2, &["watch", &Uuid::new_v4().to_string()]);
    desk.complains(2, &["watch", "--case", "nowhere"]);
    desk.complains(2, &["watch", "--queues", "--case", "nowhere"]);
}
