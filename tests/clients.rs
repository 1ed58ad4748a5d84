//! Clients that are too slow, and those that are connected when the service stops.

use std::io::ErrorKind;
use std::time::Duration;

use crate::kit::app::{TestApp, until};
use crate::kit::client::assert_mends;
use crate::kit::form::{self, Form};
use axum::body::Body;
use axum::http::Request;
use darkroom::http::serve::{self, Pace};
use futures_util::StreamExt;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use uuid::Uuid;

/// How long a client may be silent in these tests.
const CLIENT_WAIT_S: f64 = 0.3;

/// The server of an app on a real socket.
struct Served {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<()>,
}

async fn served() -> (TestApp, Served) {
    let app = TestApp::with(|s| s.client_wait_s = CLIENT_WAIT_S).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel();
    let (router, wait) = (app.router.clone(), app.ctx.limits.client_wait);
    let stopped = async { drop(stopped.await) };
    let ended = tokio::spawn(serve::serve(listener, None, router, wait, 1_000, stopped, Duration::from_secs(20)));
    (app, Served { address, stop, ended })
}

/// Sends text and reads until the server closes.
async fn exchange(address: std::net::SocketAddr, text: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(text.as_bytes()).await.expect("to send");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    read.await.expect("to be cut off").expect("an orderly end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_client_that_never_ends_its_header_is_cut_off() {
    let (_app, served) = served().await;
    assert_eq!(exchange(served.address, "GET /health/live HTTP/1.1\r\nHost: a\r\n").await, "");
    assert_eq!(exchange(served.address, "").await, "", "nor may it stay for nothing");
}

#[tokio::test]
async fn a_client_that_never_ends_its_body_is_told_so() {
    let (app, served) = served().await;
    let key = app.key("predict", &["ocr"]).await.token.expect("a key");
    let head = |path: &str, kind: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {key}\r\nContent-Type: {kind}\r\nContent-Length: 1000\r\n\r\n"
        )
    };
    let answer = exchange(served.address, &format!("{}{{", head("/jobs/claim", "application/json"))).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("body_cut_off"), "{answer}");
    let ines = app.investigator("ines").await.token.expect("a token");
    let half = String::from_utf8(Form::default().file("a.png", b"half").finish()).expect("text");
    let half = half.split_inclusive("half").next().expect("a part");
    let head = head("/predict", form::CONTENT_TYPE).replace(&key, &ines);
    let answer = exchange(served.address, &format!("{head}{half}")).await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("body_cut_off"), "{answer}");
}

#[tokio::test]
async fn who_waits_is_answered_when_the_service_stops() {
    let (app, served) = served().await;
    let worker = app.worker("ocr").await;
    let body = json!({"worker": worker.id, "claim_id": Uuid::new_v4(), "wait_s": 50}).to_string();
    let request = format!(
        "POST /jobs/claim HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        worker.key.token.clone().expect("a key"),
        body.len()
    );
    let address = served.address;
    let waiting = tokio::spawn(async move { exchange(address, &request).await });
    until("a waiting claim", async || app.ctx.waiters.waiting_for("ocr", 0) == 1).await;
    app.stop();
    served.stop.send(()).expect("the server to listen to it");
    let answer = waiting.await.expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"jobs\":[]"), "{answer}");
    served.ended.await.expect("an orderly end");
    assert!(TcpStream::connect(address).await.is_err(), "nobody listens any more");
}

#[tokio::test]
async fn a_client_that_never_reads_is_given_up() {
    let (_app, served) = served().await;
    let mut stream = TcpStream::connect(served.address).await.expect("a connection");
    let ask = "GET /docs/ui/swagger-ui-bundle.js HTTP/1.1\r\nHost: a\r\n\r\n".repeat(20);
    stream.write_all(ask.as_bytes()).await.expect("to send");
    // Whoever is given up cannot send any more.
    let gone = || stream.try_write(b"GET / HTTP/1.1\r\n").is_err_and(|error| error.kind() != ErrorKind::WouldBlock);
    until("to be given up", || std::future::ready(gone())).await;
}

