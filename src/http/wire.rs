//! The connection to a client: given up when the client stops reading or reads too slowly, and with a problem document where hyper
//! refuses a request by itself.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::domain::fault::{Code, Fault};

/// The slowest that a client may read, in bytes per second: the largest answer, for which memory is held meanwhile, takes at most
/// seventeen minutes so.
const READ_RATE_MIN: f64 = 8.0 * 1024.0;

/// A stream whose other end must take what is written to it.
pub struct Wire<S> {
    stream: S,
    /// How long it may be behind.
    patience: Duration,
    /// How long it is behind [`READ_RATE_MIN`]: the time that writes had to wait, less what was taken for it.
    behind: Duration,
    /// Runs while a write waits, since when.
    stalled: Option<(Instant, Pin<Box<Sleep>>)>,
    /// What is left of a refusal that stands in the place of hyper's.
    refusal: Option<Bytes>,
    turn: Arc<WireTurn>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S, patience: Duration, turn: Arc<WireTurn>) -> Self {
        Self { stream, patience, behind: Duration::ZERO, stalled: None, refusal: None, turn }
    }

    /// What a write of so many bytes came to, or that the client has been too slow for too long.
    fn patiently<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
        bytes: impl FnOnce(&T) -> usize,
    ) -> Poll<io::Result<T>> {
        let Poll::Ready(done) = written else {
            let left = self.patience.saturating_sub(self.behind);
            let stalled = self.stalled.get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
            ready!(stalled.1.as_mut().poll(cx));
            return Poll::Ready(Err(ErrorKind::TimedOut.into()));
        };
        if let Some((since, _)) = self.stalled.take() {
            self.behind += since.elapsed();
        }
        let taken = done.as_ref().map_or(0, bytes);
        self.behind = self.behind.saturating_sub(Duration::from_secs_f64(taken as f64 / READ_RATE_MIN));
        Poll::Ready(done)
    }

    /// Writes the document in place of hyper's refusal, if that is what is to be written.
    fn refuse(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Option<Poll<io::Result<usize>>> {
        let mut left = match self.refusal.take() {
            Some(left) => left,
            None if self.turn.is_the_services() => return None,
            None => refusal(head)?,
        };
        while left.has_remaining() {
            match Pin::new(&mut self.stream).poll_write(cx, &left) {
                Poll::Ready(Ok(0)) => return Some(Poll::Ready(Err(ErrorKind::WriteZero.into()))),
                Poll::Ready(Ok(written)) => left.advance(written),
                Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
                Poll::Pending => {
                    self.refusal = Some(left);
                    return Some(Poll::Pending);
                }
            }
        }
        Some(Poll::Ready(Ok(head.len())))
    }
}

/// Whose bytes are written on a connection: those of an answer, which may be anybody's, or hyper's own.
#[derive(Default)]
pub struct WireTurn(AtomicU8);

impl WireTurn {
    const HYPERS: u8 = 0;
    const SERVICES: u8 = 1;
    /// The answer was handed over to its end, and may still have to be written.
    const ENDING: u8 = 2;

    /// A request is handed over to the service.
    pub fn begins(&self) {
        self.0.store(Self::SERVICES, Ordering::Relaxed);
    }

    /// The answer goes through here, and says so when it has.
    pub fn watch(self: Arc<Self>, answer: Body) -> WatchedBody {
        WatchedBody { answer, turn: self }
    }

    fn passes(&self) {
        let _ = self.0.compare_exchange(Self::ENDING, Self::HYPERS, Ordering::Relaxed, Ordering::Relaxed);
    }

    fn is_the_services(&self) -> bool {
        self.0.load(Ordering::Relaxed) != Self::HYPERS
    }
}

/// The body of an answer, which hyper drops once it has taken all of it.
pub struct WatchedBody {
    answer: Body,
    turn: Arc<WireTurn>,
}

impl http_body::Body for WatchedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.answer.size_hint()
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        self.turn.0.store(WireTurn::ENDING, Ordering::Relaxed);
    }
}

/// The document for a refusal of hyper's.
fn refusal(head: &[u8]) -> Option<Bytes> {
    let status = head.strip_prefix(b"HTTP/1.1 ")?.get(..3)?;
    let fault = match status {
        b"400" => Fault::new(Code::MalformedRequest, "This is no HTTP request."),
        b"414" => Fault::new(Code::UriTooLong, "The path and query have more bytes than are read."),
        b"431" => Fault::new(Code::HeaderTooLarge, "The header has more fields or bytes than are read."),
        _ => return None,
    };
    let title = fault.code.title();
    let id = Uuid::new_v4().to_string();
    let problem = Problem { request_id: Some(id.clone()), ..fault.into() };
    let body = serde_json::to_string(&problem).unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {} {title}\r\ncontent-type: application/problem+json\r\nx-request-id: {id}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        problem.status,
        body.len()
    );
    Some((head + &body).into())
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, into)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match self.refuse(cx, bytes) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write(cx, bytes),
        };
        self.patiently(cx, written, |bytes| *bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let head = parts.first().map_or(&[][..], |part| part);
        let written = match self.refuse(cx, head) {
            Some(written) => written,
            None => Pin::new(&mut self.stream).poll_write_vectored(cx, parts),
        };
        self.patiently(cx, written, |bytes| *bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Called once all that was to be written is.
        self.turn.passes();
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.patiently(cx, flushed, |()| 0)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.patiently(cx, shut, |()| 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    /// Whether an answer of so many bytes gets through to a client that takes some of it every few milliseconds.
    async fn gets_through(answer: usize, some: usize, patience: Duration) -> bool {
        let (ours, mut theirs) = tokio::io::duplex(some);
        let mut wire = Wire::new(ours, patience, Arc::default());
        let reading = tokio::spawn(async move {
            let (mut ticks, mut taken) = (tokio::time::interval(Duration::from_millis(20)), vec![0; some]);
            while theirs.read(&mut taken).await.is_ok_and(|bytes| bytes > 0) {
                ticks.tick().await;
            }
        });
        let sent = wire.write_all(&vec![0; answer]).await;
        reading.abort();
        sent.is_ok()
    }

    #[tokio::test]
    async fn who_reads_too_slowly_is_given_up_and_who_keeps_up_is_not() {
        // 3 kB/s for half a minute, and never a moment without a byte.
        assert!(!gets_through(100_000, 64, Duration::from_millis(200)).await);
        // 50 kB/s, twice as long as it may be behind.
        assert!(gets_through(200_000, 1024, Duration::from_secs(2)).await);
    }
}
