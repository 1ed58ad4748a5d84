//! What requests may hold at once, and what one answer may be: whoever wants more is told so, and others go on.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, header};
use darkroom::client::destination::Destination;
use darkroom::client::http::Api;
use darkroom::client::submit;
use futures_util::{StreamExt, stream};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::kit::app::{TestApp, Worker, until};
use crate::kit::client::{Client, assert_mends};
use crate::kit::form::{self, Form};
use crate::kit::images::{md5_of, photo};
use crate::kit::settings::settings;

/// The whole of each budget here; an account has a quarter of it.
const FOUR: usize = 4;

/// An upload that never ends.
fn endless_upload() -> Request<Body> {
    let begun = Form::default().text("models", "ocr").finish();
    let begun = begun[..begun.len() - 20].to_vec();
    let body = stream::iter([Ok::<_, std::io::Error>(begun)]).chain(stream::pending());
    let request = Request::post("/predict").header(header::CONTENT_TYPE, form::CONTENT_TYPE);
    request.body(Body::from_stream(body)).expect("a request")
}

#[tokio::test]
async fn an_account_has_its_part_of_what_may_go_on_at_once_and_the_others_theirs() {
    let app =
        TestApp::with(|s| (s.uploads_max, s.claims_waiting_max, s.lookups_waiting_max) = (FOUR, FOUR, FOUR)).await;
    let worker = app.worker("ocr").await;
    let (ines, ivan) = (app.investigator("ines").await, app.investigator("ivan").await);
    let md5 = md5_of(&photo(1));
    ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let job = worker.claim(1).await.remove(0);
    let mut held = JoinSet::new();
    let uploading = ines.clone();
    held.spawn(async move { uploading.send(endless_upload()).await });
    let claim = |wait_s: f64| json!({"worker": worker.id, "claim_id": Uuid::new_v4(), "wait_s": wait_s});
    let (key, waiting) = (worker.key.clone(), claim(40.0));
    held.spawn(async move { key.post("/jobs/claim", waiting).await });
    let (looking, path) = (ines.clone(), format!("/predict/{md5}?wait_s=40"));
    held.spawn(async move { looking.get(&path).await });
    until("all three to wait", async || {
        let spool = std::fs::read_dir(app.ctx.blobs.root().with_file_name("staging")).expect("the spool").count();
        app.ctx.waiters.waiting_for("ocr", 0) == 1 && app.ctx.waiters.sessions().len() == 1 && spool == 0
    })
    .await;
    let more = [
        ines.send(endless_upload()).await,
        worker.key.post("/jobs/claim", claim(1.0)).await,
        ines.get(&format!("/predict/{md5}?wait_s=1")).await,
    ];
    for refused in more {
        let problem = refused.problem(429, "too_many_requests");
        assert_eq!(refused.headers["retry-after"], "2");
        assert_mends(&problem);
    }
    // What does not wait has room, and so has everybody else.
    worker.key.post("/jobs/claim", claim(0.0)).await.ok(200);
    ines.get(&format!("/predict/{md5}")).await.ok(200);
    ivan.submit(&[("b.png", photo(2))], &["ocr"]).await;
    app.worker("other").await.claim_as(Uuid::new_v4(), 1, 0.1).await;
    assert_eq!(held.len(), 3, "those who came first still wait");
    worker.succeed(&job).await;
}

#[tokio::test]
async fn what_a_form_is_not_made_of_is_refused_at_once() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let endless = |begin: &str| {
        let begin = begin.as_bytes().to_vec();
        let rest = stream::repeat_with(|| vec![b'x'; 8 * 1024]);
        let body = stream::iter([begin]).chain(rest).map(Ok::<_, std::io::Error>);
        let request = Request::post("/predict").header(header::CONTENT_TYPE, form::CONTENT_TYPE);
        request.body(Body::from_stream(body)).expect("a request")
    };
    for begin in ["", "--darkroom-test-boundary\r\nContent-Disposition: form-data; name=\"images\"; filename=\""] {
        let problem = ines.send(endless(begin)).await.problem(413, "too_large");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("16384")), "{problem}");
    }
}

