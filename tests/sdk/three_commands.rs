//! What the page of the package tells a newcomer to do.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::process::{Child, Command};

use super::python;
use crate::kit::app::{TestApp, until};
use crate::kit::images::md5_of;

/// How long a command may take that ends by itself.
const COMMAND_WAIT: Duration = Duration::from_secs(120);

/// Gives a command to a shell, in a folder where nothing but Python and this server is at hand.
fn shell(command: &str, folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", command])
        .current_dir(folder)
        .envs([
            ("HOME", folder.to_str().expect("a path")),
            ("PIP_NO_INDEX", "1"),
            ("PIP_DISABLE_PIP_VERSION_CHECK", "1"),
        ])
        .env_remove("PYTHONPATH")
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("a shell")
}

#[tokio::test(flavor = "multi_thread")]
async fn three_commands_lead_from_nothing_to_serving() {
    if python().is_none() {
        return;
    }
    let app = TestApp::new().await;
    let server = app.process(&[]);
    let page = reqwest::get(format!("{}/sdk", server.base)).await.expect("the page").text().await.expect("text");
    let commands: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    assert_eq!(commands.len(), 3, "{page}");
    let folder = tempfile::tempdir().expect("a folder");
    for command in &commands[..2] {
        let ended = tokio::time::timeout(COMMAND_WAIT, shell(command, folder.path()).wait()).await;
        assert!(ended.expect("an end").expect("a status").success(), "{command}");
    }
    let key = app.key("predict", &["my_model"]).await.token.expect("a key");
    std::fs::write(folder.path().join("darkroom.key"), key).expect("the key");
    // Without the shell between, which would be killed in its place.
    let _serving = shell(&format!("exec {}", commands[2]), folder.path());
    let ines = app.investigator("ines").await;
    until("a worker", async || {
        ines.get("/models").await.ok(200)["items"].as_array().is_some_and(|models| !models.is_empty())
    })
    .await;
    let photo = std::fs::read("examples/photos/coffee.jpg").expect("a photograph");
    let path = format!("/predict/{}?wait_s=30", md5_of(&photo));
    ines.submit(&[("coffee.jpg", photo)], &["my_model"]).await;
    let answer = ines.get(&path).await.ok(200);
    assert_eq!(answer["status"], "succeeded", "{answer}");
    assert_ne!(answer["results"]["my_model"], Value::Null, "{answer}");
}
