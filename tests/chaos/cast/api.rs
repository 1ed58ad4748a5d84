//! An ordinary client: several addresses, and the same body again when an answer was lost or says later.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::kit::form::{self, Form};

/// How often a request goes to another address though the last one answered.
const WANDERS: f64 = 0.05;
/// How long it rests before it tries another address.
const RETRY_AFTER: Duration = Duration::from_millis(100);

/// The addresses of the replicas, and who is calling.
pub struct Api {
    bases: Vec<String>,
    at: AtomicUsize,
    token: String,
    http: Client,
    retried: AtomicU64,
}

/// A form that has these models run on these photographs.
pub fn photo_form(models: &str, photos: impl IntoIterator<Item: AsRef<[u8]>>) -> Form {
    let form = Form::default().text("models", models);
    photos.into_iter().fold(form, |form, photo| form.file("a.png", photo.as_ref()))
}

/// What a request carries.
pub enum Body {
    Nothing,
    Json(Value),
    Form(Form),
    /// A file.
    Bytes(Vec<u8>),
}

impl Body {
    pub fn put(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Self::Nothing => request,
            Self::Json(value) => request.json(value),
            Self::Form(form) => request.header("content-type", form::CONTENT_TYPE).body(form.clone().finish()),
            Self::Bytes(bytes) => request.body(bytes.clone()),
        }
    }
}

impl Api {
    pub fn new(bases: Vec<String>, token: String) -> Self {
        Self { bases, at: AtomicUsize::new(0), token, http: Client::new(), retried: AtomicU64::new(0) }
    }

    /// Somebody else at the same addresses.
    pub fn with_token(&self, token: String) -> Self {
        Self::new(self.bases.clone(), token)
    }

    /// Asks the address that answered last, once.
    pub async fn once(&self, method: Method, path: &str, body: &Body, wait: Duration) -> anyhow::Result<(u16, Value)> {
        self.ask(self.at.load(Ordering::Relaxed), method, path, body, wait).await
    }

    /// Asks one address, once.
    pub async fn ask(
        &self,
        at: usize,
        method: Method,
        path: &str,
        body: &Body,
        wait: Duration,
    ) -> anyhow::Result<(u16, Value)> {
        let (status, bytes) = self.bytes(at, method, path, body, wait).await?;
        Ok((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)))
    }

    /// The same, with the body as it came.
    pub async fn bytes(
        &self,
        at: usize,
        method: Method,
        path: &str,
        body: &Body,
        wait: Duration,
    ) -> anyhow::Result<(u16, Vec<u8>)> {
        let base = self.bases.get(at % self.bases.len().max(1)).context("no address")?;
        let request = body.put(self.http.request(method, format!("{base}{path}")).bearer_auth(&self.token));
        let answer = request.timeout(wait).send().await?;
        Ok((answer.status().as_u16(), answer.bytes().await?.to_vec()))
    }

    /// Asks until there is an answer that is not "later", at another address each time it is not.
    pub async fn until_answered(&self, method: Method, path: &str, body: &Body, wait: Duration) -> (u16, Value) {
        self.until_answered_by(method, path, body, wait).await.0
    }

    /// The same, with the address that answered and how long it took.
    pub async fn until_answered_by(
        &self,
        method: Method,
        path: &str,
        body: &Body,
        wait: Duration,
    ) -> ((u16, Value), &str, Duration) {
        let ((status, bytes), by, took) = self.until_bytes(method, path, body, wait).await;
        ((status, serde_json::from_slice(&bytes).unwrap_or(Value::Null)), by, took)
    }

    /// The same, with the body as it came.
    pub async fn until_bytes(
        &self,
        method: Method,
        path: &str,
        body: &Body,
        wait: Duration,
    ) -> ((u16, Vec<u8>), &str, Duration) {
        if rand::random_bool(WANDERS) {
            self.at.fetch_add(1, Ordering::Relaxed);
        }
        loop {
            let (at, asked) = (self.at.load(Ordering::Relaxed), Instant::now());
            match self.bytes(at, method.clone(), path, body, wait).await {
                Ok((status, _)) if matches!(status, 429 | 500 | 502 | 503 | 507) => {
                    if status == 500 {
                        eprintln!("500 from {path}");
                    }
                }
                Ok(answer) => return (answer, &self.bases[at % self.bases.len()], asked.elapsed()),
                Err(_) => {}
            }
            self.retried.fetch_add(1, Ordering::Relaxed);
            self.at.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(RETRY_AFTER.mul_f64(0.5 + rand::random::<f64>())).await;
        }
    }

    /// Sends half of a body to the address that answered last, and hangs up.
    pub async fn cut_off(&self, method: Method, path: &str, body: &[u8]) -> anyhow::Result<()> {
        let base = &self.bases[self.at.load(Ordering::Relaxed) % self.bases.len()];
        let host = base.strip_prefix("http://").context("no address")?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
            self.token,
            body.len()
        );
        let mut stream = TcpStream::connect(host).await?;
        stream.write_all(head.as_bytes()).await?;
        stream.write_all(&body[..body.len() / 2]).await?;
        stream.shutdown().await?;
        Ok(())
    }

    /// How many requests were sent again since this was last asked.
    pub fn take_retried(&self) -> u64 {
        self.retried.swap(0, Ordering::Relaxed)
    }

    /// Posts JSON until answered.
    pub async fn post(&self, path: &str, body: Value, wait: Duration) -> (u16, Value) {
        self.until_answered(Method::POST, path, &Body::Json(body), wait).await
    }
}
