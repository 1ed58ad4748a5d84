//! Log-in and the accounts of people.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::auth::{AdminUser, AnyUser};
use super::extract::{self, Json, Page, Path, Query};
use super::problem::{Answer, Problem, Problems};
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::domain::json::check_text;
use crate::domain::name::Name;
use crate::service::{Error, accounts};
use crate::store;
use crate::store::accounts::Account;

pub fn router() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(log_in))
        .routes(routes!(get_profile))
        .routes(routes!(create_user, list_users))
        .routes(routes!(update_user))
}

/// A name and password, as an OAuth2 password form.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"grant_type": "password", "username": "ines", "password": "correct horse battery"}))]
struct LoginForm {
    #[serde(rename = "grant_type")]
    #[schema(default = "password")]
    _grant_type: Option<String>,
    username: String,
    #[schema(format = Password)]
    password: String,
    #[serde(rename = "scope")]
    _scope: Option<String>,
    #[serde(rename = "client_id")]
    _client_id: Option<String>,
    #[serde(rename = "client_secret")]
    _client_secret: Option<String>,
}

/// A token.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"access_token": "eyJ…", "token_type": "bearer", "expires_in": 43200}))]
struct TokenOut {
    access_token: String,
    token_type: &'static str,
    /// Seconds.
    expires_in: i64,
}

/// Logs a user in
///
/// Takes an OAuth2 password form and answers a token for `Authorization: Bearer`. Too many wrong passwords for one name are answered with 429.
#[utoipa::path(post, path = "/auth/login", tag = "accounts",
    request_body(content = LoginForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = TokenOut), Problems))]
async fn log_in(State(state): State<Arc<AppState>>, request: Request) -> Answer<impl IntoResponse> {
    let peer =
        request.extensions().get::<ConnectInfo<SocketAddr>>().map_or("local".to_owned(), |c| c.0.ip().to_string());
    let form = axum::Form::<LoginForm>::from_request(request, &()).await.map_err(|rejection| {
        let code = match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            StatusCode::UNPROCESSABLE_ENTITY => Code::InvalidField,
            _ => Code::MalformedBody,
        };
        Problem::from(Fault::new(code, rejection.body_text()).mend("Send a form with `username` and `password`."))
    })?;
    let token = accounts::log_in(&state.ctx, &form.username, &form.password, &peer).await?;
    let out = TokenOut { access_token: token.text, token_type: "bearer", expires_in: token.expires_in_s };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(out)))
}

/// An account.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-0000-7000-8000-000000000001", "name": "ines", "email": null, "roles": ["investigator"],
    "created_at": "2026-11-22T09:00:00Z", "disabled_at": null}))]
struct User {
    id: uuid::Uuid,
    name: String,
    email: Option<String>,
    roles: Vec<Role>,
    created_at: DateTime<Utc>,
    /// Null while the account is enabled.
    disabled_at: Option<DateTime<Utc>>,
}

impl From<Account> for User {
    fn from(a: Account) -> Self {
        Self {
            id: a.id,
            name: a.name,
            email: a.email,
            roles: a.roles,
            created_at: a.created_at,
            disabled_at: a.disabled_at,
        }
    }
}

/// Shows who one is
///
/// The account of the token, and its roles.
#[utoipa::path(get, path = "/auth/profile", tag = "accounts", security(("user" = []), ("token" = [])), responses((status = 200, body = User), Problems))]
async fn get_profile(AnyUser(user): AnyUser) -> Json<User> {
    Json(user.account.into())
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "ines", "password": "correct horse battery", "roles": ["investigator"], "email": "ines@example.org"}))]
struct CreateUser {
    /// `[a-z0-9][a-z0-9_.-]{0,63}`
    name: String,
    /// At least 8 characters.
    #[schema(format = Password)]
    password: String,
    roles: Vec<Role>,
    email: Option<String>,
}

/// Makes an account
///
/// For administrators. A name that is taken answers 409 `name_taken`.
#[utoipa::path(post, path = "/auth/users", tag = "accounts", security(("user" = []), ("token" = [])), request_body = CreateUser,
    responses((status = 201, body = User), Problems))]
async fn create_user(
    State(state): State<Arc<AppState>>,
    AdminUser(by): AdminUser,
    Json(new): Json<CreateUser>,
) -> Answer<impl IntoResponse> {
    let name = Name::parse(&new.name).map_err(|why| Fault::invalid("body", "/name", why))?;
    check_email(new.email.as_deref())?;
    let account = accounts::create(&state.ctx, &by, &name, new.email.as_deref(), new.password, &new.roles).await?;
    Ok((StatusCode::CREATED, Json(User::from(account))))
}

fn check_email(email: Option<&str>) -> Result<(), Fault> {
    let Some(email) = email else { return Ok(()) };
    check_text(email)?;
    if email.len() <= 254 && email.contains('@') {
        return Ok(());
    }
    Err(Fault::invalid("body", "/email", "An e-mail address has an @ and at most 254 bytes."))
}

/// How a list is paged.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// The most items, 1 to 500; 100 when left out.
    limit: Option<i64>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

impl Paging {
    /// The checked size of the page, and the unpacked cursor.
    pub fn read<K: serde::de::DeserializeOwned>(&self) -> Result<(i64, Option<K>), Fault> {
        Ok((extract::limit(self.limit)?, extract::read_cursor(self.cursor.as_deref())?))
    }
}

/// Lists the accounts
///
/// For administrators, by name.
#[utoipa::path(get, path = "/auth/users", tag = "accounts", security(("user" = []), ("token" = [])), params(Paging),
    responses((status = 200, body = Page<User>), Problems))]
async fn list_users(
    State(state): State<Arc<AppState>>,
    _: AdminUser,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<User>>> {
    let (limit, after) = paging.read::<String>()?;
    let ctx = &state.ctx;
    let found = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            Ok::<_, Error>(store::accounts::list(&mut db, after.as_deref(), limit).await?)
        })
        .await?;
    Ok(Json(Page::new(found.into_iter().map(User::from).collect(), limit, |user| user.name.clone())))
}

/// A change of an account; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"roles": ["investigator", "researcher"], "disabled": false}))]
struct UpdateUser {
    /// Null removes it.
    #[serde(default, deserialize_with = "extract::patch_field")]
    #[schema(value_type = Option<String>)]
    email: Option<Option<String>>,
    /// Withdraws all tokens given out before.
    #[schema(format = Password)]
    password: Option<String>,
    /// For administrators.
    roles: Option<Vec<Role>>,
    /// For administrators; its tokens and keys stop working within seconds.
    disabled: Option<bool>,
}

/// Changes an account
///
/// Administrators change anything of anybody; everybody their own e-mail and password.
#[utoipa::path(patch, path = "/auth/users/{name}", tag = "accounts", security(("user" = []), ("token" = [])),
    params(("name" = String, Path, example = "ines")), request_body = UpdateUser, responses((status = 200, body = User), Problems))]
async fn update_user(
    State(state): State<Arc<AppState>>,
    AnyUser(by): AnyUser,
    Path(name): Path<String>,
    Json(change): Json<UpdateUser>,
) -> Answer<Json<User>> {
    check_email(change.email.as_ref().and_then(|e| e.as_deref()))?;
    check_text(&name)?;
    let wish = accounts::Wish {
        email: change.email,
        password: change.password,
        roles: change.roles,
        disabled: change.disabled,
    };
    Ok(Json(accounts::update(&state.ctx, &by, &name, wish).await?.into()))
}
