//! Streams of events: what they tell, to whom, how much of it, and when they end.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, BodyDataStream};
use axum::http::{Method, Request};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use darkroom::domain::account::Role;
use darkroom::domain::fault::{Code, Fault};
use darkroom::domain::topic::Topic;
use darkroom::http::serve;
use darkroom::service::events::{Audience, Events, Following, TopicState};
use futures_util::StreamExt;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};
use sqlx::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tower::ServiceExt;
use uuid::Uuid;

use crate::kit::app::{TestApp, until};
use crate::kit::client::{Client, assert_mends};
use crate::kit::images::photo;
use crate::races::{beside, until_blocked};
use crate::training::{Trainer, start};

/// The longest that any event is waited for here.
const EVENT_WAIT: Duration = Duration::from_secs(30);

/// One event.
#[derive(Debug)]
struct Told {
    kind: String,
    id: String,
    data: Value,
}

/// Who reads a stream.
struct Reader {
    body: BodyDataStream,
    text: String,
}

impl Reader {
    async fn open(router: &Router, client: &Client, watch: &str, last: Option<&str>) -> Self {
        let request = Request::get(format!("/events?watch={watch}"));
        let request = request.header("authorization", format!("Bearer {}", client.token.as_ref().expect("a token")));
        let request = last.into_iter().fold(request, |request, id| request.header("last-event-id", id));
        let answer = router.clone().oneshot(request.body(Body::empty()).expect("a request")).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Self { body: answer.into_body().into_data_stream(), text: String::new() }
    }

    /// The next event; nothing at the end.
    async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
                let Some(kind) = field("event: ") else { continue };
                let data = serde_json::from_str(&field("data: ").expect("data")).expect("JSON");
                return Some(Told { kind, id: field("id: ").expect("an id"), data });
            }
            let piece = tokio::time::timeout(EVENT_WAIT, self.body.next()).await.expect("an event");
            self.text += std::str::from_utf8(&piece?.expect("a piece")).expect("text");
        }
    }

    /// The next state of a topic for which something holds.
    async fn until(&mut self, topic: &str, holds: impl Fn(&Value) -> bool) -> Told {
        loop {
            let told = self.next().await.expect("the stream goes on");
            assert_eq!(told.kind, "state", "{told:?}");
            if told.data["topic"] == topic && holds(&told.data["state"]) {
                return told;
            }
        }
    }
}

/// All events of a stream that ends at once.
async fn at_once(router: &Router, client: &Client, watch: &str, last: Option<&str>) -> Vec<Told> {
    let mut reader = Reader::open(router, client, &format!("{watch}&for_s=0"), last).await;
    let mut all = Vec::new();
    while let Some(told) = reader.next().await {
        all.push(told);
    }
    all
}

#[tokio::test]
async fn a_stream_tells_what_the_routes_do_and_every_change_of_it() {
    let app = TestApp::new().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let sent = ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let id = sent["submission"].as_str().expect("an id");
    let submission = format!("submission:{id}");
    let case = ines.get("/cases").await.ok(200)["items"][0]["id"].as_str().expect("an id").to_owned();
    let export = ines.post("/exports", json!({"case": case, "format": "csv"})).await.ok(201);
    let watch = format!("models,workers,queues,{submission},submissions,exports:{case},images,images:{case},models");
    for told in at_once(&app.router, &ines, &watch, None).await {
        let (topic, state) = (told.data["topic"].as_str().expect("a topic"), &told.data["state"]);
        let path = match topic.split_once(':') {
            Some(("submission", id)) => format!("/submissions/{id}?limit=100"),
            _ => format!("/{topic}?limit=500"),
        };
        match topic {
            "queues" => assert_eq!(state["items"][0]["backlog"], 1),
            "submissions" => {
                assert_eq!((&state["items"][0]["id"], state["items"].as_array().map(Vec::len)), (&json!(id), Some(1)));
            }
            "images" => {
                assert_eq!((state["images"].is_null(), state["newest_at"].is_string()), (true, true), "{state}");
            }
            _ if topic.starts_with("exports:") => assert_eq!(state["items"], json!([export])),
            _ if topic.starts_with("images:") => {
                assert_eq!((&state["images"], state["newest_at"].is_string()), (&json!(1), true));
            }
            _ => assert_eq!(*state, ines.get(&path).await.ok(200)),
        }
    }
    let mut reader = Reader::open(&app.router, &ines, &format!("{submission},images:{case}"), None).await;
    reader.until(&submission, |state| state["counts"]["queued"] == 1).await;
    let job = worker.claim(1).await.remove(0);
    reader.until(&submission, |state| state["counts"]["running"] == 1).await;
    worker.succeed(&job).await;
    reader.until(&submission, |state| state["done"] == true).await;
    ines.submit(&[("b.png", photo(2))], &["ocr"]).await;
    reader.until(&format!("images:{case}"), |state| state["images"] == 2).await;
}