#[tokio::test]
async fn an_odd_name_costs_its_own_file_only() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let mut form = Form::default().text("models", "ocr");
    for (n, name) in ["a.png", "b\0.png", "c\r\nd.png", "e\u{1b}[1m.png", "f.png"].into_iter().enumerate() {
        form = form.file(name, &photo(n as u64));
    }
    let answer = ines.upload(form).await.ok(202);
    let (images, rejected) = (&answer["images"], answer["rejected"].as_array().expect("the rejected"));
    let names: Vec<&Value> = images.as_array().expect("images").iter().map(|image| &image["name"]).collect();
    assert_eq!(names, ["a.png", "f.png"]);
    let told: Vec<(&Value, &Value)> = rejected.iter().map(|one| (&one["index"], &one["problem"]["code"])).collect();
    let code = json!("invalid_field");
    assert_eq!(told, [(&json!(1), &code), (&json!(2), &code), (&json!(3), &code)]);
    rejected.iter().for_each(|one| assert_mends(&one["problem"]));
}

/// A worker's result of so many bytes for the only job of its model.
async fn answer_with(worker: &Worker, bytes: usize) {
    let job = worker.claim(1).await.remove(0);
    let result = json!({"fields": {"text": "x".repeat(bytes)}});
    let item = json!({"id": job["id"], "lease_no": job["lease_no"], "outcome": "succeeded", "result": result});
    let body = json!({"worker": worker.id, "items": [item]}).to_string();
    let request = Request::post("/jobs/complete").header(header::CONTENT_TYPE, "application/json");
    let request = request.header(header::CONTENT_LENGTH, body.len()).body(Body::from(body)).expect("a request");
    assert_eq!(worker.key.send(request).await.ok(200)["items"][0]["status"], 200);
}

const MIB: usize = 1024 * 1024;

