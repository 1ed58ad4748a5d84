//! The connection to a client: given up when the client stops reading, and with a problem document where hyper refuses its first
//! request by itself.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use uuid::Uuid;

use crate::api::problem::Problem;
use crate::domain::fault::{Code, Fault};

/// A stream whose other end must take what is written to it.
pub struct Wire<S> {
    stream: S,
    /// How long it may take nothing.
    patience: Duration,
    /// Runs while it takes nothing.
    stalled: Option<Pin<Box<Sleep>>>,
    /// What is left of a refusal that stands in the place of hyper's.
    refusal: Option<Bytes>,
    /// Whether a request was handed over: from then on what is written may be anybody's bytes.
    handed_over: Arc<AtomicBool>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// `handed_over` is set when the first request of the connection is.
    pub fn new(stream: S, patience: Duration, handed_over: Arc<AtomicBool>) -> Self {
        Self { stream, patience, stalled: None, refusal: None, handed_over }
    }

    /// What a write came to, or that the client has not read for too long.
    fn patiently<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled = None;
            return written;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.as_mut().poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }

    /// Writes the document in place of hyper's refusal, if that is what is to be written.
    fn refuse(&mut self, cx: &mut Context<'_>, head: &[u8]) -> Option<Poll<io::Result<usize>>> {
        let mut left = match self.refusal.take() {
            Some(left) => left,
            None if self.handed_over.load(Ordering::Relaxed) => return None,
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
        self.patiently(cx, written)
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
        self.patiently(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.patiently(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.patiently(cx, shut)
    }
}
