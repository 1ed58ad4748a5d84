//! Filters saved in a case.

use axum::extract::State;
use axum::http::StatusCode;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::super::auth::AnyUser;
use super::super::extract::{Json, NoQuery, Path};
use super::super::problem::Answer;
use super::super::{AppState, Shared};
use crate::api::cases::{SaveFilter, SavedFilter};
use crate::api::page::Page;
use crate::domain::case::{FILTER_CHARS_MAX, LABEL_CHARS_MAX, check_label};
use crate::domain::fault::Fault;
use crate::domain::filter::SearchFilter;
use crate::service::cases::filters;
use crate::store::cases::filters::FilterRecord;

pub(super) fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(list_case_filters)).routes(routes!(save_case_filter, remove_case_filter))
}

/// Lists saved filters
///
/// By name. For members of the case, and administrators.
#[utoipa::path(get, path = "/cases/{id}/filters", tag = "cases", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, body = Page<SavedFilter>)))]
async fn list_case_filters(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<Json<Page<SavedFilter>>> {
    let found = filters::list(&state.ctx, &state.accounts, &user, id).await?;
    Ok(Json(Page { items: found.into_iter().map(SavedFilter::from).collect(), next_cursor: None }))
}

/// Saves a filter
///
/// Under a name, in place of the one that it had. A filter that does not hold is refused with the character at which it is wrong. For editors of the case, and administrators.
#[utoipa::path(put, path = "/cases/{id}/filters/{name}", tag = "cases", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), ("name" = String, Path, example = "people at the beach")), request_body = SaveFilter,
    responses((status = 204)))]
async fn save_case_filter(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path((id, name)): Path<(Uuid, String)>,
    Json(ask): Json<SaveFilter>,
) -> Answer<StatusCode> {
    check_name(&name)?;
    check_label(&ask.filter, FILTER_CHARS_MAX).map_err(|fault| fault.at("body", "/filter"))?;
    // One that is wrong would be of no use to whoever opens it.
    SearchFilter::parse(&ask.filter).map_err(|flaw| flaw.fault("/filter").within("body"))?;
    filters::save(&state.ctx, &state.accounts, &user, id, &name, &ask.filter).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Removes a saved filter
///
/// For editors of the case, and administrators.
#[utoipa::path(delete, path = "/cases/{id}/filters/{name}", tag = "cases", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), ("name" = String, Path, example = "people at the beach")), responses((status = 204)))]
async fn remove_case_filter(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path((id, name)): Path<(Uuid, String)>,
) -> Answer<StatusCode> {
    check_name(&name)?;
    filters::remove(&state.ctx, &state.accounts, &user, id, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn check_name(name: &str) -> Result<(), Fault> {
    check_label(name, LABEL_CHARS_MAX).map_err(|fault| fault.at("path", "/name"))
}

impl From<FilterRecord> for SavedFilter {
    fn from(saved: FilterRecord) -> Self {
        Self { name: saved.name, filter: saved.filter, user: saved.author, saved_at: saved.at }
    }
}
