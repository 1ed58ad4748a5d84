//! Stored images: their records and their bytes.

use std::ops::Range;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use chrono::{DateTime, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{AnyUser, Caller};
use super::extract::{self, Json, NoQuery, Path, Query};
use super::problem::{Answer, HttpError};
use super::{AppState, Shared};
use crate::api::images::{ImageOut, ImageRecordOut};
use crate::api::page::{Page, Paging};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::service::{Ctx, Error};
use crate::store::images::{self, ImageRecord, KnownImage};

/// The most results shown with an image's record.
const RESULTS_MAX: i64 = 1000;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_images)).routes(routes!(get_image)).routes(routes!(get_image_content))
}

/// Lists images
///
/// One's own, newest title first; everybody's for administrators, newest image first.
#[utoipa::path(get, path = "/images", tag = "images", security(("user" = []), ("token" = [])), params(Paging),
    responses((status = 200, body = Page<ImageOut>)))]
async fn list_images(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<ImageOut>>> {
    let (limit, before) = extract::paging::<(DateTime<Utc>, i64)>("images", &paging)?;
    let ctx = &state.ctx;
    let found = ctx.db.run(async |db| images::list(db, user.scope(), before, limit).await).await?;
    Ok(Json(extract::page("images", found, limit, |image| (image.uploaded_at, image.known.id))))
}

/// Shows an image's record
///
/// With the result of every model and version; `params` is null where only others asked with them. For whoever uploaded the bytes, and administrators.
#[utoipa::path(get, path = "/images/{md5}", tag = "images", security(("user" = []), ("token" = [])),
    params(("md5" = String, Path, example = "9e107d9d372bb6826bd81d3542a419d6")), responses((status = 200, body = ImageRecordOut)))]
async fn get_image(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(md5): Path<String>,
) -> Answer<Json<ImageRecordOut>> {
    let md5 = extract::md5(&md5, "path", "/md5")?;
    let ctx = &state.ctx;
    let (image, (results, more)) = ctx
        .db
        .run(async |db| {
            let image =
                images::find(db, md5, user.scope()).await?.ok_or_else(|| Error::from(Fault::not_found("image")))?;
            let results = images::results(db, image.known.id, user.scope(), RESULTS_MAX).await?;
            Ok::<_, Error>((image, results))
        })
        .await?;
    Ok(Json(ImageRecordOut { image: image.into(), results, older_left_out: more }))
}

/// Sends an image's bytes
///
/// For whoever uploaded them, administrators, and microservices while a job on the image lives whose model they serve. Knows ETag and Range.
#[utoipa::path(get, path = "/images/{md5}/content", tag = "images", security(("user" = []), ("token" = []), ("key" = [])),
    params(("md5" = String, Path, example = "9e107d9d372bb6826bd81d3542a419d6"),
           ("Range" = Option<String>, Header, description = "One range of bytes, as `bytes=0-1023`.")),
    responses((status = 200, content_type = "image/*", body = Vec<u8>, description = "The bytes as they were uploaded.", example = json!("(bytes)")),
              (status = 206, description = "The range."), (status = 304, description = "Not changed; it never does.")))]
async fn get_image_content(
    State(state): AppState,
    caller: Caller,
    _: NoQuery,
    Path(md5): Path<String>,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let md5 = extract::md5(&md5, "path", "/md5")?;
    let ImageRecord { known: image, blob, .. } = image_for(&state.ctx, &caller, md5).await?;
    let bytes = u64::try_from(image.bytes).unwrap_or_default();
    let portion = match portion(&headers, &image) {
        Ok(portion) => portion,
        Err(fault) => {
            let length = [(header::CONTENT_RANGE, format!("bytes */{bytes}"))];
            return Ok((length, HttpError::from(fault)).into_response());
        }
    };
    let (status, range) = match portion {
        Portion::Nothing => return Ok((StatusCode::NOT_MODIFIED, about(&image)).into_response()),
        Portion::Whole => (StatusCode::OK, 0..bytes),
        Portion::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
    };
    let part = (status == StatusCode::PARTIAL_CONTENT).then(|| range.clone());
    let shown = part.as_ref().map(|r| (header::CONTENT_RANGE, format!("bytes {}-{}/{bytes}", r.start, r.end - 1)));
    let length = (header::CONTENT_LENGTH, (range.end - range.start).to_string());
    if let (Caller::User(user), Method::GET) = (&caller, method) {
        state.ctx.acts.viewed(user.account.id, image.id).await?;
    }
    let stream = state.ctx.blobs.read(&image.sha256, blob, part).await.map_err(Error::from)?;
    let headers = AppendHeaders(shown.into_iter().chain([length]));
    Ok((status, about(&image), headers, Body::from_stream(stream)).into_response())
}

