//! What is known of images without any model: how it is told, and their thumbnails.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AnyUser;
use super::content::{Content, Portion};
use super::extract::{self, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::derived::DerivedOut;
use crate::domain::derived::{THUMB_FORMATS, THUMB_SIDES, ThumbFormat};
use crate::domain::fault::{Code, Fault};
use crate::service::Error;
use crate::store::derived::{self, Derived};
use crate::store::images;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(get_image_thumbnail))
}

/// Which thumbnail.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct ThumbnailQuery {
    /// Its longer side in pixels, unless the photograph's own is shorter: 256 or 1024.
    #[param(default = 256, example = 256)]
    size: Option<u32>,
}

/// Sends an image's thumbnail
///
/// Upright, in sRGB, without EXIF: WebP, or JPEG for whoever accepts that rather. For members of a case that holds the image, and administrators. It never changes, but may come
/// to be: `no_thumbnail` says why there is none yet, or ever. Knows ETag and Range.
#[utoipa::path(get, path = "/images/{md5}/thumbnail", tag = "images", security(("user" = []), ("token" = [])),
    params(("md5" = String, Path, example = "9e107d9d372bb6826bd81d3542a419d6"), ThumbnailQuery,
           ("Accept" = Option<String>, Header, description = "`image/jpeg` for JPEG."),
           ("Range" = Option<String>, Header, description = "One range of bytes, as `bytes=0-1023`.")),
    responses((status = 200, content_type = "image/*", body = Vec<u8>, description = "The thumbnail.", example = json!("(bytes)")),
              (status = 206, description = "The range."),
              (status = 304, description = "Not changed; it never does.")))]
async fn get_image_thumbnail(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<ThumbnailQuery>,
    Path(md5): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let md5 = extract::md5(&md5, "path", "/md5")?;
    let side = query.size.unwrap_or(THUMB_SIDES[0]);
    let Some(side) = THUMB_SIDES.iter().position(|one| *one == side) else {
        let [small, large] = THUMB_SIDES;
        return Err(Fault::invalid("query", "/size", format!("size is {side}; it is {small} or {large}.")).into());
    };
    let (ctx, scope) = (&state.ctx, user.scope());
    let (image, known) = ctx
        .db
        .run(async |db| {
            let found =
                images::find(db, md5, scope.as_deref()).await?.ok_or_else(|| Error::from(Fault::not_found("image")))?;
            let known = derived::find(db, found.image.known.id).await?;
            Ok::<_, Error>((found.image.known, known))
        })
        .await?;
    let format = preferred(&headers);
    let Some((at, start, end)) = known.as_ref().and_then(|known| thumbnail(known, side, format)) else {
        return Err(none(known.as_ref()).into());
    };
    let content = Content {
        what: "thumbnail",
        media_type: format.media_type(),
        sha256: &at.sha256,
        blob: at.blob,
        bytes: i64::from(end - start),
        begin: u64::try_from(start).ok(),
    };
    let portion = match content.portion(&headers) {
        Ok(portion) => portion,
        Err(refusal) => return Ok(refusal),
    };
    if portion != Portion::Nothing {
        ctx.acts.viewed(user.account.id, image.id).await?;
    }
    let mut response = content.send(&ctx.blobs, portion).await?;
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(FOR_LONG));
    Ok(response)
}

/// Whoever has it need not ask again; a day, for that he may lose the right to see it.
const FOR_LONG: &str = "private, max-age=86400, immutable";

/// Where a thumbnail lies, and from where to where there.
fn thumbnail(known: &Derived, side: usize, format: ThumbFormat) -> Option<(derived::ThumbsAt, i32, i32)> {
    let (at, ends) = known.thumbs()?;
    let place = side * THUMB_FORMATS.len() + THUMB_FORMATS.iter().position(|one| *one == format)?;
    let start = if place == 0 { 0 } else { *ends.get(place - 1)? };
    Some((at, start, *ends.get(place)?))
}

fn none(known: Option<&Derived>) -> Fault {
    let why = known.and_then(|known| known.error.clone());
    Fault::new(Code::NoThumbnail, why.unwrap_or_else(|| "It has not been made yet.".to_owned()))
}

/// JPEG for whoever accepts it rather than WebP (RFC 9110 §12.5.1), WebP for all others.
fn preferred(headers: &HeaderMap) -> ThumbFormat {
    let accepted: Vec<&str> = headers.get_all(header::ACCEPT).iter().filter_map(|line| line.to_str().ok()).collect();
    let quality = |format: ThumbFormat| {
        let ranges = accepted.iter().flat_map(|line| line.split(',')).filter_map(|range| {
            let mut parts = range.split(';').map(str::trim);
            // The closer a range names it, the more it counts.
            let closeness = [format.media_type(), "image/*", "*/*"]
                .iter()
                .rev()
                .position(|one| parts.clone().next() == Some(*one))?;
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok())?;
            Some((closeness, quality))
        });
        ranges.max_by_key(|(closeness, _)| *closeness).map_or(0.0, |(_, quality)| quality)
    };
    if quality(ThumbFormat::Jpeg) > quality(ThumbFormat::Webp) { ThumbFormat::Jpeg } else { ThumbFormat::Webp }
}

impl From<Derived> for DerivedOut {
    fn from(known: Derived) -> Self {
        Self {
            state: known.state.as_str().to_owned(),
            error: known.error,
            taken_at: known.taken_at.map(|at| at.format("%Y-%m-%dT%H:%M:%S").to_string()),
            camera: known.camera,
            lens: known.lens,
            latitude: known.latitude,
            longitude: known.longitude,
            phash: known.phash.map(|bits| format!("{bits:016x}")),
            placeholder: known.placeholder.map(|bytes| STANDARD.encode(bytes)),
            at: known.at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jpeg_is_for_those_who_ask_for_it() {
        let of = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
            preferred(&headers)
        };
        assert_eq!(preferred(&HeaderMap::new()), ThumbFormat::Webp);
        for accept in [
            "*/*",
            "image/avif,image/webp,*/*;q=0.8",
            "image/*",
            "text/html",
            "image/jpeg, image/webp",
            "image/jpeg;q=0.5, */*",
        ] {
            assert_eq!(of(accept), ThumbFormat::Webp, "{accept}");
        }
        for accept in ["image/jpeg", "image/jpeg, */*;q=0.1", "image/webp;q=0, image/*", "image/webp;q=0.2,image/jpeg"]
        {
            assert_eq!(of(accept), ThumbFormat::Jpeg, "{accept}");
        }
    }
}
