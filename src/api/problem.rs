//! Problem documents (RFC 9457): the one shape of every error.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What went wrong, and what to do about it.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
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
    pub title: Cow<'static, str>,
    pub status: u16,
    /// Stable; match on this.
    pub code: Cow<'static, str>,
    pub detail: String,
    /// What to do.
    pub mend: String,
    pub errors: Vec<ProblemField>,
    /// Also in `X-Request-Id`; null inside per-item problems.
    pub request_id: Option<String>,
}

/// Where in the request it lies.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProblemField {
    /// `body`, `form`, `query`, `path` or `file`.
    #[serde(rename = "in")]
    pub place: Cow<'static, str>,
    /// A JSON pointer (RFC 6901).
    pub pointer: String,
    pub code: Cow<'static, str>,
    pub detail: String,
}