#[tokio::test]
async fn what_is_no_request_gets_a_problem_too() {
    let (_app, served) = served().await;
    let long = "a".repeat(70_000);
    for (asked, status, code) in [
        ("nonsense\r\n\r\n".to_owned(), "400 ", "malformed_request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nBad Name: b\r\n\r\n".to_owned(), "400 ", "malformed_request"),
        (format!("GET / HTTP/1.1\r\nHost: a\r\nX-Long: {}\r\n\r\n", &long[..17_000]), "431 ", "header_too_large"),
        (format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(200)), "431 ", "header_too_large"),
    ] {
        let answer = exchange(served.address, &asked).await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        let problem: serde_json::Value = serde_json::from_str(body).expect("a problem document");
        assert_eq!(problem["code"], code, "{answer}");
        assert!(head.contains("application/problem+json"), "{answer}");
        assert!(
            head.contains(&format!("x-request-id: {}", problem["request_id"].as_str().expect("an id"))),
            "{answer}"
        );
        assert_mends(&problem);
    }
    // Nor is what comes after a request.
    for (asked, code) in
        [("nonsense\r\n\r\n", "malformed_request"), ("GET / HTTP/1.1\r\nBad Name: b\r\n\r\n", "malformed_request")]
    {
        let mut stream = TcpStream::connect(served.address).await.expect("a connection");
        for path in ["/health/live", "/docs"] {
            stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.expect("to send");
            let mut answer = Vec::new();
            while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
                assert_ne!(stream.read_buf(&mut answer).await.expect("an answer"), 0);
            }
        }
        stream.write_all(asked.as_bytes()).await.expect("to send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("an end");
        assert!(answer.contains("HTTP/1.1 400 ") && answer.contains(code), "{answer}");
    }
    // What a handler answers is left alone.
    let answer =
        exchange(served.address, "POST /auth/login?a=1 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
    assert!(answer.contains("unknown_field"), "{answer}");
}

/// A body that sends much at once, and then this much every few milliseconds, for ever.
fn trickle(first: usize, then: usize) -> Request<Body> {
    let rest =
        futures_util::stream::unfold(tokio::time::interval(Duration::from_millis(20)), move |mut ticks| async move {
            ticks.tick().await;
            Some((vec![0; then], ticks))
        });
    let stream = futures_util::stream::iter([vec![0; first]]).chain(rest).map(Ok::<_, std::io::Error>);
    Request::new(Body::from_stream(stream))
}

#[tokio::test]
async fn a_body_does_not_live_for_ever_on_what_it_sent_quickly() {
    let (short, long) = (Duration::from_millis(200), Duration::from_secs(600));
    for (pace, first, then) in [
        // A mebibyte earns a quarter of an hour, of which so little counts.
        (Pace { silence: short, credit: short, whole: long }, 1024 * 1024, 1),
        // However well it keeps up.
        (Pace { silence: long, credit: long, whole: short }, 1, 1024),
    ] {
        let paced = serve::pace_body(pace, trickle(first, then)).into_body().into_data_stream();
        let mut failures = paced.filter(|read| std::future::ready(read.is_err()));
        let cut_off = tokio::time::timeout(Duration::from_secs(30), failures.next()).await;
        assert!(cut_off.is_ok_and(|end| end.is_some()), "{pace:?}");
    }
}

#[tokio::test]
async fn a_photograph_that_looks_like_a_refusal_is_sent_as_it_is() {
    let (app, served) = served().await;
    let ines = app.investigator("ines").await;
    app.worker("ocr").await;
    let mut bytes = crate::kit::images::photo(1);
    // Wherever a write begins, it may begin with this.
    bytes.extend(b"HTTP/1.1 400 Bad Request\r\n\r\n    ".repeat(4096));
    ines.submit(&[("a.png", bytes.clone())], &["ocr"]).await;
    let md5 = crate::kit::images::md5_of(&bytes);
    let token = ines.token.clone().expect("a token");
    let request = format!(
        "GET /images/{md5}/content HTTP/1.1\r\nHost: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    let mut stream = TcpStream::connect(served.address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("to send");
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer));
    read.await.expect("an end").expect("an orderly end");
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.ends_with(&bytes), "{} bytes", answer.len());
}
