//! Problem documents (RFC 9457): the one shape of every error, and the only place that turns a use case's
//! error into a status.

pub mod page;

use std::sync::Arc;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::api::problem::{Problem, ProblemField};
use crate::domain::fault::{Code, Fault};
use crate::service::Error;

tokio::task_local! {
    /// The id of the request that is being answered, for problem documents.
    pub static REQUEST_ID: String;
}

/// What every handler may answer instead.
pub type Answer<T> = Result<T, HttpError>;

/// A problem document as an answer, with what goes beside it.
#[derive(Debug)]
pub struct HttpError {
    problem: Problem,
    retry_after_s: Option<u32>,
    cause: Option<FailureCause>,
}

/// What the access log is told of a failure that the client is not.
#[derive(Debug, Clone)]
pub struct FailureCause(pub Arc<str>);

impl HttpError {
    /// A fault of ours: the client learns that there is one, the log learns which.
    pub fn internal(cause: String) -> Self {
        let fault = Fault::new(Code::Internal, "Something is broken here.");
        Self { cause: Some(FailureCause(cause.into())), ..fault.into() }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let field = |e: crate::domain::fault::FieldFault| ProblemField {
            place: e.part.unwrap_or("body").into(),
            pointer: e.pointer,
            code: e.code.as_str().into(),
            detail: e.detail,
        };
        Self {
            kind: format!("/problems/{}", fault.code.as_str()),
            title: fault.code.title().into(),
            status: status(fault.code),
            code: fault.code.as_str().into(),
            detail: fault.detail,
            mend: fault.mend,
            errors: fault.errors.into_iter().map(field).collect(),
            request_id: None,
        }
    }
}

impl From<Fault> for HttpError {
    fn from(fault: Fault) -> Self {
        Self { retry_after_s: fault.retry_after_s, problem: fault.into(), cause: None }
    }
}

impl From<Error> for HttpError {
    fn from(error: Error) -> Self {
        let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
        let cause = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        let part = error.part();
        match error {
            Error::Fault(fault) => fault.into(),
            Error::Unavailable(_) => {
                let part = part.map_or("a part of the service".to_owned(), str::to_owned);
                let fault = Fault::new(Code::Unavailable, format!("Not answering now: {part}.")).retry_after(2);
                Self { cause: Some(FailureCause(cause.into())), ..fault.into() }
            }
            Error::Internal(_) => Self::internal(cause),
        }
    }
}

impl From<sqlx::Error> for HttpError {
    fn from(error: sqlx::Error) -> Self {
        Error::from(error).into()
    }
}

impl IntoResponse for HttpError {
    fn into_response(mut self) -> Response {
        self.problem.request_id = REQUEST_ID.try_with(Clone::clone).ok();
        let status = StatusCode::from_u16(self.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.problem).unwrap_or_default();
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

/// The HTTP status that a fault of this code is answered with.
pub(super) const fn status(code: Code) -> u16 {
    match code {
        Code::MalformedJson | Code::MalformedBody | Code::MalformedRequest | Code::BodyCutOff => 400,
        Code::MissingCredential
        | Code::UnknownCredential
        | Code::ExpiredCredential
        | Code::DisabledCredential
        | Code::WrongPassword => 401,
        Code::MissingRole | Code::WrongService | Code::OutOfScope => 403,
        Code::NotFound | Code::NoCheckpoint | Code::NoModelFile | Code::NoThumbnail => 404,
        Code::MethodNotAllowed => 405,
        Code::SubmissionConflict
        | Code::CaseClosed
        | Code::OwnCase
        | Code::LastOwner
        | Code::TooManyCases
        | Code::CaseFull
        | Code::SubmissionUsed
        | Code::RunNotFinished
        | Code::VersionTaken
        | Code::StaleLease
        | Code::NameTaken
        | Code::NotEnded
        | Code::RetiredModel
        | Code::TooManyExports
        | Code::ExportNotReady
        | Code::LastAdmin => 409,
        Code::UnknownWorker => 410,
        Code::TooLarge | Code::FileTooLarge | Code::ResultTooLarge | Code::AnswerTooLarge => 413,
        Code::UriTooLong => 414,
        Code::UnsupportedMediaType => 415,
        Code::RangeNotSatisfiable => 416,
        Code::UnknownModel
        | Code::UnknownDataset
        | Code::ChecksumMismatch
        | Code::InvalidField
        | Code::InvalidFilter
        | Code::UnknownField
        | Code::DuplicateKey
        | Code::NulCharacter
        | Code::TooDeep
        | Code::InvalidHash
        | Code::NoImage
        | Code::NoModel
        | Code::TooManyImages
        | Code::EmptyFile
        | Code::NotAnImage
        | Code::MalformedImage
        | Code::ImageTooBig
        | Code::Md5Collision
        | Code::NothingAccepted
        | Code::NoLiveWorker
        | Code::InvalidResult => 422,
        Code::TooManyRequests | Code::TooManyLogins => 429,
        Code::HeaderTooLarge => 431,
        Code::Internal => 500,
        Code::Unavailable => 503,
        Code::StorageFull => 507,
    }
}
