//! Cases and their members.

mod filters;
mod notes;
mod tags;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use tracing::Instrument;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::AnyUser;
use super::extract::{self, Json, NoQuery, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::cases::{CaseOut, CaseReceipt, CreateCase, MemberOut, SetMember, UpdateCase};
use crate::api::page::{Page, Paging};
use crate::domain::case::{NAME_CHARS_MAX, check_label, check_text};
use crate::domain::fault::Fault;
use crate::domain::json;
use crate::service::Error;
use crate::service::cases::{members, records, removal};
use crate::store::cases::members::MemberRecord;
use crate::store::cases::records::CaseChange;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(create_case, list_cases))
        .routes(routes!(get_case, update_case, delete_case))
        .routes(routes!(get_case_receipt))
        .routes(routes!(set_case_member, remove_case_member))
        .merge(tags::router())
        .merge(notes::router())
        .merge(filters::router())
}

/// Makes a case
///
/// Its maker owns it. Nobody is a member of more than 200 cases.
#[utoipa::path(post, path = "/cases", tag = "cases", security(("user" = []), ("token" = [])), request_body = CreateCase,
    responses((status = 201, body = CaseOut, headers(("Location" = String, description = "The case.")))))]
async fn create_case(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Json(new): Json<CreateCase>,
) -> Answer<impl IntoResponse> {
    let description = new.description.unwrap_or_default();
    check(Some(&new.name), Some(&description))?;
    let made = records::create(&state.ctx, &state.accounts, &user, &new.name, &description).await?;
    let location = format!("/cases/{}", made.record.id);
    Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(CaseOut::from(made))))
}

/// Lists cases
///
/// Those that one is a member of, newest first; all for administrators.
#[utoipa::path(get, path = "/cases", tag = "cases", security(("user" = []), ("token" = [])), params(Paging),
    responses((status = 200, body = Page<CaseOut>)))]
async fn list_cases(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<CaseOut>>> {
    let (limit, before) = extract::paging::<Uuid>("cases", &paging)?;
    let found = records::list(&state.ctx, &user, before, limit).await?;
    Ok(Json(extract::page("cases", found, limit, |case| case.record.id)))
}

/// Shows a case
///
/// For its members, and administrators; to others it does not exist.
#[utoipa::path(get, path = "/cases/{id}", tag = "cases", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, body = CaseOut)))]
async fn get_case(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<Json<CaseOut>> {
    Ok(Json(records::find(&state.ctx, &state.accounts, &user, id).await?.into()))
}

/// Changes a case
///
/// For its owners, and administrators. A closed case is read and not changed, until `closed` is false again: 409 `case_closed`.
#[utoipa::path(patch, path = "/cases/{id}", tag = "cases", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    request_body = UpdateCase, responses((status = 200, body = CaseOut)))]
async fn update_case(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path(id): Path<Uuid>,
    Json(change): Json<UpdateCase>,
) -> Answer<Json<CaseOut>> {
    check(change.name.as_deref(), change.description.as_deref())?;
    let change = CaseChange { name: change.name, description: change.description, closed: change.closed };
    Ok(Json(records::update(&state.ctx, &state.accounts, &user, id, &change).await?.into()))
}

fn check(name: Option<&str>, description: Option<&str>) -> Result<(), Fault> {
    name.map_or(Ok(()), |name| check_label(name, NAME_CHARS_MAX)).map_err(|fault| fault.at("body", "/name"))?;
    description.map_or(Ok(()), check_text).map_err(|fault| fault.at("body", "/description"))
}

/// Deletes a case
///
/// For its owners, and administrators. From the answer on nobody sees it, on other servers within 5 s; titles, tags, notes, filters and
/// requests go, and the images that no other case holds, with their results and bytes. A large case goes in the background: ask for the
/// receipt until `done`. A closed one is reopened first.
#[utoipa::path(delete, path = "/cases/{id}", tag = "cases", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, body = CaseReceipt)))]
async fn delete_case(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<Json<CaseReceipt>> {
    // A client that hangs up does not cut it between what is committed and what is told of it.
    let delete = async move { removal::delete(&state.ctx, &state.accounts, &user, id).await };
    Ok(Json(tokio::spawn(delete.in_current_span()).await.map_err(|error| Error::Internal(error.into()))??.into()))
}

/// Shows what went with a case
///
/// For who deleted it, and administrators.
#[utoipa::path(get, path = "/cases/{id}/receipt", tag = "cases", security(("user" = []), ("token" = [])), params(("id" = Uuid, Path)),
    responses((status = 200, body = CaseReceipt)))]
async fn get_case_receipt(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<Json<CaseReceipt>> {
    Ok(Json(removal::receipt(&state.ctx, &user, id).await?.into()))
}

/// Makes an account a member of a case
///
/// Or gives it another role; for owners of the case, and administrators. Other servers know of it within 5 s. The last owner stays one. An
/// account is a member of at most 200 cases, and of at most 50 by one other that is no administrator.
#[utoipa::path(put, path = "/cases/{id}/members/{user}", tag = "cases", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), ("user" = String, Path, example = "ines")), request_body = SetMember,
    responses((status = 200, body = CaseOut)))]
async fn set_case_member(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path((id, name)): Path<(Uuid, String)>,
    Json(member): Json<SetMember>,
) -> Answer<Json<CaseOut>> {
    json::check_text(&name)?;
    Ok(Json(members::set(&state.ctx, &state.accounts, &user, id, &name, member.role).await?.into()))
}

/// Takes a member out of a case
///
/// For owners of the case, and administrators; everybody may leave. Other servers know of it within 5 s. The last owner stays.
#[utoipa::path(delete, path = "/cases/{id}/members/{user}", tag = "cases", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), ("user" = String, Path, example = "ines")), responses((status = 204)))]
async fn remove_case_member(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path((id, name)): Path<(Uuid, String)>,
) -> Answer<StatusCode> {
    json::check_text(&name)?;
    members::remove(&state.ctx, &state.accounts, &user, id, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<records::CaseShown> for CaseOut {
    fn from(shown: records::CaseShown) -> Self {
        let records::CaseShown { record, counted, members, role } = shown;
        Self {
            id: record.id,
            name: record.name,
            description: record.description,
            own: record.own_of.is_some(),
            role,
            images: record.images,
            at_least: record.images == counted,
            members: members.into_iter().map(MemberOut::from).collect(),
            created_at: record.created_at,
            closed_at: record.closed_at,
        }
    }
}

impl From<MemberRecord> for MemberOut {
    fn from(member: MemberRecord) -> Self {
        Self { user: member.name, role: member.role, added_at: member.at }
    }
}

impl From<removal::DeletionReceipt> for CaseReceipt {
    fn from(receipt: removal::DeletionReceipt) -> Self {
        let removal::DeletionReceipt { case, deleted_at, by, removed } = receipt;
        let removal::Removed { titles, images, bytes, tags, notes, done } = removed;
        Self { case, deleted_at, by, titles, images, bytes, tags, notes, done }
    }
}