#[tokio::test]
async fn who_comes_again_is_told_what_differs_also_by_another_replica() {
    let app = TestApp::new().await;
    let other = app.replica().await;
    let worker = app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let sent = ines.submit(&[("a.png", photo(1))], &["ocr"]).await;
    let submission = format!("submission:{}", sent["submission"].as_str().expect("an id"));
    let watch = format!("{submission},images,submissions");
    let all = at_once(&app.router, &ines, &watch, None).await;
    assert_eq!(all.len(), 3);
    let last = &all[2].id;
    assert_eq!(at_once(&other.router, &ines, &watch, Some(last)).await.len(), 0, "nothing has changed");
    let known = at_once(&other.router, &ines, &format!("images,models,{submission}"), Some(last)).await;
    assert_eq!(known.iter().map(|told| &told.data["topic"]).collect::<Vec<_>>(), ["models"], "what is new is told");
    for strange in ["", "nonsense", "a.b.c", "é", &"x".repeat(5_000)] {
        assert_eq!(at_once(&other.router, &ines, &watch, Some(strange)).await.len(), 3, "{strange}");
    }
    // What is done here is seen there.
    let mut reader = Reader::open(&other.router, &ines, &watch, Some(last)).await;
    worker.succeed(&worker.claim(1).await.remove(0)).await;
    let told = reader.until(&submission, |state| state["done"] == true).await;
    let differs = at_once(&app.router, &ines, &format!("images,{submission}"), Some(&told.id)).await;
    assert_eq!(differs.len(), 0, "and its id is as good here");
}

#[tokio::test]
async fn a_right_that_is_taken_away_ends_its_topic_and_a_token_all_of_them() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let (ines, mia, admin) = (
        app.investigator("ines").await,
        app.user("mia", &[Role::Investigator, Role::Researcher]).await,
        app.admin().await,
    );
    let case = ines.post("/cases", json!({"name": "Harbour"})).await.ok(201)["id"].as_str().expect("an id").to_owned();
    ines.put(&format!("/cases/{case}/members/mia"), json!({"role": "viewer"})).await.ok(200);
    let form = crate::kit::form::Form::default().file("a.png", &photo(1)).text("models", "ocr").text("case", &case);
    let sent = ines.upload(form).await.ok(202);
    let submission = format!("submission:{}", sent["submission"].as_str().expect("an id"));
    let run = {
        let key = app.key_of(&admin, "train", &["digits"]).await;
        let _trainer = Trainer::with_key(key, "digits", Value::Null).await;
        format!("run:{}", start(&mia, json!({})).await)
    };
    let watch = format!("{submission},images:{case},{run},runs,workers");
    let mut reader = Reader::open(&app.router, &mia, &watch, None).await;
    let mut told = Vec::new();
    while told.len() < 5 {
        let next = reader.next().await.expect("a state");
        assert_eq!(next.kind, "state", "{next:?}");
        told.push(next);
    }
    // To who never had it, it is not there.
    let mut strange = Vec::new();
    for told in at_once(&app.router, &app.investigator("ivo").await, &watch, None).await {
        if told.kind == "problem" {
            assert_mends(&told.data["problem"]);
        }
        strange.push((told.data["topic"].clone(), told.data["problem"]["status"].clone()));
    }
    strange.sort_by_key(|(topic, _)| topic.to_string());
    let topics = [(format!("images:{case}"), json!(404)), (run.clone(), json!(403)), ("runs".into(), json!(403))];
    let topics = topics.into_iter().chain([(submission.clone(), json!(404)), ("workers".into(), Value::Null)]);
    assert_eq!(strange, topics.map(|(topic, status)| (json!(topic), status)).collect::<Vec<_>>());

    let mut ended = async |topics: usize| {
        let mut codes = Vec::new();
        while codes.len() < topics {
            let told = reader.next().await.expect("the stream goes on");
            if told.kind == "problem" {
                codes.push((told.data["topic"].clone(), told.data["problem"]["status"].clone()));
            }
        }
        codes.sort_by_key(|(topic, _)| topic.to_string());
        codes
    };
    ines.delete(&format!("/cases/{case}/members/mia")).await.ok(204);
    assert_eq!(ended(2).await, [(json!(format!("images:{case}")), json!(404)), (json!(submission), json!(404))]);
    admin.patch("/auth/users/mia", json!({"roles": ["investigator"]})).await.ok(200);
    assert_eq!(ended(2).await, [(json!(run), json!(403)), (json!("runs"), json!(403))]);
    mia.call(Method::POST, "/auth/logout", None).await.ok(204);
    assert_eq!(ended(1).await, [(Value::Null, json!(401))]);
    assert!(reader.next().await.is_none(), "and that is the end");

    // What was done on another replica is known within seconds.
    let ivo = app.log_in("ivo", crate::kit::app::PASSWORD).await;
    let mut reader = Reader::open(&app.router, &ivo, "workers", None).await;
    reader.until("workers", |_| true).await;
    app.alter("UPDATE account SET disabled_at = clock_timestamp() WHERE name = 'ivo'").await;
    let told = reader.next().await.expect("an event");
    assert_eq!((told.kind.as_str(), &told.data["problem"]["code"]), ("problem", &json!("disabled_credential")));
    assert!(reader.next().await.is_none());
}

