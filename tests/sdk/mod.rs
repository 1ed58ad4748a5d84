//! The workers' Python package: its own suite, and what the server hands out of it.

mod changes;
mod circle;
mod models;
mod wheel;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use darkroom::dev::{process, python};
use darkroom::domain::account::Role;
use tokio::process::Command;

use crate::kit::app::{PASSWORD, TestApp};
use crate::kit::process::DARKROOM;

/// Where Python finds the package.
pub const PACKAGE: &str = "sdk/python";
/// How long the package's own suite may take.
const SUITE_WAIT: Duration = Duration::from_secs(900);
/// What `make test` shows of it.
const NOTE: &str = "target/python.txt";
/// What the suite's tests use: pytest, mypy, and what the examples are written with.
const REQUIREMENTS: [&str; 6] = [
    "tests/sdk/requirements.txt",
    "examples/image_stats/requirements.txt",
    "examples/face_detect/requirements.txt",
    "examples/digits/requirements.txt",
    "examples/faces/requirements.txt",
    "examples/onnx_predict/requirements.txt",
];

/// Python with all that the tests need; nothing, and loudly so, where there is none.
pub fn python() -> Option<PathBuf> {
    let python =
        python::environment().inspect_err(|error| eprintln!("NOT TRIED, for there is no Python: {error:#}")).ok()?;
    for file in REQUIREMENTS {
        python::install_requirements(Path::new(file)).expect("what the tests of Python need");
    }
    Some(python)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_packages_own_suite_passes() {
    std::fs::create_dir_all("target").expect("target");
    let note = |told: &str| std::fs::write(NOTE, format!("Python: {told}\n")).expect("a note");
    let Some(python) = python() else { return note("NOT TRIED, there is none") };
    // What the package says of a server is compared with a real one.
    let app = TestApp::new().await;
    app.user("admin", Role::ALL).await;
    let server = app.process(&[("DARKROOM_LEASE_S", "5"), ("DARKROOM_HEARTBEAT_S", "1")]);
    let mut pytest = Command::new(python);
    pytest
        .args(["-m", "pytest", "sdk/python/tests", "-q", "-p", "no:cacheprovider", "--durations=5"])
        // Its tests mostly wait for processes. What is tried once for a file stays with that file.
        .args(["-n", "3", "--dist", "loadfile"])
        .envs([("PYTHONPATH", PACKAGE), ("PYTHONDONTWRITEBYTECODE", "1"), ("DARKROOM_BIN", DARKROOM)])
        .envs([("DARKROOM_TEST_URL", server.base.as_str()), ("DARKROOM_TEST_PASSWORD", PASSWORD)])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // With whatever it started: models hang on purpose.
        .process_group(0)
        .kill_on_drop(true);
    let running = pytest.spawn().expect("pytest");
    let group = format!("-{}", running.id().expect("a process id"));
    let Ok(ended) = tokio::time::timeout(SUITE_WAIT, running.wait_with_output()).await else {
        let _ = process::signal(&group, "KILL");
        panic!("the package's suite takes more than {} s", SUITE_WAIT.as_secs());
    };
    let ended = ended.expect("pytest");
    let told = String::from_utf8_lossy(&ended.stdout).into_owned() + &String::from_utf8_lossy(&ended.stderr);
    note(told.lines().rev().find(|line| line.contains(" passed") || line.contains(" failed")).unwrap_or("nothing ran"));
    println!("{told}");
    assert!(ended.status.success(), "{told}");
}
