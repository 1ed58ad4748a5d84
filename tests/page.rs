//! The page for people: what is served, that it is what its sources make, and that it works in a browser.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use darkroom::domain::account::Role;
use serde_json::{Value, json};
use uuid::Uuid;
use walkdir::WalkDir;

use crate::kit::app::{PASSWORD, TestApp, Worker};
use crate::kit::client::{Answer, Client};
use crate::kit::images::md5_of;
use crate::kit::process::Process;

const SOURCES: &str = "ui";
const BUILT: &str = "ui/built";
/// Where the page is built again and its tests are run.
const BENCH: &str = "target/page";
/// The most that a browser fetches before the first photograph, compressed, in bytes.
const WEIGHT_MAX: usize = 60_000;
/// What is played in a browser, one after the other.
const PLAYED: [&str; 5] =
    ["test/page.mjs", "test/operate.mjs", "test/changes.mjs", "test/trouble.mjs", "test/exports.mjs"];
/// What `make test` shows of it.
const NOTE: &str = "target/page.txt";

/// Every file below a folder by its path there.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = WalkDir::new(folder).into_iter().filter_entry(|entry| entry.file_name() != "node_modules");
    let files = entries.map(|entry| entry.expect("an entry")).filter(|entry| entry.file_type().is_file());
    files
        .map(|file| {
            let path = file.path().strip_prefix(folder).expect("below").to_string_lossy().into_owned();
            (path, fs::read(file.path()).expect("a file"))
        })
        .collect()
}

async fn fetch(client: &Client, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    client.send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn the_page_is_served_strictly_and_is_light() {
    let app = TestApp::new().await;
    let nobody = app.nobody();
    let (mut weight, mut index, mut named) = (0, String::new(), Vec::new());
    for (path, bytes) in files(Path::new(BUILT)) {
        let path = if path == "index.html" { "/".to_owned() } else { format!("/{path}") };
        let plain = fetch(&nobody, &path, &[]).await;
        let tag = plain.headers["etag"].to_str().expect("text").to_owned();
        if path == "/" {
            index = String::from_utf8_lossy(&plain.bytes).into_owned();
        } else {
            assert!(plain.status == 200 && plain.bytes == bytes, "{path}");
            let kept = format!("{path}?{}", tag.trim_matches('"'));
            let kept = fetch(&nobody, &kept, &[]).await.headers["cache-control"].to_str().expect("text").to_owned();
            assert_eq!(kept, "public, max-age=31536000, immutable", "{path}");
            named.push(format!("\"./{}?{}\"", path.trim_start_matches('/'), tag.trim_matches('"')));
        }
        let policy = plain.headers["content-security-policy"].to_str().expect("text");
        for part in ["default-src 'none'", "script-src 'self'", "style-src 'self'", "frame-ancestors 'none'"] {
            assert!(policy.contains(part) && !policy.contains("unsafe"), "{path}: {policy}");
        }
        assert_eq!(plain.headers["cache-control"], "no-cache", "{path}");
        assert_eq!(fetch(&nobody, &path, &[("if-none-match", &tag)]).await.status, 304, "{path}");
        let zipped = fetch(&nobody, &path, &[("accept-encoding", "gzip, br")]).await;
        assert_eq!(zipped.headers["content-encoding"], "gzip", "{path}");
        assert_ne!(zipped.headers["etag"], tag, "{path}: other bytes");
        let tag = zipped.headers["etag"].to_str().expect("text");
        let again = [("accept-encoding", "gzip, br"), ("if-none-match", tag)];
        assert_eq!(fetch(&nobody, &path, &again).await.status, 304, "{path}");
        weight += zipped.bytes.len();
    }
    assert!(weight < WEIGHT_MAX, "{weight} bytes");
    println!("the page weighs {weight} bytes, compressed");
    assert!(!index.contains("style=") && !index.contains("<script>") && !index.contains("=\"/"), "{index}");
    assert_eq!(
        named.iter().filter(|name| index.contains(*name)).count(),
        3,
        "{index} names script, style and icon of {named:?}"
    );
    nobody.get("/assets/nothing.js").await.problem(404, "not_found");
    nobody.get("/assets/..%2Findex.html").await.problem(404, "not_found");
    nobody.get("/docs/ui/").await.ok(200);
}

/// A copy of the sources with their packages beside it; nothing where there is no Node.
fn bench() -> Option<&'static Path> {
    static READY: OnceLock<bool> = OnceLock::new();
    let ui = Path::new("target/page/ui");
    READY.get_or_init(|| prepare(ui)).then_some(ui)
}

