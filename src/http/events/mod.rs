//! Streams of events: the present state of what is followed, and every other one as it comes to be.
//!
//! A stream says what is, not what happened: whoever missed an event has missed nothing. It ends after a while, when the service
//! stops, and when its reader does not read; the reader comes again with the id of the last event, and is told what differs.

mod look;

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AnyUser;
use super::budget::{self, Holding};
use super::extract::{self, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::events::{EventsQuery, STREAM_S_MAX, ServerEvent, TOPICS_MAX, TopicProblem};
use crate::domain::fault::Fault;
use crate::domain::name::shorten;
use crate::domain::topic::Topic;
use crate::metrics;
use crate::service::Error;
use crate::service::accounts::User;
use crate::service::events::Following;

/// After how long a silence a comment is sent: proxies cut off what is silent for a minute.
const BEAT: Duration = Duration::from_secs(15);
/// How many pieces of events wait for the reader; an event is three.
const PIECES: usize = 3;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(follow_events))
}

/// Follows what changes
///
/// Server-sent events (<https://html.spec.whatwg.org/multipage/server-sent-events.html>). An event `state` has as its data
/// `{"topic","state"}`: all of one topic as it is now, which is what the topic's route answers (`GET /models`, `/workers`, `/queues`,
/// `/submissions/{id}`, `/training/results/{id}`, `/exports`; of lists the first page), at first and whenever it is another. Who comes again with the
/// id of the last event as `Last-Event-ID` is told only what differs. An event `problem` with `{"topic","problem"}` ends a topic, as when a
/// right to it was taken away, or with `"topic":null` all of them. A stream lasts ten minutes at most: come again.
#[utoipa::path(get, path = "/events", tag = "events", security(("user" = []), ("token" = [])),
    params(EventsQuery, ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was read.")),
    responses((status = 200, content_type = "text/event-stream", body = ServerEvent, description = "State, as it comes to be.")))]
async fn follow_events(
    State(state): AppState,
    AnyUser(user): AnyUser,
    headers: HeaderMap,
    Query(query): Query<EventsQuery>,
) -> Answer<Response> {
    let topics = read_topics(&query.watch)?;
    let seconds = extract::within("query", "for_s", query.for_s.unwrap_or(STREAM_S_MAX), 0.0..=STREAM_S_MAX)?;
    let known = headers.get("last-event-id").and_then(|id| id.to_str().ok()).map(read_id).unwrap_or_default();
    let room = budget::hold_stream().await?;
    let (to, mut pieces) = mpsc::channel(PIECES);
    let stream = Stream { state, user, until: Instant::now() + Duration::from_secs_f64(seconds), to, room };
    tokio::spawn(stream.follow(topics, known));
    let body =
        Body::from_stream(stream::poll_fn(move |cx| pieces.poll_recv(cx).map(|piece| piece.map(Ok::<_, Error>))));
    // Proxies are not to wait for more of it.
    let headers = [("content-type", "text/event-stream"), ("cache-control", "no-store"), ("x-accel-buffering", "no")];
    Ok((headers, body).into_response())
}

