//! A caller of the router, and the answers it gets.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::form::{self, Form};

/// Somebody with a token or key, or nobody.
#[derive(Clone)]
pub struct Client {
    router: Router,
    pub token: Option<String>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or(Value::Null)
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// The problem of an answer with this status and code: checked to be a whole one.
    #[track_caller]
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!(
            (self.status.as_u16(), body["code"].as_str()),
            (status, Some(code)),
            "{}",
            String::from_utf8_lossy(&self.bytes)
        );
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(body["status"], status);
        assert_eq!(body["type"], format!("/problems/{code}"));
        assert_eq!(body["request_id"].as_str(), self.headers["x-request-id"].to_str().ok());
        assert_mends(&body);
        body
    }
}

/// A problem says what is wrong, and then what to do, not the same twice.
#[track_caller]
pub fn assert_mends(problem: &Value) {
    let said = |field: &str| problem[field].as_str().unwrap_or_default().to_lowercase();
    for field in ["title", "detail", "mend"] {
        assert!(said(field).len() > 3, "{field}: {problem}");
    }
    let (detail, mend) = (said("detail"), said("mend"));
    let clauses = mend.split(['.', ',', ';', ':']).filter(|clause| clause.split_whitespace().count() > 2);
    let repeated = clauses.map(str::trim).find(|clause| detail.contains(clause));
    assert_eq!(repeated, None, "the mend repeats the detail: {problem}");
}

impl Client {
    pub fn new(router: Router, token: Option<String>) -> Self {
        Self { router, token }
    }

    /// The same caller by another way.
    pub fn through(self, router: Router) -> Self {
        Self { router, token: self.token }
    }

    pub async fn send(&self, request: Request<Body>) -> Answer {
        let mut request = request;
        if let (Some(token), None) = (&self.token, request.headers().get(header::AUTHORIZATION)) {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().expect("a header"));
        }
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.into_body().collect().await.expect("a body").to_bytes().to_vec();
        Answer { status, headers, bytes }
    }

    pub async fn call(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        let request = Request::builder().method(method).uri(path);
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(Body::from(body.to_string())),
            None => request.body(Body::empty()),
        };
        self.send(request.expect("a request")).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, Some(body)).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PATCH, path, Some(body)).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, None).await
    }

    /// Sends raw text as JSON.
    pub async fn raw(&self, path: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(body.into()).expect("a request")).await
    }

    /// Sends a URL-encoded form.
    pub async fn form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = serde_urlencoded::to_string(fields).expect("a form");
        let request = Request::post(path).header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        self.send(request.body(Body::from(body)).expect("a request")).await
    }

    /// Uploads a form.
    pub async fn upload(&self, form: Form) -> Answer {
        let request = Request::post("/predict").header(header::CONTENT_TYPE, form::CONTENT_TYPE);
        self.send(request.body(Body::from(form.finish())).expect("a request")).await
    }

    /// Uploads images for models and answers the submission.
    #[track_caller]
    pub fn submit(&self, images: &[(&str, Vec<u8>)], models: &[&str]) -> impl Future<Output = Value> {
        let mut form = Form::default();
        for (name, bytes) in images {
            form = form.file(name, bytes);
        }
        for model in models {
            form = form.text("models", model);
        }
        async move { self.upload(form).await.ok(202) }
    }
}