fn prepare(ui: &Path) -> bool {
    let lock = ui.join("package-lock.json");
    let same = fs::read(Path::new(SOURCES).join("package-lock.json")).ok() == fs::read(&lock).ok();
    for stale in ["src", "test", "built"] {
        let _ = fs::remove_dir_all(ui.join(stale));
    }
    for (path, bytes) in files(Path::new(SOURCES)).into_iter().filter(|(path, _)| !path.starts_with("built")) {
        let to = ui.join(path);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::write(to, bytes).expect("a copy");
    }
    fs::create_dir_all(format!("{BENCH}/openapi")).expect("a folder");
    fs::copy("openapi/openapi.json", format!("{BENCH}/openapi/openapi.json")).expect("the document");
    if same && ui.join("node_modules/.bin/vite").exists() {
        return true;
    }
    let _ = fs::remove_file(&lock);
    let mut install = Command::new("npm");
    install.args(["ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]).current_dir(ui);
    let installed = install.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    // Written last: who finds the lock finds the packages.
    fs::copy(Path::new(SOURCES).join("package-lock.json"), &lock).expect("the lock");
    let done = installed.status().is_ok_and(|status| status.success());
    if !done {
        let _ = fs::remove_file(&lock);
    }
    done
}

fn note(told: &str) {
    fs::create_dir_all("target").expect("target");
    fs::write(NOTE, format!("Page: {told}\n")).expect("a note");
}

#[track_caller]
fn succeeded(ran: &Output) -> String {
    let told = String::from_utf8_lossy(&ran.stdout).into_owned() + &String::from_utf8_lossy(&ran.stderr);
    assert!(ran.status.success(), "{told}");
    told
}

fn chromium() -> Option<PathBuf> {
    let named = std::env::var_os("CHROMIUM").map(PathBuf::from);
    named.into_iter().chain(["/usr/bin/chromium".into(), "/usr/bin/google-chrome".into()]).find(|path| path.exists())
}

/// What the model says of each photograph: boxes, and text by somebody who hopes that a page takes it for markup.
fn said() -> Value {
    json!({
        "items": [
            {"type": "box", "box": [0.2, 0.1, 0.6, 0.5], "label": "face", "score": 0.92},
            {"type": "box", "box": [0.5, 0.5, 0.9, 0.9], "label": "<img src=x onerror=alert(1)>", "score": 0.41},
            {"type": "text", "text": "STREET \u{202e}<b>evil</b>", "score": 0.9, "polygon": [[0.1, 0.8], [0.4, 0.8], [0.4, 0.9], [0.1, 0.9]]}
        ],
        "fields": {"faces": 1, "<b>x</b>": "\"'<script>alert(1)</script>"},
        "summary": "one face"
    })
}

/// Works as a model does, until it is dropped; the photograph `bad` it refuses.
async fn work(worker: Worker, bad: String) {
    loop {
        for job in worker.claim_as(Uuid::new_v4(), 8, 5.0).await {
            let error = json!({"type": "ValueError", "message": "<i>no</i> rockets", "traceback": "Traceback:\n  File \"<model>\", line 1"});
            let outcome = if job["image"]["md5"] == bad.as_str() {
                json!({"outcome": "rejected", "error": error})
            } else {
                json!({"outcome": "succeeded", "result": said(), "duration_s": 0.2})
            };
            worker.complete(&job, outcome).await;
        }
    }
}

/// Kills the server and starts it where it was, whenever somebody leaves a note; the note goes when it listens.
async fn start_again(app: &TestApp, mut server: Process, note: &Path) {
    let address = server.base.trim_start_matches("http://").to_owned();
    loop {
        tokio::time::sleep(Duration::from_millis(100)).await;
        if note.exists() {
            drop(server);
            server = app.process_at(&address, &[], std::io::sink());
            fs::remove_file(note).expect("the note");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_built_page_is_what_its_sources_make_and_works_in_a_browser() {
    let Some(ui) = bench() else { return note("NOT TRIED, there is no Node with npm") };
    succeeded(&Command::new("npm").args(["run", "--silent", "build"]).current_dir(ui).output().expect("npm"));
    let (made, committed) = (files(&ui.join("built")), files(Path::new(BUILT)));
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert!(made == committed, "ui/built is old: run `make page`. {:?} became {:?}", names(&committed), names(&made));
    let Some(chromium) = chromium() else { return note("built anew; NOT TRIED, there is no Chromium") };

    let app = TestApp::new().await;
    app.user("root", Role::ALL).await;
    for (name, roles) in [
        ("ines", &[Role::Investigator][..]),
        ("ivo", &[Role::Investigator]),
        ("ilse", &[Role::Investigator]),
        ("vera", &[]),
    ] {
        app.user(name, roles).await;
    }
    let rosa = app.user("rosa", &[Role::Researcher]).await;
    let key = app.key_of(&rosa, "predict", &["faces"]).await;
    let schema = json!({"type": "object", "properties": {"least": {"type": "number", "minimum": 0, "maximum": 1, "default": 0.5}}});
    let register = json!({"service": "predict", "model": "faces", "version": "v1", "instance": Uuid::new_v4(), "batch_max": 8,
        "description": "Finds <b>faces</b>", "params_schema": schema, "labels": ["face"]});
    let id = key.post("/workers/register", register).await.ok(201)["worker"].as_str().expect("an id").to_owned();
    let bad = md5_of(&fs::read("examples/photos/rocket.jpg").expect("a photograph"));
    let working = tokio::spawn(work(Worker { key, id }, bad));
    let server = app.process(&[]);
    let folder = tempfile::tempdir().expect("a folder");
    let restart = folder.path().join("restart");
    let base = server.base.clone();
    let play = async |file: &'static str| {
        let mut node = tokio::process::Command::new("node");
        node.args(["--test-reporter=spec", file]).current_dir(ui).stdin(Stdio::null()).kill_on_drop(true);
        node.envs([("BASE", base.as_str()), ("PASSWORD", PASSWORD)]);
        node.envs([("CHROMIUM", chromium.as_path()), ("RESTART", &restart)]);
        node.env("PHOTOS", fs::canonicalize("examples/photos").expect("photographs"));
        node.output().await.expect("node")
    };
    let mut told = Vec::new();
    tokio::select! {
        () = async { for file in PLAYED { told.push(succeeded(&play(file).await)) } } => {}
        () = start_again(&app, server, &restart) => unreachable!("it never ends"),
    }
    working.abort();
    println!("{}", told.join("\n"));
    let passed = told
        .iter()
        .flat_map(|told| told.lines())
        .filter_map(|line| line.split_once("ℹ pass ")?.1.trim().parse::<u32>().ok());
    note(&format!("built anew; in Chromium {} played", passed.sum::<u32>()));
}