fn read_topics(watch: &str) -> Result<Vec<Topic>, Fault> {
    let mut topics = Vec::new();
    for name in watch.split(',').map(str::trim) {
        let topic = Topic::parse(name).ok_or_else(|| {
            let detail = format!("{:?} is no topic; those are {}.", shorten(name), Topic::FORMS);
            Fault::invalid("query", "/watch", detail)
        })?;
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    if topics.len() > TOPICS_MAX {
        let detail = format!("{} topics are named; a stream has at most {TOPICS_MAX}.", topics.len());
        return Err(Fault::invalid("query", "/watch", detail));
    }
    Ok(topics)
}

/// The marks of the states that the reader had by then; of an id that is not ours, none.
fn read_id(id: &str) -> Vec<u64> {
    let mark = |part| URL_SAFE_NO_PAD.decode(part).ok()?.try_into().ok().map(u64::from_be_bytes);
    id.split('.').take(TOPICS_MAX).filter_map(mark).collect()
}

/// The marks of all states that the reader has.
fn write_id(following: &[Following<'_>]) -> String {
    let known = following.iter().filter_map(|one| Some(URL_SAFE_NO_PAD.encode(one.known?.to_be_bytes())));
    known.collect::<Vec<_>>().join(".")
}

/// That the reader is gone, or does not read.
struct Gone;

/// One reader's stream.
struct Stream {
    state: Shared,
    user: User,
    until: Instant,
    to: mpsc::Sender<Bytes>,
    /// What it holds of the budget.
    room: Option<Holding>,
}

impl Stream {
    async fn follow(mut self, topics: Vec<Topic>, known: Vec<u64>) {
        let _open = metrics::StreamOpen::new();
        let mut stopping = self.state.ctx.stopping.clone();
        tokio::select! {
            // That the reader is gone is the usual end.
            _ = self.tell_all(topics, &known) => {}
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        drop(self.room);
    }

    async fn tell_all(&mut self, topics: Vec<Topic>, known: &[u64]) -> Result<(), Gone> {
        let state = Shared::clone(&self.state);
        let mut ended = state.ctx.waiters.watch_ended();
        let mut following: Vec<Following<'_>> =
            topics.into_iter().map(|topic| Following::new(&state.events, topic)).collect();
        // Jobs may end by the thousand a second: of what was heard once, no more is listened for until it was looked at.
        let (mut beat, mut heard) = (Instant::now() + BEAT, false);
        loop {
            match state.accounts.again(&self.user).await {
                Ok(user) => self.user = user,
                Err(Error::Fault(fault)) if fault.retry_after_s.is_none() => {
                    return self.tell_problem(&following, None, fault).await;
                }
                // What was known last holds.
                Err(_) => {}
            }
            let mut told = 0;
            let mut at = 0;
            while at < following.len() {
                match self.tell(&mut following, at, known).await? {
                    TopicTold::Nothing => at += 1,
                    TopicTold::State => (at, told) = (at + 1, told + 1),
                    TopicTold::Problem => drop(following.remove(at)),
                }
            }
            // Each topic is told once, but what cannot be looked at is not waited for.
            let end = if following.iter().all(|one| one.looked) { self.until } else { self.until + BEAT };
            let next = following.iter().map(Following::due).min();
            let Some(next) = next.filter(|_| Instant::now() < end) else { return Ok(()) };
            if told > 0 {
                beat = Instant::now() + BEAT;
            }
            tokio::select! {
                () = sleep_until(next.min(beat).min(end)) => heard = false,
                Ok(()) = ended.changed(), if !heard => {
                    following.iter_mut().for_each(Following::hear);
                    heard = true;
                }
                () = self.to.closed() => return Err(Gone),
            }
            if Instant::now() >= beat {
                self.send(Bytes::from_static(b":\n\n")).await?;
                beat = Instant::now() + BEAT;
            }
        }
    }

    /// Looks at a topic if it is time, and tells what the reader does not know.
    async fn tell(&self, following: &mut [Following<'_>], at: usize, known: &[u64]) -> Result<TopicTold, Gone> {
        let one = &mut following[at];
        if one.due() > Instant::now() {
            return Ok(TopicTold::Nothing);
        }
        let topic = one.topic;
        let seen = match look::look(&self.state, &self.user, one).await {
            Ok(Some(seen)) => seen,
            Ok(None) => return Ok(TopicTold::Nothing),
            Err(fault) => {
                self.tell_problem(following, Some(topic), fault).await?;
                return Ok(TopicTold::Problem);
            }
        };
        let first = one.known.replace(seen.mark);
        if first == Some(seen.mark) || (first.is_none() && known.contains(&seen.mark)) {
            return Ok(TopicTold::Nothing);
        }
        let head = format!("event: state\nid: {}\ndata: {{\"topic\":\"{topic}\",\"state\":", write_id(following));
        self.send(head.into()).await?;
        self.send(seen.json.clone()).await?;
        self.send(Bytes::from_static(b"}\n\n")).await?;
        Ok(TopicTold::State)
    }

    async fn tell_problem(&self, following: &[Following<'_>], topic: Option<Topic>, fault: Fault) -> Result<(), Gone> {
        let told = TopicProblem { topic: topic.map(|topic| topic.to_string()), problem: fault.into() };
        let told = serde_json::to_string(&told).unwrap_or_default();
        self.send(format!("event: problem\nid: {}\ndata: {told}\n\n", write_id(following)).into()).await
    }

    /// Hands a piece over; a reader who takes none for as long as any client may be silent is given up.
    async fn send(&self, piece: Bytes) -> Result<(), Gone> {
        let patience = self.state.ctx.limits.client_wait;
        timeout(patience, self.to.send(piece)).await.map_err(|_| Gone)?.map_err(|_| Gone)
    }
}

/// What came of a look for the reader.
enum TopicTold {
    Nothing,
    State,
    Problem,
}
