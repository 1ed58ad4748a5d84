//! Stored images: their records and their bytes.

use axum::extract::State;
use axum::http::{HeaderMap, Method};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{AnyUser, Caller};
use super::content::{Content, Portion};
use super::extract::{self, Json, NoQuery, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::cases::CasePaging;
use crate::api::derived::DerivedOut;
use crate::api::images::{ImageOut, ImageRecordOut};
use crate::api::page::Page;
use crate::domain::fault::Fault;
use crate::domain::image::ContentMd5;
use crate::service::{Ctx, Error, cases};
use crate::store::derived;
use crate::store::images::{self, ImagePlace, ImageRecord, ImagesPage, TaggedRecord};

/// The most results shown with an image's record.
const RESULTS_MAX: i64 = 1000;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_images)).routes(routes!(get_image)).routes(routes!(get_image_content))
}

/// Lists images
///
/// Those that one's cases hold, or the one that is named, newest title first; all for administrators, newest image first. A page may be
/// short, or empty, and not the last: it looks at a bounded number of titles, so follow `next_cursor` until it is null.
#[utoipa::path(get, path = "/images", tag = "images", security(("user" = []), ("token" = [])), params(CasePaging),
    responses((status = 200, body = Page<ImageOut>)))]
async fn list_images(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<CasePaging>,
) -> Answer<Json<Page<ImageOut>>> {
    let (case, paging) = query.parts();
    let (limit, before) = extract::paging::<ImagePlace>("images", &paging)?;
    let ctx = &state.ctx;
    let cases = cases::narrowed(ctx, &state.accounts, &user, case).await?;
    let ImagesPage { images, next } =
        ctx.db.run(async |db| images::list(db, cases.as_deref(), before, limit).await).await?;
    let next_cursor = next.map(|place| extract::write_cursor("images", &place));
    Ok(Json(Page { items: images.into_iter().map(ImageOut::from).collect(), next_cursor }))
}

/// Shows an image's record
///
/// With its tags in the case that it names, what is known of it without any model, and the result of every model and version; `params` is null where only others asked with
/// them. For members of a case that holds the image, and administrators.
#[utoipa::path(get, path = "/images/{md5}", tag = "images", security(("user" = []), ("token" = [])),
    params(("md5" = String, Path, example = "9e107d9d372bb6826bd81d3542a419d6")), responses((status = 200, body = ImageRecordOut)))]
async fn get_image(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(md5): Path<String>,
) -> Answer<Json<ImageRecordOut>> {
    let md5 = extract::md5(&md5, "path", "/md5")?;
    let (ctx, scope) = (&state.ctx, user.scope());
    let (TaggedRecord { image, tags }, derived, (results, more)) = ctx
        .db
        .run(async |db| {
            let found =
                images::find(db, md5, scope.as_deref()).await?.ok_or_else(|| Error::from(Fault::not_found("image")))?;
            let id = found.image.known.id;
            let derived = derived::find(db, id).await?;
            let results = images::results(db, id, scope.as_deref(), RESULTS_MAX).await?;
            Ok::<_, Error>((found, derived, results))
        })
        .await?;
    let derived = derived.map(DerivedOut::from);
    Ok(Json(ImageRecordOut { image: image.into(), tags, derived, results, older_left_out: more }))
}

/// Sends an image's bytes
///
/// For members of a case that holds the image, administrators, and microservices while a job on the image lives whose model they serve.
/// Knows ETag and Range.
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
    let content = Content {
        what: "image",
        media_type: &image.media_type,
        sha256: &image.sha256,
        blob,
        bytes: image.bytes,
        begin: None,
    };
    let portion = match content.portion(&headers) {
        Ok(portion) => portion,
        Err(refusal) => return Ok(refusal),
    };
    if let (Caller::User(user), Method::GET) = (&caller, method)
        && portion != Portion::Nothing
    {
        state.ctx.acts.viewed(user.account.id, image.id).await?;
    }
    content.send(&state.ctx.blobs, portion).await
}

/// The image, if the caller may have its bytes.
async fn image_for(ctx: &Ctx, caller: &Caller, md5: ContentMd5) -> Result<ImageRecord, Error> {
    let image = match caller {
        Caller::User(user) => {
            let found = ctx.db.run(async |db| images::find(db, md5, user.scope().as_deref()).await).await?;
            found.map(|found| found.image)
        }
        Caller::Key(key) => ctx.work.run(async |db| images::find_for_key(db, md5, &key.id).await).await?,
    };
    image.ok_or_else(|| Fault::not_found("image").into())
}

impl From<ImageRecord> for ImageOut {
    fn from(i: ImageRecord) -> Self {
        Self {
            url: format!("/images/{}/content", i.known.md5),
            md5: i.known.md5.to_string(),
            sha256: hex::encode(i.known.sha256),
            name: i.name,
            case: i.case_id,
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