#[tokio::test]
async fn a_stream_is_bounded_and_says_so() {
    let app = TestApp::with(|s| (s.streams_max, s.client_wait_s) = (8, 0.5)).await;
    let worker = app.worker("ocr").await;
    let (ines, ivan) = (app.investigator("ines").await, app.investigator("ivan").await);
    let many = (0..17).map(|_| format!("run:{}", Uuid::new_v4())).collect::<Vec<_>>().join(",");
    for query in [
        "",
        "?watch=",
        "?watch=nonsense",
        "?watch=models,,",
        "?watch=models&watch=workers",
        "?watch=models&more=1",
        "?watch=models&for_s=601",
        "?watch=models&for_s=-1",
        &format!("?watch={many}"),
    ] {
        let refused = ines.get(&format!("/events{query}")).await;
        assert_eq!(refused.status, 422, "{query}");
        assert_mends(&refused.json());
    }
    // An account has a quarter of them.
    let mut open = vec![
        Reader::open(&app.router, &ines, "workers", None).await,
        Reader::open(&app.router, &ines, "workers", None).await,
    ];
    let refused = ines.get("/events?watch=workers&for_s=0").await;
    refused.problem(429, "too_many_requests");
    assert_eq!(refused.headers["retry-after"], "2");
    open.push(Reader::open(&app.router, &ivan, "models", None).await);
    ines.get("/models").await.ok(200);
    until("all to be followed", async || app.followed() == 2).await;
    // Of who does not read, no more is asked once the pieces on the way are too many; of who is gone, nothing.
    open.truncate(1);
    until("what nobody follows to be looked at no more", async || app.followed() == 1).await;
    let beats = std::sync::atomic::AtomicBool::new(false);
    until("who does not read to be given up", async || {
        let draining = beats.fetch_xor(true, std::sync::atomic::Ordering::Relaxed);
        worker
            .key
            .post(&format!("/workers/{}/heartbeat", worker.id), json!({"draining": draining, "jobs": []}))
            .await
            .ok(200);
        app.followed() == 0
    })
    .await;
    at_once(&app.router, &ines, "workers", None).await;
}

#[tokio::test]
async fn the_queues_are_as_closed_here_as_on_their_own_page() {
    let token = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(token.path(), "figures").expect("a token");
    let app = TestApp::with(|s| s.figures_token_file = Some(token.path().to_path_buf())).await;
    let told = at_once(&app.router, &app.admin().await, "queues,models,datasets", None).await;
    assert_eq!(told.iter().map(|told| told.kind.as_str()).collect::<Vec<_>>(), ["problem", "state", "state"]);
    assert_eq!(told[0].data["problem"]["code"], "missing_role");
    assert_mends(&told[0].data["problem"]);
}

