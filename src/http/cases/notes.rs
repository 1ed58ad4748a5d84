//! Notes on a case and its images.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::super::auth::AnyUser;
use super::super::extract::{self, Json, NoQuery, Path, Query};
use super::super::problem::Answer;
use super::super::{AppState, Shared};
use crate::api::cases::{CreateNote, NoteOut, NotesQuery};
use crate::api::page::{Page, Paging};
use crate::domain::case::check_text;
use crate::domain::fault::Fault;
use crate::service::cases::notes;
use crate::store::cases::notes::NoteRecord;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_case_notes, add_case_note)).routes(routes!(remove_case_note))
}

/// Lists notes
///
/// On a case and its images, or on one image, newest first. For members of the case, and administrators.
#[utoipa::path(get, path = "/cases/{id}/notes", tag = "cases", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), NotesQuery), responses((status = 200, body = Page<NoteOut>)))]
async fn list_case_notes(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path(id): Path<Uuid>,
    Query(query): Query<NotesQuery>,
) -> Answer<Json<Page<NoteOut>>> {
    let image = query.image.map(|text| extract::md5(&text, "query", "/image")).transpose()?;
    let paging = Paging { limit: query.limit, cursor: query.cursor };
    let (limit, before) = extract::paging::<Uuid>("notes", &paging)?;
    let found = notes::list(&state.ctx, &state.accounts, &user, id, image, before, limit).await?;
    Ok(Json(extract::page("notes", found, limit, |note| note.id)))
}

/// Writes a note
///
/// On a case, or on an image that it holds. For editors of the case, and administrators.
#[utoipa::path(post, path = "/cases/{id}/notes", tag = "cases", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    request_body = CreateNote, responses((status = 201, body = NoteOut)))]
async fn add_case_note(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path(id): Path<Uuid>,
    Json(new): Json<CreateNote>,
) -> Answer<impl IntoResponse> {
    check_text(&new.text).map_err(|fault| fault.at("body", "/text"))?;
    if new.text.trim().is_empty() {
        return Err(Fault::invalid("body", "/text", "The note is empty.").into());
    }
    let image = new.image.map(|text| extract::md5(&text, "body", "/image")).transpose()?;
    let made = notes::add(&state.ctx, &state.accounts, &user, id, image, &new.text).await?;
    Ok((StatusCode::CREATED, Json(NoteOut::from(made))))
}

/// Removes a note
///
/// Editors of the case their own; owners of it, and administrators, any.
#[utoipa::path(delete, path = "/cases/{id}/notes/{note}", tag = "cases", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), ("note" = Uuid, Path)), responses((status = 204)))]
async fn remove_case_note(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path((id, note)): Path<(Uuid, Uuid)>,
) -> Answer<StatusCode> {
    notes::remove(&state.ctx, &state.accounts, &user, id, note).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<NoteRecord> for NoteOut {
    fn from(note: NoteRecord) -> Self {
        Self { id: note.id, image: note.md5.map(hex::encode), user: note.author, text: note.text, created_at: note.at }
    }
}
