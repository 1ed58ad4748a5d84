//! Extractors whose every refusal is a problem document: JSON bodies, paths, queries, cursors.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::budget;
use super::problem::HttpError;
use crate::api::Object;
use crate::api::page::{LIMIT_DEFAULT, LIMIT_MAX, Page, Paging};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::json;
use crate::domain::name::shorten;

/// The largest JSON or form body where an operation does not say otherwise, in bytes.
pub const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The largest JSON body whose length is not declared, in bytes: room is made for a body before it is read.
const UNDECLARED_BYTES_MAX: usize = 1024 * 1024;
/// How long a JSON body may take: it holds room for all of it meanwhile.
const BODY_WAIT: Duration = Duration::from_secs(120);

/// The longest that any request waits, in seconds.
pub const WAIT_MAX_S: f64 = 50.0;

/// The most bytes that a body has, as it is set for some operations: [`BODY_BYTES_MAX`] for the others.
#[derive(Clone, Copy)]
pub struct BodyMax(pub usize);

/// A JSON body, or a JSON answer.
pub struct Json<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let bytes = body(request, state).await?;
        let text = text(&bytes)?;
        let read = read(text)?;
        if json::may_hold_nul(text) {
            json::check(text)?;
        }
        Ok(Self(read))
    }
}

/// A JSON body of free form, in which no key may be given twice.
pub struct Free<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Free<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let bytes = body(request, state).await?;
        let text = text(&bytes)?;
        json::check(text)?;
        Ok(Self(read(text)?))
    }
}

/// A JSON body that may be left out, or be null.
pub struct MaybeJson<T>(pub T);

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for MaybeJson<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        if http_body::Body::is_end_stream(request.body()) {
            check_no_query(request.uri())?;
            return Ok(Self(T::default()));
        }
        let bytes = body(request, state).await?;
        let text = text(&bytes)?;
        Ok(Self(if text.trim() == "null" { T::default() } else { read(text)? }))
    }
}

/// The JSON body of a batch, whose items are judged one by one: U+0000 in a string is the matter of whoever judges its item.
pub struct Batch<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Batch<T> {
    type Rejection = HttpError;

    async fn from_request(request: Request, state: &S) -> Result<Self, HttpError> {
        let bytes = body(request, state).await?;
        Ok(Self(read(text(&bytes)?)?))
    }
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(body) => match budget::answer(body) {
                Ok(body) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
                Err(fault) => HttpError::from(fault).into_response(),
            },
            Err(error) => HttpError::internal(error.to_string()).into_response(),
        }
    }
}

/// Whether the declared content type is JSON.
pub fn is_json(headers: &HeaderMap) -> bool {
    let declared = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = declared.split(';').next().unwrap_or("").trim();
    essence.eq_ignore_ascii_case("application/json")
}

fn body_problem(rejection: axum::extract::rejection::BytesRejection) -> HttpError {
    if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
        let detail = "The body is over the size limit of this operation, or over 1 MiB without a Content-Length.";
        return Fault::new(Code::TooLarge, detail).into();
    }
    cut_off().into()
}

fn cut_off() -> Fault {
    Fault::new(Code::BodyCutOff, "The body could not be read to its end.")
}

async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, HttpError> {
    check_no_query(request.uri())?;
    if !is_json(request.headers()) {
        let fault = Fault::new(Code::UnsupportedMediaType, "The body is not declared as JSON.");
        return Err(fault.mend("Send Content-Type: application/json.").into());
    }
    let request = hold_body(request).await?;
    let read = tokio::time::timeout(BODY_WAIT, Bytes::from_request(request, state)).await;
    let bytes = read.map_err(|_| cut_off())?.map_err(body_problem)?;
    budget::body_had(bytes.len());
    Ok(bytes)
}

/// Makes room for the body of a request that is to be read whole; one that says itself that it is too large is refused before.
pub async fn hold_body(mut request: Request) -> Result<Request, Fault> {
    let BodyMax(most) = request.extensions().get().copied().unwrap_or(BodyMax(BODY_BYTES_MAX));
    let declared: Option<usize> =
        request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    if let Some(bytes) = declared.filter(|bytes| *bytes > most) {
        return Err(Fault::new(Code::TooLarge, format!("The body has {bytes} bytes; this operation takes {most}.")));
    }
    let most = if declared.is_none() { most.min(UNDECLARED_BYTES_MAX) } else { most };
    DefaultBodyLimit::max(most).apply(&mut request);
    budget::hold_bytes(declared.unwrap_or(most)).await?;
    Ok(request)
}

fn text(bytes: &[u8]) -> Result<&str, Fault> {
    std::str::from_utf8(bytes).map_err(|error| Fault::new(Code::MalformedJson, format!("This is not JSON: {error}.")))
}

/// Reads JSON straight into its type; only what is wrong is looked at again, for its place.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    let read = serde_json::from_str(text).or_else(|_| {
        json::check_form(text)?;
        let mut input = serde_json::Deserializer::from_str(text);
        serde_path_to_error::deserialize(&mut input).map_err(|error| {
            let pointer = pointer(error.path());
            let why = error.into_inner().to_string();
            // The pointer says it better.
            let why = why.rsplit_once(" at line ").map_or(&*why, |(why, _)| why);
            wrong("body", pointer, &shorten_why(&in_words(why)))
        })
    });
    read.map(|Object(body)| body)
}

/// What serde says, without the names of our types.
fn in_words(why: &str) -> String {
    let Some((found, expected)) = why.rsplit_once(", expected ") else { return why.to_owned() };
    let expected = match expected {
        "i16" => format!("a whole number from {} to {}", i16::MIN, i16::MAX),
        "i32" => format!("a whole number from {} to {}", i32::MIN, i32::MAX),
        "i64" => "a whole number".to_owned(),
        "usize" => "a whole number from 0 on".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        _ => return why.to_owned(),
    };
    format!("{found}, expected {expected}")
}

