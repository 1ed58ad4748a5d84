//! The wheel that the server carries, and the page that says what to do with it.

use std::collections::HashMap;
use std::io::{Cursor, Read};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use darkroom::dev::python;
use darkroom::sdk::wheel;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::process::{Child, Command};

use crate::kit::app::{TestApp, until};
use crate::kit::client::Answer;
use crate::kit::images::md5_of;

/// How long a command of the page may take.
const COMMAND_WAIT: Duration = Duration::from_secs(120);

#[test]
fn the_wheel_is_the_same_bytes_twice_and_records_what_is_in_it() {
    let (made, again) = (wheel().expect("a wheel"), wheel().expect("a wheel"));
    assert!(made.bytes == again.bytes && made.sha256 == again.sha256);
    let mut zip = zip::ZipArchive::new(Cursor::new(made.bytes)).expect("a zip");
    let mut held: HashMap<String, Vec<u8>> = HashMap::new();
    for place in 0..zip.len() {
        let mut file = zip.by_index(place).expect("a file");
        let name = file.name().expect("a name").into_owned();
        let made_at = file.last_modified().expect("a time");
        assert_eq!((made_at.year(), made_at.month(), made_at.hour()), (1980, 1, 0), "{name}");
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).expect("its bytes");
        held.insert(name, bytes);
    }
    let version = env!("CARGO_PKG_VERSION");
    let about = |name: &str| format!("darkroom_worker-{version}.dist-info/{name}");
    let text = |name: &str| String::from_utf8(held[name].clone()).expect("text");
    let record = text(&about("RECORD"));
    let line = |(path, bytes): (&String, &Vec<u8>)| match path.ends_with("/RECORD") {
        true => format!("{path},,"),
        false => format!("{path},sha256={},{}", URL_SAFE_NO_PAD.encode(Sha256::digest(bytes)), bytes.len()),
    };
    let (mut lines, mut expected) = (record.lines().collect::<Vec<_>>(), held.iter().map(line).collect::<Vec<_>>());
    lines.sort_unstable();
    expected.sort();
    assert_eq!(lines, expected);

    assert!(held.contains_key("darkroom_worker/__init__.py") && held.contains_key("darkroom_worker/py.typed"));
    let strange = held.keys().find(|path| path.contains("__pycache__") || path.starts_with("tests"));
    assert_eq!(strange, None);
    // What pyproject.toml says to those who build from the sources.
    let project = std::fs::read_to_string("sdk/python/pyproject.toml").expect("pyproject.toml");
    let (metadata, entry_points) = (text(&about("METADATA")), text(&about("entry_points.txt")));
    let said = |field: &str| {
        let value = project.lines().find_map(|line| line.strip_prefix(&format!("{field} = \"")));
        value.unwrap_or_else(|| panic!("no {field}")).trim_end_matches('"').to_owned()
    };
    for (header, field) in
        [("Name", "name"), ("Version", "version"), ("Summary", "description"), ("Requires-Python", "requires-python")]
    {
        assert!(metadata.contains(&format!("{header}: {}\n", said(field))), "{header}\n{metadata}");
    }
    assert!(entry_points.contains(&format!("darkroom-worker = {}\n", said("darkroom-worker"))), "{entry_points}");
}

async fn get(app: &TestApp, path: &str, headers: &[(&str, &str)]) -> Answer {
    let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
    app.nobody().send(request.body(Body::empty()).expect("a request")).await
}

#[tokio::test]
async fn the_page_names_the_address_that_it_was_asked_by() {
    let app = TestApp::new().await;
    let proxied = app.replica_with(|s| s.trusted_proxies = vec!["127.0.0.1/32".parse().expect("a network")]).await;
    let text = async |app: &TestApp, headers: &[(&str, &str)]| {
        String::from_utf8(get(app, "/sdk", headers).await.bytes).expect("text")
    };
    let file = wheel().expect("a wheel").file_name;
    for (host, server) in [
        ("darkroom.lab:8080", "http://darkroom.lab:8080"),
        ("[::1]:8080", "http://[::1]:8080"),
        ("a.org;curl evil|sh", "http://SERVER"),
        ("\"><script>", "http://SERVER"),
        ("", "http://SERVER"),
    ] {
        let page = text(&app, &[("host", host)]).await;
        assert!(page.contains(&format!(" {server}/sdk/{file}#sha256=")), "{page}");
        assert!(page.contains(&format!("--server {server} ")), "{page}");
        let own = host.starts_with("[::1]");
        assert_eq!(page.contains(" --insecure"), !own, "a key in clear is said aloud: {page}");
    }
    let forwarded = [("host", "server:8080"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "darkroom.lab")];
    assert!(text(&proxied, &forwarded).await.contains("--server https://darkroom.lab --api"));
    assert!(text(&app, &forwarded).await.contains("--server http://server:8080 --api"), "anybody can say that");
    let page = get(&app, "/sdk", &[("host", "x<y"), ("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!(page.headers["content-type"], "text/html; charset=utf-8");
    assert!(page.headers["content-security-policy"].to_str().is_ok_and(|policy| policy.contains("default-src 'none'")));
}

#[tokio::test]
async fn the_wheel_is_sent_once_to_those_who_keep_it() {
    let app = TestApp::new().await;
    let wheel = wheel().expect("a wheel");
    let path = format!("/sdk/{}", wheel.file_name);
    let sent = get(&app, &path, &[]).await;
    sent.ok(200);
    assert!(sent.bytes == wheel.bytes);
    let etag = sent.headers["etag"].to_str().expect("a tag").to_owned();
    let again = get(&app, &path, &[("if-none-match", &etag)]).await;
    assert_eq!((again.status.as_u16(), again.bytes.len()), (304, 0));
    let other = get(&app, "/sdk/darkroom_worker-0.0.0-py3-none-any.whl", &[]).await.problem(404, "not_found");
    assert!(other["mend"].as_str().is_some_and(|mend| mend.contains(&wheel.file_name)), "{other}");
}

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
    if let Err(error) = python::environment() {
        return eprintln!("NOT TRIED, for there is no Python: {error:#}");
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