#[tokio::test]
async fn a_stream_ends_with_its_client_and_with_the_service() {
    let app = TestApp::new().await;
    let token = app.investigator("ines").await.token.expect("a token");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let (router, wait) = (app.router.clone(), app.ctx.limits.client_wait);
    let serving =
        serve::serve(listener, None, router, wait, 1_000, async { drop(stopped.await) }, Duration::from_secs(20));
    let serving = tokio::spawn(serving);
    let connect = async || {
        let mut stream = TcpStream::connect(address).await.expect("a connection");
        let ask = format!("GET /events?watch=models HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(ask.as_bytes()).await.expect("to send");
        let mut begun = vec![0; 16];
        stream.read_exact(&mut begun).await.expect("an answer");
        stream
    };
    let first = connect().await;
    until("the topic to be followed", async || app.followed() == 1).await;
    drop(first);
    until("the stream to end with its client", async || app.followed() == 0).await;
    let mut second = connect().await;
    until("the topic to be followed", async || app.followed() == 1).await;
    app.stop();
    stop.send(()).expect("the server to listen to it");
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(10), second.read_to_end(&mut rest));
    read.await.expect("the stream to end").expect("an orderly end");
    assert!(rest.ends_with(b"0\r\n\r\n"), "whole");
    serving.await.expect("an orderly end");
}

#[tokio::test]
async fn a_stream_whose_reader_does_not_read_ends_with_the_service() {
    let app = TestApp::with(|s| s.client_wait_s = 600.0).await;
    let ines = app.investigator("ines").await;
    let _unread = Reader::open(&app.router, &ines, "models,workers", None).await;
    until("the first event to lie there, and the next to wait", async || app.followed() == 2).await;
    app.stop();
    until("the stream to end", async || app.followed() == 0).await;
}

#[tokio::test]
async fn a_token_that_expires_ends_the_stream() {
    let app = TestApp::new().await;
    let sql = sqlx::query_scalar("SELECT value FROM setting WHERE name = 'token_key'");
    let key: String = sql.fetch_one(&app.outside).await.expect("the key that signs tokens");
    // The token that she was given, as if it were made for a shorter time.
    let token = app.investigator("ines").await.token.expect("a token");
    let said = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).expect("its claims")).expect("base64");
    let mut said: Value = serde_json::from_slice(&said).expect("JSON");
    said["exp"] = json!(said["iat"].as_i64().expect("a time") + 8);
    let token =
        encode(&Header::new(Algorithm::HS256), &said, &EncodingKey::from_secret(key.as_bytes())).expect("a token");
    let ines = Client::new(app.router.clone(), Some(token));
    let mut reader = Reader::open(&app.router, &ines, "queues&for_s=30", None).await;
    reader.until("queues", |_| true).await;
    let told = reader.next().await.expect("an event");
    assert_eq!((told.kind.as_str(), &told.data["topic"]), ("problem", &Value::Null), "{told:?}");
    assert_eq!(told.data["problem"]["code"], "expired_credential");
    assert!(reader.next().await.is_none(), "and that is the end");
}

#[tokio::test]
async fn a_title_that_is_written_late_is_told_and_what_is_counted_is_bounded() {
    let app = TestApp::new().await;
    app.worker("ocr").await;
    let (ines, admin) = (app.investigator("ines").await, app.admin().await);
    let case = ines.get("/cases").await.ok(200)["items"][0]["id"].as_str().expect("an id").to_owned();
    for salt in 1..=2 {
        ines.submit(&[("a.png", photo(salt))], &["ocr"]).await;
    }
    let watches = [(&ines, "images".to_owned()), (&ines, format!("images:{case}")), (&admin, "images".to_owned())];
    let mut before = Vec::new();
    for (who, watch) in &watches {
        before.push(at_once(&app.router, who, watch, None).await.remove(0).id);
    }
    let late = "INSERT INTO upload (case_id, image_id, submission_id, account_id, name, at)
                SELECT case_id, image_id, submission_id, account_id, 'late.png', at - interval '1 s' FROM upload ORDER BY at DESC LIMIT 1";
    app.alter(late).await;
    for ((who, watch), last) in watches.iter().zip(&before) {
        assert_eq!(at_once(&app.router, who, watch, Some(last)).await.len(), 1, "{watch}");
    }
    // However often one photograph was named, no more titles are looked at than so many.
    let many = "INSERT INTO upload (case_id, image_id, submission_id, account_id, name)
                SELECT case_id, image_id, submission_id, account_id, n || '.png'
                FROM (SELECT * FROM upload ORDER BY image_id LIMIT 1) AS u, generate_series(1, 20000) AS n";
    app.alter(many).await;
    let told = at_once(&app.router, &ines, &watches[1].1, None).await.remove(0);
    assert_eq!(told.data["state"]["images"], 1, "of the first 20,000 titles");
}

