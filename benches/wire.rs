//! One connection of a client: as little as HTTP allows, because it runs on the server's own cores.

use anyhow::{Context, ensure};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use axum::http::{HeaderValue, Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

pub struct Wire {
    sender: SendRequest<Full<Bytes>>,
    host: HeaderValue,
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
        self.call(Method::GET, path, caller, None, Bytes::new()).await
    }

    pub async fn post(&mut self, path: &str, caller: &HeaderValue, body: impl Into<Bytes>) -> anyhow::Result<Bytes> {
        self.call(Method::POST, path, Some(caller), Some("application/json"), body.into()).await
    }

    /// Sends a request and reads the whole answer, which must be a success.
    pub async fn call(
        &mut self,
        method: Method,
        path: &str,
        caller: Option<&HeaderValue>,
        kind: Option<&str>,
        body: Bytes,
    ) -> anyhow::Result<Bytes> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if let Some(caller) = caller {
            request = request.header(AUTHORIZATION, caller);
        }
        if let Some(kind) = kind {
            request = request.header(CONTENT_TYPE, kind);
        }
        self.sender.ready().await?;
        let answer = self.sender.send_request(request.body(Full::new(body))?).await.context("no answer")?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        ensure!(status.is_success(), "{path} answered {status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}
