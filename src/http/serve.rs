//! Connections: accepted up to a limit, cut off when the client is too slow, drained when the service stops.
//!
//! In place of `axum::serve`, which sets no time-outs (<https://docs.rs/hyper/latest/hyper/server/conn/http1/struct.Builder.html>).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use futures_util::{FutureExt, StreamExt, TryFutureExt};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::ServiceExt;

use super::tls::Tls;
use super::wire::{Wire, WireTurn};

/// File descriptors left to everything but clients: the database, Redis, images, logs.
const DESCRIPTORS_KEPT: u64 = 256;
/// How long accepting pauses when the system has no more descriptors or memory for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The slowest body that is waited for, in bytes per second, after its first silence.
const BODY_RATE_MIN: f64 = 1024.0;
/// How long a body may trickle on for what it sent quickly before: a gibibyte sent at once would earn twelve days.
const BODY_CREDIT_MAX: Duration = Duration::from_secs(120);
/// The largest header of a request, in bytes: a token takes one, and anybody may send this much.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// The most that is read at once, and written together, in bytes.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Raises the limit of open files as far as the system lets us; answers how many clients may be connected, at most `most`.
pub fn connections_max(most: usize) -> usize {
    let files = rlimit::increase_nofile_limit(u64::MAX).unwrap_or(1024);
    usize::try_from(files.saturating_sub(DESCRIPTORS_KEPT).max(64)).unwrap_or(most).min(most)
}

/// Serves until `stop` resolves, then lets requests under way finish for at most `drain`.
///
/// With `tls`, every connection begins with its handshake. `client_wait` bounds how long a client may take over a
/// request's header, or be idle between two requests. At most so many `connections` are served at once.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    router: Router,
    client_wait: Duration,
    connections: usize,
    stop: impl Future<Output = ()>,
    drain: Duration,
) {
    let slots = Arc::new(Semaphore::new(connections_max(connections)));
    let graceful = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            // Never closed, so this only waits: more clients than there is room for stay in the backlog.
            let slot = Arc::clone(&slots).acquire_owned().await.ok();
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are written whole: waiting for more to send only delays them.
        let _ = stream.set_nodelay(true);
        let (router, watcher) = (router.clone(), graceful.watcher());
        // A client that is cut off or goes away is no fault of ours. Mapped, because a block would hold the connection twice.
        match &tls {
            None => {
                let connection = watcher.watch(connection(stream, peer, router, client_wait));
                tokio::spawn(connection.map(|_| drop(slot)));
            }
            Some(tls) => {
                let tls = Arc::clone(tls);
                tokio::spawn(async move {
                    let Some(stream) = tls.accept(stream, client_wait).await else { return };
                    let _ = watcher.watch(connection(stream, peer, router, client_wait)).map(|_| drop(slot)).await;
                });
            }
        }
    }
    drop(listener);
    if tokio::time::timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("some requests did not finish in time");
    }
}

fn connection<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    peer: SocketAddr,
    router: Router,
    client_wait: Duration,
) -> impl hyper_util::server::graceful::GracefulConnection<Error = hyper::Error> + Send {
    let turn = Arc::new(WireTurn::default());
    let watched = Arc::clone(&turn);
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        watched.begins();
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        let watched = Arc::clone(&watched);
        router.clone().oneshot(request).map_ok(move |answer| answer.map(|body| watched.watch(body)))
    });
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(client_wait)
        .max_header_size(HEADER_BYTES_MAX)
        .max_buf_size(BUFFER_BYTES_MAX)
        .serve_connection(TokioIo::new(Wire::new(stream, client_wait, turn)), service)
}

/// How long the body of a request is waited for.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// How long it may be silent.
    pub silence: Duration,
    /// How long it may trickle, slower than [`BODY_RATE_MIN`], for what it sent quickly before.
    pub credit: Duration,
    /// How long it may take in all.
    pub whole: Duration,
}

impl Pace {
    pub const fn new(client_wait: Duration, body_wait: Duration) -> Self {
        Self { silence: client_wait, credit: BODY_CREDIT_MAX, whole: body_wait }
    }
}

/// Cuts off bodies that do not keep up.
pub fn pace_body(pace: Pace, request: Request) -> Request {
    request.map(|body| paced(body, pace))
}

fn paced(body: Body, pace: Pace) -> Body {
    if http_body::Body::is_end_stream(&body) {
        return body;
    }
    let begun = Instant::now();
    let state = (body.into_data_stream(), begun + pace.silence);
    Body::from_stream(futures_util::stream::try_unfold(state, move |(mut data, deadline)| async move {
        let until = (Instant::now() + pace.silence).min(deadline).min(begun + pace.whole);
        match tokio::time::timeout_at(until, data.next()).await {
            Ok(Some(Ok(chunk))) => {
                let earned = Duration::from_secs_f64(chunk.len() as f64 / BODY_RATE_MIN);
                let deadline = (deadline + earned).min(Instant::now() + pace.silence.max(pace.credit));
                Ok(Some((chunk, (data, deadline))))
            }
            Ok(Some(Err(error))) => Err(error),
            Ok(None) => Ok(None),
            Err(_) => Err(axum::Error::new(std::io::Error::from(std::io::ErrorKind::TimedOut))),
        }
    }))
}