/// The image, if the caller may have its bytes.
async fn image_for(ctx: &Ctx, caller: &Caller, md5: ContentMd5) -> Result<ImageRecord, Error> {
    let image = match caller {
        Caller::User(user) => ctx.db.run(async |db| images::find(db, md5, user.scope()).await).await?,
        Caller::Key(key) => ctx.work.run(async |db| images::find_for_key(db, md5, &key.id).await).await?,
    };
    image.ok_or_else(|| Fault::not_found("image").into())
}

fn etag(image: &KnownImage) -> String {
    format!("\"{}\"", hex::encode(&image.sha256))
}

/// The headers of an image's bytes, sent or not.
fn about(image: &KnownImage) -> [(header::HeaderName, String); 6] {
    [
        (header::ETAG, etag(image)),
        (header::ACCEPT_RANGES, "bytes".to_owned()),
        (header::CACHE_CONTROL, "private, max-age=3600".to_owned()),
        (header::CONTENT_TYPE, image.media_type.clone()),
        // Bytes of strangers must never run as a page of ours.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".to_owned()),
    ]
}

/// What of an image's bytes a request is to be sent.
enum Portion {
    /// It has them.
    Nothing,
    Whole,
    Part(Range<u64>),
}

fn portion(headers: &HeaderMap, image: &KnownImage) -> Result<Portion, Fault> {
    let asked = |name| headers.get(name).and_then(|v: &header::HeaderValue| v.to_str().ok());
    let etag = etag(image);
    if asked(header::IF_NONE_MATCH).is_some_and(|tags| tags == "*" || tags.contains(&etag)) {
        return Ok(Portion::Nothing);
    }
    let range = match asked(header::RANGE) {
        // Part of other bytes would not fit to what the client has.
        Some(range) if asked(header::IF_RANGE).is_none_or(|tag| tag == etag) => {
            parse_range(range, u64::try_from(image.bytes).unwrap_or_default())?
        }
        _ => None,
    };
    Ok(range.map_or(Portion::Whole, Portion::Part))
}

/// One range of RFC 9110 §14.1.2; other units and several ranges are ignored, as it allows.
fn parse_range(text: &str, bytes: u64) -> Result<Option<Range<u64>>, Fault> {
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
    if range.start >= range.end {
        return Err(Fault::new(Code::RangeNotSatisfiable, format!("The image has {bytes} bytes.")));
    }
    Ok(Some(range))
}

impl From<ImageRecord> for ImageOut {
    fn from(i: ImageRecord) -> Self {
        Self {
            url: format!("/images/{}/content", i.known.md5),
            md5: i.known.md5.to_string(),
            sha256: hex::encode(i.known.sha256),
            name: i.name,
            bytes: i.known.bytes,
            media_type: i.known.media_type,
            width: i.known.width,
            height: i.known.height,
            frames: i.frames,
            orientation: i.known.orientation,
            warnings: i.warnings,
            uploaded_at: i.uploaded_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_the_rfc() {
        let range = |text| parse_range(text, 100).map_err(|f| f.code);
        assert_eq!(range("bytes=0-9"), Ok(Some(0..10)));
        assert_eq!(range("bytes=90-"), Ok(Some(90..100)));
        assert_eq!(range("bytes=-5"), Ok(Some(95..100)));
        assert_eq!(range("bytes=50-999"), Ok(Some(50..100)));
        assert_eq!(range("bytes=0-1,5-6"), Ok(None));
        assert_eq!(range("lines=1-2"), Ok(None));
        assert_eq!(range("bytes=100-"), Err(Code::RangeNotSatisfiable));
        assert_eq!(range("bytes=0-18446744073709551615"), Ok(Some(0..100)));
    }
}