fn wrong(place: &'static str, pointer: String, why: &str) -> Fault {
    let code = match why {
        _ if why.starts_with("unknown field") => Code::UnknownField,
        _ if why.starts_with("duplicate field") => Code::DuplicateKey,
        _ => Code::InvalidField,
    };
    let at = if pointer.is_empty() { String::new() } else { format!(" at {pointer}") };
    Fault::new(code, format!("Wrong {place}{at}: {why}.")).at(place, pointer)
}

fn shorten_why(why: &str) -> String {
    match why.char_indices().nth(400) {
        Some((cut, _)) => format!("{}…", &why[..cut]),
        None => why.to_owned(),
    }
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", shorten(key).replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { variant } => Some(format!("/{variant}")),
            Segment::Unknown => None,
        })
        .collect()
}

/// A query string; unknown parameters are refused.
pub struct Query<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        match axum::extract::Query::<T>::from_request_parts(parts, state).await {
            Ok(query) => Ok(Self(query.0)),
            Err(rejection) => {
                let text = rejection.body_text();
                let why = text.trim_start_matches("Failed to deserialize query string: ");
                let (field, why) = why.split_once(": ").filter(|(f, _)| !f.contains(' ')).unwrap_or(("", why));
                let pointer = if field.is_empty() { String::new() } else { format!("/{field}") };
                Err(wrong("query", pointer, &shorten_why(why)).into())
            }
        }
    }
}

/// That an operation takes no query: whoever sends one means something by it.
pub struct NoQuery;

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, HttpError> {
        Ok(check_no_query(&parts.uri).map(|()| Self)?)
    }
}

/// Refuses a query on behalf of an operation that knows no field of one.
fn check_no_query(uri: &Uri) -> Result<(), Fault> {
    let Some(query) = uri.query().filter(|query| !query.is_empty()) else { return Ok(()) };
    let field = shorten(query.split(['=', '&']).next().unwrap_or_default());
    let detail = format!("Wrong query: unknown field `{field}`; this operation takes none.");
    Err(Fault::new(Code::UnknownField, detail).at("query", format!("/{field}")))
}

/// Parts of the path.
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, HttpError> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await.map_err(|rejection| {
            let text = rejection.body_text();
            let why = text.trim_start_matches("Invalid URL: ");
            HttpError::from(wrong("path", String::new(), &shorten_why(why)))
        })?;
        Ok(Self(path.0))
    }
}

/// Parses an image's key.
pub fn md5(text: &str, place: &'static str, pointer: impl Into<String>) -> Result<ContentMd5, Fault> {
    ContentMd5::parse(text)
        .ok_or_else(|| Fault::new(Code::InvalidHash, format!("{:?} is not an MD5.", shorten(text))).at(place, pointer))
}

/// `a,b` is two models.
pub fn split_models(text: &str) -> impl Iterator<Item = String> + use<'_> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// A number of the request, if it lies within what its field takes.
pub fn within<N: PartialOrd + Display>(
    place: &'static str,
    field: &str,
    number: N,
    range: RangeInclusive<N>,
) -> Result<N, Fault> {
    if range.contains(&number) {
        return Ok(number);
    }
    let detail = format!("{field} is {number}; it is from {} to {}.", range.start(), range.end());
    Err(Fault::invalid(place, format!("/{field}"), detail))
}

/// Checks how long a request wants to wait.
pub fn wait(seconds: Option<f64>, place: &'static str) -> Result<Duration, Fault> {
    within(place, "wait_s", seconds.unwrap_or(0.0), 0.0..=WAIT_MAX_S).map(Duration::from_secs_f64)
}

/// Checks the size of a page.
pub fn limit(limit: Option<i64>) -> Result<i64, Fault> {
    within("query", "limit", limit.unwrap_or(LIMIT_DEFAULT), 1..=LIMIT_MAX)
}

/// The checked size of a page, and the unpacked cursor.
pub fn paging<K: DeserializeOwned>(list: &str, paging: &Paging) -> Result<(i64, Option<K>), Fault> {
    Ok((limit(paging.limit)?, read_cursor(list, paging.cursor.as_deref())?))
}

/// A page of what was found, shown as it is told; its cursor is that of the last item, if it is full.
pub fn page<F, T: From<F>, K: Serialize>(list: &str, found: Vec<F>, limit: i64, key: impl FnOnce(&F) -> K) -> Page<T> {
    let full = i64::try_from(found.len()).is_ok_and(|n| n >= limit);
    let next_cursor = found.last().filter(|_| full).map(|last| write_cursor(list, &key(last)));
    Page { items: found.into_iter().map(T::from).collect(), next_cursor }
}

/// Packs the name of a list and the place of an item in it.
pub fn write_cursor(list: &str, key: &impl Serialize) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::to_vec(&(list, key)).unwrap_or_default())
}

/// Unpacks a cursor that an earlier page of this list gave.
pub fn read_cursor<K: DeserializeOwned>(list: &str, cursor: Option<&str>) -> Result<Option<K>, Fault> {
    let Some(cursor) = cursor else { return Ok(None) };
    let read = || -> Option<(String, K)> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
        serde_json::from_value(json::parse(std::str::from_utf8(&bytes).ok()?).ok()?).ok()
    };
    match read() {
        Some((of, key)) if of == list => Ok(Some(key)),
        _ => Err(Fault::invalid("query", "/cursor", "The cursor was not given by this list.")),
    }
}
