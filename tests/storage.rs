//! The image store is full, read-only or slow; and what is acknowledged is on stable storage.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use darkroom::domain::account::Role;
use darkroom::maintenance;
use serde_json::{Value, json};

use crate::kit::app::{TestApp, until};
use crate::kit::client::Client;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo, png};
use crate::kit::process::Process;
use crate::kit::{faults, form, shim};

/// The library that puts faults under a process, compiled once.
fn library() -> &'static str {
    static BUILT: OnceLock<String> = OnceLock::new();
    BUILT.get_or_init(|| shim::compile("faults", Path::new(env!("CARGO_TARGET_TMPDIR"))).expect("a C compiler"))
}

/// A server process whose storage can be told to fail, beside the in-process one on the same data.
struct Faulty {
    app: TestApp,
    server: Process,
    control: tempfile::NamedTempFile,
    syncs: tempfile::NamedTempFile,
    ines: Client,
}

impl Faulty {
    async fn start() -> Self {
        let app = TestApp::new().await;
        app.worker("ocr").await;
        let ines = app.user("ines", &[Role::Investigator]).await;
        let (control, syncs) = (tempfile::NamedTempFile::new(), tempfile::NamedTempFile::new());
        let (control, syncs) = (control.expect("a file"), syncs.expect("a file"));
        let data = app.settings.data.canonicalize().expect("a path");
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let server = app.process(&[
            ("LD_PRELOAD", library()),
            ("FAULTS_DIR", &text(&data)),
            ("FAULTS_CONTROL", &text(control.path())),
            ("FAULTS_FSYNC_LOG", &text(syncs.path())),
            ("DARKROOM_STORAGE_WAIT_S", "1.5"),
        ]);
        Self { app, server, control, syncs, ines }
    }

    fn storage(&self, word: &str) {
        faults::tell(self.control.path(), word).expect("the control file");
    }

    async fn upload(&self, bytes: Vec<u8>) -> (u16, bool, Value) {
        let form = Form::default().file("a.png", &bytes).text("models", "ocr").finish();
        let request = reqwest::Client::new().post(format!("{}/predict", self.server.base)).body(form);
        let request = request.header("content-type", form::CONTENT_TYPE);
        let answer = request.bearer_auth(self.ines.token.as_ref().expect("a token")).send().await.expect("an answer");
        let (status, retry) = (answer.status().as_u16(), answer.headers().contains_key("retry-after"));
        (status, retry, answer.json().await.expect("JSON"))
    }

    /// Nothing in the database, and no bytes but those that the collector takes.
    async fn nothing_half_stored(&self) {
        assert_eq!(self.app.count("SELECT (SELECT count(*) FROM image) + (SELECT count(*) FROM job)").await, 0);
        maintenance::collect_blobs(&self.app.ctx, Duration::ZERO).await.expect("a tick");
        assert_eq!(files_below(self.app.ctx.blobs.root()), Vec::<String>::new());
    }
}

fn files_below(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        if entry.path().is_dir() {
            files.extend(files_below(&entry.path()));
        } else {
            files.push(entry.path().to_string_lossy().into_owned());
        }
    }
    files
}

#[tokio::test]
async fn a_full_disk_is_507_and_leaves_nothing() {
    let faulty = Faulty::start().await;
    faulty.storage("full");
    for size in [200, 3_000_000] {
        let (status, _, problem) = faulty.upload(png_of(size, 1)).await;
        assert_eq!((status, &problem["code"]), (507, &json!("storage_full")), "{problem}");
    }
    faulty.nothing_half_stored().await;
    faulty.storage("");
    assert_eq!(faulty.upload(photo(1)).await.0, 202);
    faulty.ines.get(&format!("/images/{}/content", md5_of(&photo(1)))).await.ok(200);
}

