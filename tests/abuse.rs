//! Everything that costs a server memory, all at once, from several accounts and from nobody: its memory is judged.

use std::time::Duration;

use darkroom::domain::account::Role;
use futures_util::{StreamExt, stream};
use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker};
use crate::kit::images::{md5_of, photo};
use crate::kit::process::Process;

const MIB: usize = 1024 * 1024;
/// The most memory that a server takes, whatever is done to it.
const MEMORY_MAX_MIB: u64 = 512;
/// How long whoever holds something here holds on to it, at most.
const HELD: Duration = Duration::from_secs(20);

/// A form's body without an end to what the parser would keep.
async fn endless_form(base: String, token: String, begin: &'static str) {
    let rest = stream::repeat(vec![b'x'; 64 * 1024]).take(1024);
    let body = stream::iter([begin.as_bytes().to_vec()]).chain(rest).map(Ok::<_, std::io::Error>);
    let request = reqwest::Client::new().post(format!("{base}/predict")).bearer_auth(token);
    let request = request.header("content-type", "multipart/form-data; boundary=b");
    // Refused, or cut off while it still sends.
    drop(request.body(reqwest::Body::wrap_stream(body)).send().await);
}

/// A photograph of so many mebibytes, and nothing wrong with it.
async fn upload(base: String, token: String, mebibytes: usize) {
    let rest = stream::repeat(vec![0; MIB]).take(mebibytes);
    let body = stream::iter([photo(9)]).chain(rest).map(Ok::<_, std::io::Error>);
    let part = reqwest::multipart::Part::stream(reqwest::Body::wrap_stream(body)).file_name("a.png");
    let form = reqwest::multipart::Form::new().text("models", "m0").part("images", part);
    drop(reqwest::Client::new().post(format!("{base}/predict")).bearer_auth(token).multipart(form).send().await);
}

/// JSON of this size, of the smallest parts there are.
async fn small_json(base: String, token: String, path: &'static str, begin: String, part: &'static str, bytes: usize) {
    let body = format!("{begin}[{}{part}]}}", format!("{part},").repeat(bytes / (part.len() + 1)));
    let request = reqwest::Client::new().post(format!("{base}{path}")).bearer_auth(token);
    drop(request.header("content-type", "application/json").body(body).send().await);
}

/// A connection that sends this and reads nothing.
async fn never_read(base: String, sent: String) {
    let address = base.trim_start_matches("http://").to_owned();
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    drop(stream.write_all(sent.as_bytes()).await);
    drop(tokio::time::timeout(HELD, stream.readable()).await);
    tokio::time::sleep(HELD).await;
}

fn post(path: &str, token: &str, body: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Six models that have said a mebibyte each of one image.
async fn large_results(app: &TestApp, ines: &crate::kit::client::Client) -> (Vec<Worker>, String) {
    let names: Vec<String> = (0..6).map(|n| format!("m{n}")).collect();
    let mut workers = Vec::new();
    for name in &names {
        workers.push(app.worker(name).await);
    }
    ines.submit(&[("a.png", photo(1))], &names.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for worker in &workers {
        let job = worker.claim(1).await.remove(0);
        let result = json!({"fields": {"text": "x".repeat(900_000)}});
        assert_eq!(worker.complete(&job, json!({"outcome": "succeeded", "result": result})).await["status"], 200);
    }
    (workers, md5_of(&photo(1)))
}

fn abuse(server: &Process, tokens: &[String], workers: &[Worker], md5: &str) -> JoinSet<()> {
    let mut all = JoinSet::new();
    let base = || server.base.clone();
    let asked = json!({"images": vec![md5; 1000], "results": true}).to_string();
    for n in 0..60 {
        let token = tokens[n % tokens.len()].clone();
        let worker = &workers[n % workers.len()];
        let key = worker.key.token.clone().expect("a key");
        all.spawn(endless_form(base(), token.clone(), ""));
        all.spawn(endless_form(
            base(),
            token.clone(),
            "--b\r\nContent-Disposition: form-data; name=\"images\"; filename=\"",
        ));
        all.spawn(upload(base(), token.clone(), 16));
        let complete = format!("{{\"worker\":\"{}\",\"items\":", worker.id);
        all.spawn(small_json(base(), key.clone(), "/jobs/complete", complete, "{\"\":0}", 15 * MIB));
        let one = format!(
            "{{\"worker\":\"{}\",\"items\":[{{\"id\":\"{}\",\"lease_no\":1,\"outcome\":\"succeeded\",\"result\":",
            worker.id,
            Uuid::nil()
        );
        all.spawn(small_json(base(), key.clone(), "/jobs/complete", one, "[]", MIB));
        all.spawn(small_json(
            base(),
            token.clone(),
            "/predict/status",
            "{\"images\":".to_owned(),
            "\"\"",
            2 * MIB - 100,
        ));
        all.spawn(small_json(
            base(),
            token.clone(),
            "/predict",
            "{\"models\":[],\"images\":".to_owned(),
            "\"\"",
            2 * MIB - 100,
        ));
        all.spawn(never_read(base(), post("/predict/status", &token, &asked)));
        let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        all.spawn(never_read(base(), get(&format!("/images/{md5}")).repeat(4)));
        all.spawn(never_read(base(), get(&format!("/predict/{md5}")).repeat(4)));
        let claim = json!({"worker": worker.id, "claim_id": Uuid::new_v4(), "wait_s": 15}).to_string();
        all.spawn(never_read(base(), post("/jobs/claim", &key, &claim)));
    }
    for n in 0..1000 {
        all.spawn(never_read(base(), format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}", "x".repeat(15_000))));
        all.spawn(never_read(base(), format!("BREW{n} /predict HTTP/1.1\r\nHost: a\r\n\r\n")));
        if n < 200 {
            all.spawn(never_read(base(), format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}", "x".repeat(400_000))));
            all.spawn(never_read(base(), "GET /docs/ui/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(4)));
        }
    }
    all
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_worst_of_everything_at_once_stays_in_little_memory() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    let (workers, md5) = large_results(&app, &ines).await;
    let mut tokens = vec![ines.token.clone().expect("a token")];
    for name in ["ivan", "ida", "igor", "iris", "ilse"] {
        tokens.push(app.user(name, &[Role::Investigator, Role::Admin]).await.token.expect("a token"));
    }
    let server = app.process(&[("DARKROOM_CLIENT_WAIT_S", "5")]);
    let (_, before) = server.resident().expect("Linux");
    let mut all = abuse(&server, &tokens, &workers, &md5);
    while all.join_next().await.is_some() {}
    let (peak, after) = server.resident().expect("Linux");
    let mib = |bytes: u64| bytes / MIB as u64;
    println!("memory of the server: {} MiB before, {} MiB at most, {} MiB after", mib(before), mib(peak), mib(after));
    assert!(mib(peak) < MEMORY_MAX_MIB, "the server took {} MiB", mib(peak));
    // And it serves on.
    let live = reqwest::get(format!("{}/health/ready", server.base)).await.expect("an answer");
    assert_eq!(live.status().as_u16(), 200);
}
