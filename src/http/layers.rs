//! What happens around every request: its id, its log line and duration, panics and oversized bodies.

use std::any::Any;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;
use uuid::Uuid;

use super::budget::{Budgets, keep_tab};
use super::problem::{FailureCause, HttpError, REQUEST_ID};
use crate::domain::fault::{Code, Fault};
use crate::metrics;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Gives the request an id (or keeps a sensible one), logs it once, and records its duration by route.
pub async fn observe(State(budgets): State<Arc<Budgets>>, request: Request, next: Next) -> Response {
    let sent = request.headers().get(&X_REQUEST_ID).and_then(|value| value.to_str().ok());
    let sensible =
        |id: &&str| (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    let id = sent.filter(sensible).map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    let method = request.method().clone();
    // Asked by POST only because it is long.
    let asks = method.is_safe() || request.uri().path() == "/predict/status";
    let route = request.extensions().get::<MatchedPath>().map_or("(none)", |path| path.as_str()).to_owned();
    let span = tracing::info_span!("request", request_id = %id);
    let start = Instant::now();
    let mut response =
        REQUEST_ID.scope(id.clone(), keep_tab(budgets, asks, next.run(request))).instrument(span.clone()).await;
    let (status, seconds) = (response.status().as_u16(), start.elapsed().as_secs_f64());
    metrics::request(method.as_str(), &route, status, seconds);
    let cause = response.extensions_mut().remove::<FailureCause>();
    let _in_span = span.enter();
    let duration_ms = (seconds * 1000.0).round();
    match cause {
        Some(FailureCause(cause)) => tracing::error!(%method, route, status, duration_ms, %cause, "request failed"),
        None => tracing::debug!(%method, route, status, duration_ms, "request answered"),
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    response
}

/// Answers for a handler that panicked.
pub fn panicked(panic: Box<dyn Any + Send + 'static>) -> Response {
    let text =
        panic.downcast_ref::<&str>().map(|s| (*s).to_owned()).or_else(|| panic.downcast_ref::<String>().cloned());
    HttpError::internal(format!("panic: {}", text.unwrap_or_default())).into_response()
}

/// Answers for a path that does not exist.
pub async fn no_route() -> HttpError {
    Fault::new(Code::NotFound, "There is no such path.").mend("GET /docs lists the operations.").into()
}

/// Answers for a method that a path does not have.
pub async fn no_method() -> HttpError {
    Fault::new(Code::MethodNotAllowed, "The path exists, but not with this method.").into()
}