#[tokio::test]
async fn a_read_only_disk_is_503_and_leaves_nothing() {
    let faulty = Faulty::start().await;
    faulty.storage("readonly");
    let (status, retry, problem) = faulty.upload(photo(1)).await;
    assert_eq!((status, retry, &problem["code"]), (503, true, &json!("unavailable")), "{problem}");
    faulty.nothing_half_stored().await;
    faulty.storage("");
    assert_eq!(faulty.upload(photo(1)).await.0, 202);
}

#[tokio::test]
async fn a_slow_disk_is_503_and_leaves_nothing() {
    let faulty = Faulty::start().await;
    faulty.storage("slow");
    let (status, retry, problem) = faulty.upload(photo(1)).await;
    assert_eq!((status, retry, &problem["code"]), (503, true, &json!("unavailable")), "{problem}");
    faulty.storage("");
    faulty.nothing_half_stored().await;
}

#[tokio::test]
async fn bytes_that_do_not_come_are_not_waited_for() {
    let faulty = Faulty::start().await;
    assert_eq!(faulty.upload(png_of(3_000_000, 1)).await.0, 202);
    let read = async || {
        let path = format!("{}/images/{}/content", faulty.server.base, md5_of(&png_of(3_000_000, 1)));
        let asked = reqwest::Client::new().get(path).bearer_auth(faulty.ines.token.as_ref().expect("a token"));
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status().as_u16(), 200, "the file is there");
        answer.bytes().await.map(|bytes| bytes.len()).ok()
    };
    faulty.storage("stuck");
    let ended = tokio::time::timeout(Duration::from_secs(30), read()).await.expect("an end");
    assert_eq!(ended, None, "and not as if it were whole");
    faulty.storage("");
    assert_eq!(read().await, Some(3_000_000));
}

#[tokio::test]
async fn bytes_and_their_folders_are_on_stable_storage_before_the_202() {
    let faulty = Faulty::start().await;
    for (salt, size) in [(1, 200), (2, 3_000_000)] {
        std::fs::write(faulty.syncs.path(), "").expect("an empty record");
        let bytes = png_of(size, salt);
        let (status, _, taken) = faulty.upload(bytes).await;
        // What the record holds by now was synced before the answer came.
        let record = std::fs::read_to_string(faulty.syncs.path()).expect("the record");
        assert_eq!(status, 202, "{taken}");
        let root = faulty.app.ctx.blobs.root().canonicalize().expect("a path");
        let folder = root.join(taken["images"][0]["sha256"].as_str().expect("a hash"));
        let synced = |path: &Path| record.lines().any(|line| Path::new(line) == path);
        // The file was synced where it was staged, and renamed.
        let staging = root.with_file_name("staging");
        let file = record.lines().any(|line| Path::new(line).parent() == Some(&staging));
        assert!(file && synced(&folder) && synced(&root), "{size} bytes in {}: {record}", folder.display());
    }
}

fn png_of(size: usize, salt: u64) -> Vec<u8> {
    let mut bytes = png(40, 30, salt);
    bytes.resize(bytes.len().max(size), 0);
    bytes
}

#[tokio::test]
async fn a_server_whose_clock_is_two_days_fast_collects_nothing_young() {
    let app = TestApp::new().await;
    let orphan = |n: u8, days: u64| {
        let folder = app.ctx.blobs.root().join(hex::encode([n; 32]));
        std::fs::create_dir_all(&folder).expect("a folder");
        let path = folder.join(uuid::Uuid::new_v4().to_string());
        let file = std::fs::File::create(&path).expect("a file");
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(days * 86_400)).expect("an age");
        path
    };
    let young: Vec<_> = (0..20).map(|n| orphan(n, 0)).collect();
    let old = orphan(20, 3);
    let server = app.process(&[("LD_PRELOAD", library()), ("FAULTS_CLOCK_S", "172800")]);
    until("the first pass of the collector", async || !old.exists()).await;
    let ready = reqwest::get(format!("{}/health/ready", server.base)).await.expect("an answer");
    assert_eq!(ready.status().as_u16(), 200);
    assert!(young.iter().all(|path| path.exists()), "an upload may be about to name them");
}
