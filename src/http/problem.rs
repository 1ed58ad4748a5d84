//! Problem documents (RFC 9457): the one shape of every error, and the only place that turns a use case's
//! error into a status.

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::domain::fault::{Code, Fault};
use crate::service::Error;

tokio::task_local! {
    /// The id of the request that is being answered, for problem documents.
    pub static REQUEST_ID: String;
}

/// What went wrong, and what to do about it.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(example = json!({
    "type": "/problems/unknown_model", "title": "Unknown model", "status": 422, "code": "unknown_model",
    "detail": "No model is named \"face_detcet\".", "mend": "Did you mean \"face_detect\"? GET /models lists them.",
    "errors": [{"in": "form", "pointer": "/models/0", "code": "unknown_model", "detail": "No model is named \"face_detcet\"."}],
    "request_id": "019aac9e-4e3b-7c11-9d5f-2b7f0a5f3a11"
}))]
pub struct Problem {
    /// A page that explains the code.
    #[serde(rename = "type")]
    pub kind: String,
    pub title: &'static str,
    pub status: u16,
    /// Stable; match on this.
    pub code: &'static str,
    pub detail: String,
    /// What to do.
    pub mend: String,
    pub errors: Vec<ProblemField>,
    /// Also in `X-Request-Id`; null inside per-item problems.
    pub request_id: Option<String>,
    #[serde(skip)]
    pub retry_after_s: Option<u32>,
    #[serde(skip)]
    pub cause: Option<Cause>,
}

/// What the access log is told of a failure that the client is not.
#[derive(Debug, Clone)]
pub struct Cause(pub Arc<str>);

/// Where in the request it lies.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ProblemField {
    /// `body`, `form`, `query`, `path` or `file`.
    #[serde(rename = "in")]
    pub place: &'static str,
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    pub code: &'static str,
    pub detail: String,
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        Self::of(fault.into(), "body")
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::of(error, "body")
    }
}

impl Problem {
    /// The problem of a fault in what was read from this part of the request.
    fn told(fault: Fault, part: &'static str) -> Self {
        Self {
            kind: format!("/problems/{}", fault.code.as_str()),
            title: fault.code.title(),
            status: fault.code.status(),
            code: fault.code.as_str(),
            detail: fault.detail,
            mend: fault.mend,
            errors: fault
                .errors
                .into_iter()
                .map(|e| ProblemField {
                    place: e.part.unwrap_or(part),
                    pointer: e.pointer,
                    code: e.code.as_str(),
                    detail: e.detail,
                })
                .collect(),
            request_id: None,
            retry_after_s: fault.retry_after_s,
            cause: None,
        }
    }

    /// The problem of a use case that was given what was read from this part of the request.
    pub fn of(error: Error, part: &'static str) -> Self {
        let chain = |error: &(dyn std::error::Error + 'static)| {
            let causes = std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string);
            Some(Cause(causes.collect::<Vec<_>>().join(": ").into()))
        };
        let cause = chain(&error);
        match error {
            Error::Fault(fault) => Self::told(fault, part),
            Error::Unavailable(_) => {
                let fault = Fault::new(Code::Unavailable, "A part of the service does not answer.").retry_after(2);
                Self { cause, ..fault.into() }
            }
            Error::Internal(_) => Self { cause, ..Fault::new(Code::Internal, "Something is broken here.").into() },
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(mut self) -> Response {
        self.request_id = REQUEST_ID.try_with(Clone::clone).ok();
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(header::CONTENT_TYPE, "application/problem+json")], body).into_response();
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
        response
    }
}

/// What every handler may answer instead.
pub type Answer<T> = Result<T, Problem>;

/// The page of a problem's code, for people.
pub fn page(code: &str) -> Option<Html<String>> {
    let code = Code::ALL.iter().find(|c| c.as_str() == code)?;
    Some(Html(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}}\
         code{{background:#8882;padding:.1em .3em;border-radius:.2em}}:root{{color-scheme:light dark}}</style>\
         <h1>{title}</h1><p>{help}</p><p><code>{name}</code> · HTTP {status} · <a href=\"/docs\">operations</a></p></html>",
        title = code.title(),
        help = code.help(),
        name = code.as_str(),
        status = code.status(),
    )))
}

/// The error responses of every operation, for its description.
pub struct Problems;

impl utoipa::IntoResponses for Problems {
    fn responses() -> std::collections::BTreeMap<String, utoipa::openapi::RefOr<utoipa::openapi::response::Response>> {
        use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
        let answer = |text: &str, example: Fault| {
            let mut content = ContentBuilder::new().schema(Some(Ref::from_schema_name("Problem")));
            content = content.example(serde_json::to_value(Problem::from(example)).ok());
            let response =
                ResponseBuilder::new().description(text).content("application/problem+json", content.build());
            RefOr::T(response.build())
        };
        let wrong = Fault::new(Code::InvalidField, "limit is 0; it is from 1 to 500.");
        let away = Fault::new(Code::Unavailable, "A part of the service does not answer.");
        [
            (
                "4XX",
                "The request is wrong; `mend` says what to do. 401 and 403 as the roles demand, 429 with Retry-After.",
                wrong,
            ),
            ("5XX", "The service cannot answer now; 503 comes with Retry-After.", away),
        ]
        .into_iter()
        .map(|(status, text, example)| (status.to_owned(), answer(text, example)))
        .collect()
    }
}
