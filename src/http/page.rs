//! The page for people: built from `ui/`, carried in this program, and served at `/`.

use std::collections::HashMap;
use std::io::Write;
use std::sync::LazyLock;

use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

use super::Shared;
use super::problem::Answer;
use crate::domain::fault::Fault;

/// The built files by their paths, in order.
const BUILT: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/page.rs"));
const INDEX: &str = "index.html";
/// What the page may load and do: only what this server sends, nothing written into it, and in nobody's frame. Pictures come as blobs,
/// because a token goes in a header and never in an address.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; \
    worker-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// Asked for again each time, and sent only when it is another.
const ASKED_AGAIN: &str = "no-cache";
/// Of an address that says by its query what it holds.
const KEPT: &str = "public, max-age=31536000, immutable";

/// A file as it is sent.
struct Built {
    media_type: HeaderValue,
    /// Of the bytes, in hex.
    hash: String,
    plain: Encoded,
    gzip: Encoded,
}

/// One of its encodings: each has a tag of its own, or a range of the one would be taken for one of the other.
struct Encoded {
    encoding: Option<HeaderValue>,
    etag: HeaderValue,
    bytes: Bytes,
}

static FILES: LazyLock<HashMap<&str, Built>> = LazyLock::new(|| {
    BUILT.iter().filter_map(|(path, bytes)| Some((*path, built(path, named(path, bytes))?))).collect()
});

pub fn router() -> Router<Shared> {
    let index = |headers: HeaderMap| async move { send(INDEX, None, &headers) };
    let asset = |Path(file): Path<String>, RawQuery(hash): RawQuery, headers: HeaderMap| async move {
        send(&format!("assets/{file}"), hash, &headers)
    };
    Router::new().route("/", get(index)).route("/assets/{file}", get(asset))
}

fn send(path: &str, hash: Option<String>, asked: &HeaderMap) -> Answer<Response> {
    let built = FILES.get(path).ok_or_else(|| Fault::not_found("file"))?;
    let fixed = HeaderValue::from_static;
    let accepted = asked.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let sent = if accepted.contains("gzip") { &built.gzip } else { &built.plain };
    let caching = if hash.as_ref() == Some(&built.hash) { KEPT } else { ASKED_AGAIN };
    let about = [
        (header::CACHE_CONTROL, fixed(caching)),
        (header::ETAG, sent.etag.clone()),
        (header::VARY, fixed("accept-encoding")),
        (header::CONTENT_SECURITY_POLICY, fixed(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
    ];
    if asked.get(header::IF_NONE_MATCH).is_some_and(|tag| *tag == sent.etag) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let typed = [(header::CONTENT_TYPE, built.media_type.clone())];
    let encoded = sent.encoding.clone().map(|encoding| [(header::CONTENT_ENCODING, encoding)]);
    let mut answer = (about, typed, sent.bytes.clone()).into_response();
    answer.headers_mut().extend(encoded.into_iter().flatten());
    Ok(answer)
}

/// The index names each file by its hash, too, so that browsers ask for what is another.
fn named(path: &str, bytes: &'static [u8]) -> Bytes {
    if path != INDEX {
        return Bytes::from_static(bytes);
    }
    let html = String::from_utf8_lossy(bytes).into_owned();
    let assets = BUILT.iter().filter(|(path, _)| *path != INDEX);
    let name = |html: String, (path, bytes): &(&str, &[u8])| {
        html.replace(&format!("{path}\""), &format!("{path}?{}\"", hash(bytes)))
    };
    assets.fold(html, name).into()
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(&Sha256::digest(bytes)[..16])
}

/// A file of a kind that browsers are told of; zipped once, for as long as the program runs.
fn built(path: &str, bytes: Bytes) -> Option<Built> {
    let media_type = match path.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "svg" => "image/svg+xml",
        _ => return None,
    };
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    gzip.write_all(&bytes).ok()?;
    let hash = hash(&bytes);
    let gzip = gzip.finish().ok()?.into();
    Some(Built {
        media_type: HeaderValue::from_static(media_type),
        plain: Encoded { encoding: None, etag: HeaderValue::try_from(format!("\"{hash}\"")).ok()?, bytes },
        gzip: Encoded {
            encoding: Some(HeaderValue::from_static("gzip")),
            etag: HeaderValue::try_from(format!("\"{hash}-gzip\"")).ok()?,
            bytes: gzip,
        },
        hash,
    })
}
