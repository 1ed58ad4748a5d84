//! Following a topic: by a stream of events where the server gives one, else by asking again and again.

use std::time::Duration;

use futures_util::StreamExt;
use memchr::memmem;
use reqwest::Method;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::time::{sleep, timeout};

use super::error::ApiError;
use super::http::{Api, REQUEST_TIMEOUT, answer};

/// Pause between two questions, and before another try at a stream, where there is none.
const ASK_EVERY: Duration = Duration::from_secs(2);
/// Within how long a stream begins.
const BEGIN_MAX: Duration = Duration::from_secs(10);
/// How long it may be silent: the server says something every fifteen seconds.
const SILENCE_MAX: Duration = Duration::from_secs(40);
/// The largest event, in bytes: twice what a server sends.
const EVENT_BYTES_MAX: usize = 1024 * 1024;

/// A topic, and the route that tells the same.
pub struct Followed<'a> {
    pub topic: String,
    pub path: &'a [&'a str],
    pub query: &'a [(&'a str, String)],
}

/// What an event says of its topic.
#[derive(Deserialize)]
struct EventData<T> {
    state: T,
}

/// Tells `seen` of the state of a topic as it is and as it comes to be, until it makes something of it; answers that.
///
/// A server that goes away meanwhile is waited for.
///
/// # Errors
/// The server refuses to tell.
pub async fn follow<T: DeserializeOwned, R>(
    api: &Api,
    what: &Followed<'_>,
    mut seen: impl FnMut(T) -> Option<R>,
) -> Result<R, ApiError> {
    let mut last = None;
    loop {
        let mut told = false;
        let mut tell = |state| {
            told = true;
            seen(state)
        };
        // Whatever is wrong with a stream, the route says it better, or tells the same.
        if let Ok(Some(made)) = stream(api, what, &mut last, &mut tell).await {
            return Ok(made);
        }
        if told {
            continue;
        }
        match api.get(what.path, what.query, REQUEST_TIMEOUT).await {
            Ok(state) => {
                if let Some(made) = seen(state) {
                    return Ok(made);
                }
            }
            // The tries within have said so.
            Err(error) if error.is_transient() => {}
            Err(error) => return Err(error),
        }
        sleep(ASK_EVERY).await;
    }
}

/// Reads a stream to its end, or until something was made of it.
async fn stream<T: DeserializeOwned, R>(
    api: &Api,
    what: &Followed<'_>,
    last: &mut Option<String>,
    seen: &mut impl FnMut(T) -> Option<R>,
) -> Result<Option<R>, ApiError> {
    let request = api.request(Method::GET, &["events"]).query(&[("watch", &what.topic)]);
    let request = last.iter().fold(request, |request, id| request.header("last-event-id", id));
    let stalled = |waited| move |_| ApiError::Stalled(waited);
    let mut pieces = timeout(BEGIN_MAX, answer(request)).await.map_err(stalled(BEGIN_MAX))??.bytes_stream();
    let mut read = Vec::new();
    while let Some(piece) = timeout(SILENCE_MAX, pieces.next()).await.map_err(stalled(SILENCE_MAX))? {
        read.extend_from_slice(&piece.map_err(ApiError::Transport)?);
        while let Some(end) = memmem::find(&read, b"\n\n") {
            let event: Vec<u8> = read.drain(..end + 2).collect();
            let event = String::from_utf8_lossy(&event);
            let field = |name| event.lines().find_map(|line| line.strip_prefix(name));
            if field("event: ") != Some("state") {
                continue;
            }
            let data = field("data: ").unwrap_or_default();
            let unintelligible = |source| ApiError::Unintelligible { url: "/events".to_owned(), source };
            let data: EventData<T> = serde_json::from_str(data).map_err(unintelligible)?;
            *last = field("id: ").map(str::to_owned);
            if let Some(made) = seen(data.state) {
                return Ok(Some(made));
            }
        }
        if read.len() > EVENT_BYTES_MAX {
            break;
        }
    }
    Ok(None)
}