#[tokio::test]
async fn lists_hear_of_jobs_less_often_than_what_one_job_moves() {
    let events = Events::new(1);
    for (topic, pause_s) in [(Topic::Submissions(None), 2), (Topic::Models, 1)] {
        let mut one = Following::new(&events, topic);
        let state = TopicState { json: Default::default(), mark: 0, over: false, case: None };
        let (pause, before) = (Duration::from_secs(pause_s), tokio::time::Instant::now());
        one.look(Audience::Everybody, async { Ok(state) }).await.expect("no refusal").expect("a state");
        let after = tokio::time::Instant::now();
        one.hear();
        assert!((before + pause..=after + pause).contains(&one.due()), "{topic}");
    }
}

#[tokio::test]
async fn who_follows_the_same_shares_the_looks() {
    let app = TestApp::new().await;
    let server = app.process(&[]);
    app.worker("ocr").await;
    let ines = app.investigator("ines").await;
    let http = reqwest::Client::new();
    let read = async || {
        let ask = http.get(format!("{}/events?watch=models&for_s=7", server.base));
        let answer = ask.bearer_auth(ines.token.as_ref().expect("a token")).send().await.expect("an answer");
        answer.text().await.expect("a stream").matches("event: state").count()
    };
    let told = futures_util::future::join_all((0..20).map(|_| read())).await;
    assert!(told.iter().all(|states| (1..=4).contains(states)), "{told:?}");
    let metrics =
        http.get(format!("{}/metrics", server.base)).send().await.expect("an answer").text().await.expect("metrics");
    let figure = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok());
    let looks = figure("darkroom_event_looks_total{topic=\"models\"}").expect("looks");
    assert!((2.0..=8.0).contains(&looks), "twenty streams of seven seconds cost {looks} looks");
    assert_eq!(figure("darkroom_event_streams"), Some(0.0));
}

#[tokio::test]
async fn what_streams_look_at_leaves_connections_to_what_people_ask() {
    let app = TestApp::with(|s| s.db_connections = 6).await;
    let ines = app.investigator("ines").await;
    let mut rival = beside(&app).await;
    let mut tx = rival.begin().await.expect("a transaction");
    sqlx::raw_sql("LOCK TABLE submission IN ACCESS EXCLUSIVE MODE").execute(&mut *tx).await.expect("a lock");
    let mut open = Vec::new();
    for _ in 0..12 {
        open.push(Reader::open(&app.router, &ines, &format!("submission:{}", Uuid::new_v4()), None).await);
    }
    until("all to be followed", async || app.followed() == 12).await;
    until_blocked(&app).await;
    let asked = tokio::time::timeout(Duration::from_secs(2), ines.get("/models")).await;
    asked.expect("an answer while looks wait").ok(200);
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    assert!(app.count(waiting).await <= 2, "a third of the connections looks");
    tx.rollback().await.expect("the end");
    for mut reader in open {
        assert_eq!(
            reader.next().await.expect("an event").data["problem"]["status"],
            404,
            "in the end each is looked at"
        );
    }
}

#[tokio::test]
async fn what_is_refused_for_now_ends_no_topic() {
    let events = Events::new(1);
    let mut one = Following::new(&events, Topic::Models);
    let busy = Fault::new(Code::TooManyRequests, "More calls wait than can be served.").retry_after(1);
    let looked = one.look(Audience::Everybody, async { Err(busy.into()) }).await.expect("no refusal");
    assert!(looked.is_none() && one.due() > tokio::time::Instant::now(), "it is looked at again");
    let mut two = Following::new(&events, Topic::Workers);
    let gone = Fault::not_found("submission");
    two.look(Audience::Everybody, async { Err(gone.into()) }).await.expect_err("a refusal");
}

#[tokio::test]
async fn of_what_was_seen_for_others_so_many_bytes_are_kept() {
    let events = Events::new(1);
    let state = || TopicState { json: vec![b' '; 1 << 20].into(), mark: 0, over: false, case: None };
    let (mut following, mut seen) = (Vec::new(), Vec::new());
    for _ in 0..100 {
        let mut one = Following::new(&events, Topic::Run(Uuid::new_v4()));
        let state = one.look(Audience::Everybody, async { Ok(state()) }).await.expect("no refusal").expect("a state");
        seen.push(std::sync::Arc::downgrade(&state));
        following.push(one);
    }
    let kept = seen.iter().filter(|state| state.strong_count() > 0).count();
    assert_eq!(kept, 32, "MiB");
}