/// An image of which so many models said so much.
async fn talked_about(app: &TestApp, ines: &Client, salt: u64, models: usize, bytes: usize) -> String {
    let names: Vec<String> = (0..models).map(|n| format!("m{salt}-{n}")).collect();
    let mut workers = Vec::new();
    for name in &names {
        workers.push(app.worker(name).await);
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    ines.submit(&[("a.png", photo(salt))], &names).await;
    for worker in &workers {
        answer_with(worker, bytes).await;
    }
    md5_of(&photo(salt))
}

#[tokio::test]
async fn no_answer_is_larger_than_whoever_asks_can_bear() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    // Over what is read at once; over what is answered at once; a usual one.
    let huge = talked_about(&app, &ines, 1, 18, MIB - 1000).await;
    let large = talked_about(&app, &ines, 2, 9, MIB - 1000).await;
    let usual = talked_about(&app, &ines, 3, 1, 1000).await;
    for (md5, salt) in [(&huge, 1), (&large, 2)] {
        let problem = ines.get(&format!("/predict/{md5}")).await.problem(413, "answer_too_large");
        assert!(problem["mend"].as_str().is_some_and(|mend| mend.contains("models")), "{problem}");
        let some = ines.get(&format!("/predict/{md5}?models=m{salt}-0,m{salt}-8")).await.ok(200);
        assert_eq!(some["results"].as_object().map(serde_json::Map::len), Some(2));
        let record = ines.get(&format!("/images/{md5}")).await.ok(200);
        assert_eq!(record["results"].as_array().map(Vec::len), Some(4));
        assert_eq!(record["older_left_out"], true);
    }
    assert_eq!(ines.get(&format!("/images/{usual}")).await.ok(200)["older_left_out"], false);
    let asked = json!({"images": [huge, large, usual, "nonsense", usual], "results": true});
    let answer = ines.post("/predict/status", asked).await.ok(200);
    let codes: Vec<&Value> =
        answer["items"].as_array().expect("items").iter().map(|item| &item["problem"]["code"]).collect();
    let too_large = json!("answer_too_large");
    assert_eq!(codes, [&too_large, &too_large, &Value::Null, &json!("invalid_hash"), &Value::Null]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_no_room_in_one_answer_comes_with_the_next() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    let mut md5s = Vec::new();
    for salt in 10..13 {
        md5s.push(talked_about(&app, &ines, salt, 3, MIB - 1000).await);
    }
    let repeated: Vec<&String> = md5s.iter().cycle().take(999).collect();
    let answer = ines.post("/predict/status", json!({"images": repeated, "results": true})).await;
    assert!(answer.bytes.len() < 8 * MIB, "{}", answer.bytes.len());
    let answered =
        answer.ok(200)["items"].as_array().expect("items").iter().filter(|item| item["problem"].is_null()).count();
    assert_eq!(answered, 2, "as many as have room");
    let server = app.process(&[]);
    let api = Api::new(&Destination::of(&server.base), ines.token.clone()).expect("an address");
    let md5s: Vec<&str> = md5s.iter().map(String::as_str).collect();
    let items = submit::look_up(&api, &md5s).await.expect("an answer");
    assert!(items.iter().all(|item| item.problem.is_none() && item.results.len() == 3), "nothing is left out");
    let found: Vec<&str> = items.iter().map(|item| item.md5.as_str()).collect();
    assert_eq!(found, md5s);
}

#[tokio::test]
async fn models_that_say_much_of_themselves_come_page_by_page() {
    let app = TestApp::new().await;
    let ines = app.investigator("ines").await;
    // Each as much as a registration may say.
    app.alter(
        "INSERT INTO queue (name, last_version, labels, params_schema)
         SELECT 'm' || n, 'v1', ARRAY(SELECT repeat('x', 197) FROM generate_series(1, 980)), jsonb_build_object('title', repeat('y', 60000))
         FROM generate_series(101, 140) AS n",
    )
    .await;
    let (mut names, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = ines.get(&format!("/models?limit=500{cursor}")).await.ok(200);
        names.extend(page["items"].as_array().expect("items").iter().map(|model| model["name"].clone()));
        assert!(page["items"].as_array().is_some_and(|items| items.len() < 20), "a page of so many is too large");
        let Some(next) = page["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let expected: Vec<Value> = (101..=140).map(|n| json!(format!("m{n}"))).collect();
    assert_eq!(names, expected);
    assert_eq!(ines.get("/models/m101").await.ok(200)["labels"].as_array().map(Vec::len), Some(980));
}

#[tokio::test]
async fn a_body_that_says_it_is_too_large_is_refused_before_it_is_read() {
    let app = TestApp::new().await;
    let (worker, ines) = (app.worker("ocr").await, app.investigator("ines").await);
    let (json, form) = ("application/json", "application/x-www-form-urlencoded");
    for (by, path, content_type, most) in [
        (&ines, "/predict", json, 2 * MIB),
        (&ines, "/predict/status", json, 2 * MIB),
        (&worker.key, "/jobs/claim", json, 2 * MIB),
        (&worker.key, "/jobs/complete", json, 16 * MIB),
        (&worker.key, "/workers/register", json, 256 * 1024),
        (&app.nobody(), "/auth/login", form, 16 * 1024),
    ] {
        let request = Request::post(path).header(header::CONTENT_TYPE, content_type);
        let never = Body::from_stream(stream::pending::<std::io::Result<Vec<u8>>>());
        let request = request.header(header::CONTENT_LENGTH, most + 1).body(never).expect("a request");
        let refused = tokio::time::timeout(Duration::from_secs(5), by.send(request)).await;
        let problem = refused.unwrap_or_else(|_| panic!("{path} waits for the body")).problem(413, "too_large");
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(&most.to_string())), "{problem}");
    }
}

#[test]
fn whoever_waits_has_a_connection_to_wait_on() {
    let mut serve = settings("postgres://nowhere/none", "redis://nowhere", PathBuf::from("data"));
    serve.limits().expect("what is set for everybody");
    serve.claims_waiting_max = serve.connections_max;
    let refused = serve.limits().expect_err("more wait than connect").to_string();
    assert!(refused.contains("DARKROOM_CONNECTIONS_MAX"), "{refused}");
    serve.connections_max += serve.lookups_waiting_max + serve.uploads_max + serve.streams_max;
    serve.limits().expect("a connection for each");
}
