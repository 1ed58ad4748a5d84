//! Exports: what is taken away of cases.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::AnyUser;
use super::content::{Content, Portion};
use super::extract::{self, Json, NoQuery, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::cases::CasePaging;
use crate::api::exports::{CreateExport, ExportOut};
use crate::api::page::Page;
use crate::service::accounts::User;
use crate::service::{Result, exports};
use crate::store::exports::ExportRecord;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(create_export, list_exports))
        .routes(routes!(get_export, remove_export))
        .routes(routes!(get_export_content))
}

/// Asks for an export
///
/// Of the images of a case, or of those that fit a filter, with all that is told of them. For members of the case, closed or not, and
/// administrators. It is made in the background, of what may be seen then: ask for it until it has ended, and fetch its content. It goes by
/// itself, after a day where nothing else is set. An account has at most 20, a case 50, and an export 250,000 images.
#[utoipa::path(post, path = "/exports", tag = "exports", security(("user" = []), ("token" = [])), request_body = CreateExport,
    responses((status = 201, body = ExportOut, headers(("Location" = String, description = "The export.")))))]
async fn create_export(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Json(ask): Json<CreateExport>,
) -> Answer<impl IntoResponse> {
    let filter = ask.q.unwrap_or_default();
    let made = exports::create(&state.ctx, &state.accounts, &user, ask.case, filter.trim(), ask.format).await;
    let made = made.map_err(|error| error.within("body"))?;
    let location = format!("/exports/{}", made.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(ExportOut::from(made))))
}

/// Lists exports
///
/// One's own of cases that one is a member of, and everybody's of cases that one owns, newest first; all for administrators.
#[utoipa::path(get, path = "/exports", tag = "exports", security(("user" = []), ("token" = [])), params(CasePaging),
    responses((status = 200, body = Page<ExportOut>)))]
async fn list_exports(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<CasePaging>,
) -> Answer<Json<Page<ExportOut>>> {
    let (case, paging) = query.parts();
    let (limit, before) = extract::paging::<Uuid>("exports", &paging)?;
    Ok(Json(page(&state, &user, case, before, limit).await?))
}

/// A page of the list, as the user sees it.
pub(super) async fn page(
    state: &Shared,
    user: &User,
    case: Option<Uuid>,
    before: Option<Uuid>,
    limit: i64,
) -> Result<Page<ExportOut>> {
    let found = exports::list(&state.ctx, &state.accounts, user, case, before, limit).await?;
    Ok(extract::page("exports", found, limit, |export| export.id))
}

/// Shows an export
///
/// How far it is. For who asked for it, while a member of its case, owners of the case, and administrators.
#[utoipa::path(get, path = "/exports/{id}", tag = "exports", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, body = ExportOut)))]
async fn get_export(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<Json<ExportOut>> {
    Ok(Json(exports::find(&state.ctx, &state.accounts, &user, id).await?.into()))
}

/// Removes an export
///
/// Its bytes go with it; one that is still being made is given up. For who asked for it, while a member of its case, owners of the case,
/// and administrators.
#[utoipa::path(delete, path = "/exports/{id}", tag = "exports", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 204)))]
async fn remove_export(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<StatusCode> {
    exports::remove(&state.ctx, &state.accounts, &user, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends an export's bytes
///
/// Once it has succeeded; before, and if it failed: 409 `export_not_ready`. Knows ETag, Range and If-Range, so that a download that broke
/// off goes on where it was. For who asked for it, while a member of its case, owners of the case, and administrators.
#[utoipa::path(get, path = "/exports/{id}/content", tag = "exports", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), ("Range" = Option<String>, Header, description = "One range of bytes, as `bytes=0-1023`.")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>, description = "The file.", example = json!("(bytes)")),
              (status = 206, description = "The range."), (status = 304, description = "Not changed; it never does.")))]
async fn get_export_content(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
    method: Method,
    headers: HeaderMap,
) -> Answer<Response> {
    let (export, at) = exports::fetchable(&state.ctx, &state.accounts, &user, id).await?;
    let content = Content {
        what: "export",
        media_type: export.format.media_type(),
        sha256: &at.sha256,
        blob: at.blob,
        bytes: at.bytes,
        begin: None,
    };
    let portion = match content.portion(&headers) {
        Ok(portion) => portion,
        Err(refusal) => return Ok(refusal),
    };
    let from_begin = match &portion {
        Portion::Nothing => None,
        Portion::Whole => Some(true),
        Portion::Part(range) => Some(range.start == 0),
    };
    if let Some(from_begin) = from_begin.filter(|_| method == Method::GET) {
        exports::tell_fetched(&state.ctx, &user, &export, from_begin).await?;
    }
    let mut response = content.send(&state.ctx.blobs, portion).await?;
    // Who is put out of the case is not to find it in a browser's cache.
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Ok(named) = HeaderValue::try_from(format!("attachment; filename=\"{}\"", file_name(&export))) {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, named);
    }
    Ok(response)
}

/// What a browser saves it as: nothing of it was named by anybody.
fn file_name(export: &ExportRecord) -> String {
    let id = export.id.simple().to_string();
    let day = export.created_at.format("%Y-%m-%d");
    format!("darkroom-{day}-{}.{}", &id[24..], export.format.extension())
}

impl From<ExportRecord> for ExportOut {
    fn from(export: ExportRecord) -> Self {
        Self {
            id: export.id,
            case: export.case_id,
            by: export.by,
            q: export.filter,
            format: export.format,
            state: export.state,
            images: export.images,
            images_done: export.images_done,
            bytes: export.bytes,
            sha256: export.sha256.map(hex::encode),
            error: export.error,
            created_at: export.created_at,
            finished_at: export.finished_at,
            expires_at: export.expires_at,
        }
    }
}
