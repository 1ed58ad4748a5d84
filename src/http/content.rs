//! Stored bytes as an answer: whole, in part, or not at all.

use std::ops::Range;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use uuid::Uuid;

use super::problem::{Answer, HttpError};
use crate::blob::Blobs;
use crate::domain::fault::{Code, Fault};
use crate::service::Error;

/// Bytes that never change.
pub(super) struct Content<'c> {
    /// What they are, for messages.
    pub(super) what: &'static str,
    pub(super) media_type: &'c str,
    pub(super) sha256: &'c [u8],
    pub(super) blob: Uuid,
    pub(super) bytes: i64,
    /// Where they begin in the blob, if they are not all of it.
    pub(super) begin: Option<u64>,
}

/// What of the bytes a request is to be sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Portion {
    /// It has them.
    Nothing,
    Whole,
    Part(Range<u64>),
}

impl Content<'_> {
    fn length(&self) -> u64 {
        u64::try_from(self.bytes).unwrap_or_default()
    }

    fn etag(&self) -> String {
        let sha256 = hex::encode(self.sha256);
        match self.begin {
            None => format!("\"{sha256}\""),
            Some(begin) => format!("\"{sha256}-{begin}\""),
        }
    }

    /// The headers of the bytes, sent or not.
    fn about(&self) -> [(HeaderName, String); 6] {
        [
            (header::ETAG, self.etag()),
            (header::ACCEPT_RANGES, "bytes".to_owned()),
            (header::CACHE_CONTROL, "private, max-age=3600".to_owned()),
            (header::CONTENT_TYPE, self.media_type.to_owned()),
            // Bytes of strangers must never run as a page of ours.
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
            (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
        ]
    }

    /// Where a part of the bytes, or all of them, lies in the blob; nothing where that is all of it.
    fn within_blob(&self, part: Option<Range<u64>>) -> Option<Range<u64>> {
        let Some(begin) = self.begin else { return part };
        let part = part.unwrap_or(0..self.length());
        Some(begin + part.start..begin + part.end)
    }

    /// What a request with these headers is to be sent, or the answer that refuses it.
    pub(super) fn portion(&self, headers: &HeaderMap) -> Result<Portion, Response> {
        let asked = |name| headers.get(name).and_then(|v: &HeaderValue| v.to_str().ok());
        let etag = self.etag();
        if asked(header::IF_NONE_MATCH).is_some_and(|tags| tags == "*" || tags.contains(&etag)) {
            return Ok(Portion::Nothing);
        }
        let range = match asked(header::RANGE) {
            // Part of other bytes would not fit to what the client has.
            Some(range) if asked(header::IF_RANGE).is_none_or(|tag| tag == etag) => parse_range(range, self.length()),
            _ => Ok(None),
        };
        match range {
            Ok(range) => Ok(range.map_or(Portion::Whole, Portion::Part)),
            Err(()) => {
                let bytes = self.length();
                let fault = Fault::new(Code::RangeNotSatisfiable, format!("The {} has {bytes} bytes.", self.what));
                Err(([(header::CONTENT_RANGE, format!("bytes */{bytes}"))], HttpError::from(fault)).into_response())
            }
        }
    }

    /// The answer with that portion.
    pub(super) async fn send(&self, blobs: &Blobs, portion: Portion) -> Answer<Response> {
        let bytes = self.length();
        let (status, part) = match portion {
            Portion::Nothing => return Ok((StatusCode::NOT_MODIFIED, self.about()).into_response()),
            Portion::Whole => (StatusCode::OK, None),
            Portion::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        };
        let length = part.as_ref().map_or(bytes, |range| range.end - range.start);
        let shown = part.as_ref().map(|range| format!("bytes {}-{}/{bytes}", range.start, range.end - 1));
        let stream = blobs.read(self.sha256, self.blob, self.within_blob(part)).await.map_err(Error::from)?;
        let mut response = (status, self.about(), Body::from_stream(stream)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        if let Some(shown) = shown.and_then(|shown| HeaderValue::try_from(shown).ok()) {
            headers.insert(header::CONTENT_RANGE, shown);
        }
        Ok(response)
    }
}

/// One range of RFC 9110 §14.1.2; other units and several ranges are ignored, as it allows. An error where there are no such bytes.
fn parse_range(text: &str, bytes: u64) -> Result<Option<Range<u64>>, ()> {
    let Some((first, last)) = text.strip_prefix("bytes=").filter(|r| !r.contains(',')).and_then(|r| r.split_once('-'))
    else {
        return Ok(None);
    };
    let range = match (first.trim().parse::<u64>().ok(), last.trim().parse::<u64>().ok()) {
        (Some(first), Some(last)) if first <= last => first..(last.saturating_add(1)).min(bytes),
        (Some(first), None) if last.trim().is_empty() => first..bytes,
        (None, Some(suffix)) if first.trim().is_empty() => bytes.saturating_sub(suffix)..bytes,
        _ => return Ok(None),
    };
    if range.start >= range.end { Err(()) } else { Ok(Some(range)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        let range = |text| parse_range(text, 100);
        assert_eq!(range("bytes=0-9"), Ok(Some(0..10)));
        assert_eq!(range("bytes=90-"), Ok(Some(90..100)));
        assert_eq!(range("bytes=-5"), Ok(Some(95..100)));
        assert_eq!(range("bytes=50-999"), Ok(Some(50..100)));
        assert_eq!(range("bytes=0-1,5-6"), Ok(None));
        assert_eq!(range("lines=1-2"), Ok(None));
        assert_eq!(range("bytes=100-"), Err(()));
        assert_eq!(range("bytes=0-18446744073709551615"), Ok(Some(0..100)));
    }
}
