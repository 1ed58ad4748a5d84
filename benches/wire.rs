//! One connection of a client: as little as HTTP allows, because it runs on the server's own cores.

use std::time::Duration;

use anyhow::{Context, ensure};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub const JSON: &str = "application/json";
/// Longer than any request waits for work.
const ANSWER_WAIT: Duration = Duration::from_secs(70);
/// How often a server may say "later" to one request.
const TRIES: usize = 20;

pub struct Wire {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
}

/// A whole answer.
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Wire {
    pub async fn open(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { sender, host: HeaderValue::from_str(address)? })
    }

    pub async fn get(&mut self, path: &str, caller: Option<&HeaderValue>) -> anyhow::Result<Bytes> {
        success(path, self.call(Method::GET, path, caller, None, Bytes::new()).await?)
    }

    pub async fn post(&mut self, path: &str, caller: &HeaderValue, body: impl Into<Bytes>) -> anyhow::Result<Bytes> {
        success(path, self.call(Method::POST, path, Some(caller), Some(JSON), body.into()).await?)
    }

    pub async fn delete(&mut self, path: &str, caller: &HeaderValue) -> anyhow::Result<Bytes> {
        success(path, self.call(Method::DELETE, path, Some(caller), None, Bytes::new()).await?)
    }

    /// Sends a body, and the same again after as long as the server asks for when it says "later"; answers how often
    /// it did.
    pub async fn insist(
        &mut self,
        path: &str,
        caller: &HeaderValue,
        kind: &str,
        body: Bytes,
    ) -> anyhow::Result<(Bytes, usize)> {
        for refused in 0..TRIES {
            let answer = self.call(Method::POST, path, Some(caller), Some(kind), body.clone()).await?;
            if answer.status != StatusCode::TOO_MANY_REQUESTS {
                return Ok((success(path, answer)?, refused));
            }
            let after = answer.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            tokio::time::sleep(Duration::from_secs_f64(after.unwrap_or(1.0))).await;
        }
        anyhow::bail!("{path} was answered \"later\" {TRIES} times")
    }

    /// Sends a request and reads the whole answer.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        caller: Option<&HeaderValue>,
        kind: Option<&str>,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if let Some(caller) = caller {
            request = request.header(AUTHORIZATION, caller);
        }
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        let request = request.body(Full::new(body))?;
        let exchange = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let (head, body) = answer.into_parts();
            anyhow::Ok(Answer { status: head.status, headers: head.headers, body: body.collect().await?.to_bytes() })
        };
        let ended = tokio::time::timeout(ANSWER_WAIT, exchange).await;
        ended.with_context(|| format!("{path} is not answered"))?.with_context(|| format!("{path} was cut off"))
    }
}

fn success(path: &str, answer: Answer) -> anyhow::Result<Bytes> {
    let Answer { status, body, .. } = answer;
    ensure!(status.is_success(), "{path} answered {status}: {}", String::from_utf8_lossy(&body));
    Ok(body)
}
