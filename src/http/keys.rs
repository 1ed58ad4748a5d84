//! API keys of microservices.

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{AnyUser, ResearcherUser};
use super::extract::{self, Json, NoQuery, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::keys::{CreateKey, CreatedKey, DisabledKeys, Key};
use crate::api::page::{Page, Paging};
use crate::domain::fault::Fault;
use crate::domain::json::check_text;
use crate::domain::name::Glob;
use crate::domain::text::check_line;
use crate::service::{Error, keys};
use crate::store;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(create_key, list_keys, disable_own_keys)).routes(routes!(disable_key))
}

/// The most globs of one key.
const GLOBS_MAX: usize = 100;

/// Makes an API key
///
/// For researchers and administrators. The answer is the only place that ever shows the key. A researcher's key reaches unknown models and the researcher's own.
#[utoipa::path(post, path = "/auth/key", tag = "accounts", security(("user" = []), ("token" = [])), request_body = CreateKey,
    responses((status = 201, body = CreatedKey)))]
async fn create_key(
    State(state): AppState,
    ResearcherUser(user): ResearcherUser,
    Json(new): Json<CreateKey>,
) -> Answer<impl IntoResponse> {
    if new.models.is_empty() || new.models.len() > GLOBS_MAX {
        return Err(Fault::invalid("body", "/models", format!("A key has 1 to {GLOBS_MAX} globs.")).into());
    }
    let models = new
        .models
        .iter()
        .enumerate()
        .map(|(index, glob)| Glob::parse(glob).map_err(|why| Fault::invalid("body", format!("/models/{index}"), why)))
        .collect::<Result<_, _>>()?;
    if let Some(detail) = &new.detail {
        check_line(detail).map_err(|fault| fault.at("body", "/detail"))?;
        if detail.chars().count() > 500 {
            return Err(Fault::invalid("body", "/detail", "A detail has at most 500 characters.").into());
        }
    }
    let wish = keys::KeyWish {
        service: new.service,
        models,
        owner: new.owner,
        detail: new.detail,
        expires_at: new.expires_at,
    };
    let (key, text) = state.keys.create(&user, &wish).await?;
    let out = CreatedKey { key: text.reveal(), about: key.into() };
    Ok((StatusCode::CREATED, [(header::CACHE_CONTROL, "no-store")], Json(out)))
}

/// Lists API keys
///
/// One's own, newest first; everybody's for administrators. Never their secrets.
#[utoipa::path(get, path = "/auth/key", tag = "accounts", security(("user" = []), ("token" = [])), params(Paging),
    responses((status = 200, body = Page<Key>)))]
async fn list_keys(
    State(state): AppState,
    ResearcherUser(user): ResearcherUser,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<Key>>> {
    let (limit, before) = extract::paging::<(DateTime<Utc>, String)>("keys", &paging)?;
    let ctx = &state.ctx;
    let found = ctx
        .db
        .run(async |db| {
            let before = before.as_ref().map(|(at, id)| (*at, id.as_str()));
            Ok::<_, Error>(store::keys::list(db, user.owner(), before, limit).await?)
        })
        .await?;
    Ok(Json(extract::page("keys", found, limit, |key| (key.created_at, key.id.clone()))))
}

/// Disables all one's API keys
///
/// As after a theft. The rows stay for the audit; the keys stop working within seconds, and what their workers hold goes to others.
#[utoipa::path(delete, path = "/auth/key", tag = "accounts", security(("user" = []), ("token" = [])),
    responses((status = 200, body = DisabledKeys)))]
async fn disable_own_keys(State(state): AppState, AnyUser(user): AnyUser, _: NoQuery) -> Answer<Json<DisabledKeys>> {
    Ok(Json(DisabledKeys { disabled: state.keys.disable_all(&user).await? }))
}

/// Disables an API key
///
/// Its owner or an administrator. The row stays for the audit; the key stops working within seconds.
#[utoipa::path(delete, path = "/auth/key/{id}", tag = "accounts", security(("user" = []), ("token" = [])),
    params(("id" = String, Path, example = "a1b2c3d4e5f6")), responses((status = 204)))]
async fn disable_key(
    State(state): AppState,
    ResearcherUser(user): ResearcherUser,
    _: NoQuery,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    check_text(&id)?;
    state.keys.disable(&user, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

impl From<store::keys::ApiKey> for Key {
    fn from(k: store::keys::ApiKey) -> Self {
        Self {
            id: k.id,
            service: k.service,
            models: k.models,
            owner: k.owner_name,
            detail: k.detail,
            created_at: k.created_at,
            expires_at: k.expires_at,
            disabled_at: k.disabled_at,
            last_used_at: k.last_used_at,
        }
    }
}
