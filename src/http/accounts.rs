//! Log-in and the accounts of people.

use axum::Extension;
use axum::extract::{FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::{AdminUser, AnyUser};
use super::extract::{self, BodyMax, Json, NoQuery, Path, Query};
use super::problem::{Answer, HttpError};
use super::{AppState, Shared};
use crate::api::accounts::{CreateUser, LogOutQuery, LoginForm, TokenOut, UpdateUser, UserOut};
use crate::api::page::{Page, Paging};
use crate::domain::account::check_email;
use crate::domain::address::ClientAddress;
use crate::domain::fault::{Code, Fault};
use crate::domain::json::check_text;
use crate::domain::name::Name;
use crate::service::accounts;
use crate::store;
use crate::store::accounts::Account;

/// The largest log-in form, in bytes: a name and a password, of whoever comes.
const LOGIN_BYTES_MAX: usize = 16 * 1024;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(log_in))
        .layer(Extension(BodyMax(LOGIN_BYTES_MAX)))
        .routes(routes!(log_out))
        .routes(routes!(get_profile))
        .routes(routes!(create_user, list_users))
        .routes(routes!(update_user))
}

/// Logs a user in
///
/// Takes an OAuth2 password form and answers a token for `Authorization: Bearer`. Who sends wrong passwords is slowed: 429, with a Retry-After that grows.
#[utoipa::path(post, path = "/auth/login", tag = "accounts",
    request_body(content = LoginForm, content_type = "application/x-www-form-urlencoded"),
    responses((status = 200, body = TokenOut)))]
async fn log_in(
    State(state): AppState,
    from: ClientAddress,
    _: NoQuery,
    request: Request,
) -> Answer<impl IntoResponse> {
    let request = extract::hold_body(request).await?;
    let form = axum::Form::<LoginForm>::from_request(request, &()).await.map_err(|rejection| {
        let code = match rejection.status() {
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Code::UnsupportedMediaType,
            StatusCode::PAYLOAD_TOO_LARGE => Code::TooLarge,
            StatusCode::UNPROCESSABLE_ENTITY => Code::InvalidField,
            _ => Code::MalformedBody,
        };
        HttpError::from(Fault::new(code, rejection.body_text()).mend("Send a form with `username` and `password`."))
    })?;
    let token = state.accounts.log_in(&form.username, &form.password, from).await?;
    let out = TokenOut { access_token: token.text, token_type: "bearer".into(), expires_in: token.expires_in_s };
    Ok(([(header::CACHE_CONTROL, "no-store")], Json(out)))
}

/// Logs a user out
///
/// The token that is sent stops working: here at once, on other servers within 5 s. With `everywhere` all tokens of the account do.
#[utoipa::path(post, path = "/auth/logout", tag = "accounts", security(("user" = []), ("token" = [])), params(LogOutQuery),
    responses((status = 204)))]
async fn log_out(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<LogOutQuery>,
) -> Answer<StatusCode> {
    state.accounts.log_out(&user, query.everywhere.unwrap_or(false)).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows who one is
///
/// The account of the token, and its roles.
#[utoipa::path(get, path = "/auth/profile", tag = "accounts", security(("user" = []), ("token" = [])), responses((status = 200, body = UserOut)))]
async fn get_profile(AnyUser(user): AnyUser, _: NoQuery) -> Json<UserOut> {
    Json(user.account.into())
}

/// Makes an account
///
/// For administrators. A name that is taken answers 409 `name_taken`.
#[utoipa::path(post, path = "/auth/users", tag = "accounts", security(("user" = []), ("token" = [])), request_body = CreateUser,
    responses((status = 201, body = UserOut)))]
async fn create_user(
    State(state): AppState,
    AdminUser(by): AdminUser,
    Json(new): Json<CreateUser>,
) -> Answer<impl IntoResponse> {
    let name = Name::parse(&new.name).map_err(|why| Fault::invalid("body", "/name", why))?;
    new.email.as_deref().map_or(Ok(()), check_email).map_err(|fault| fault.at("body", "/email"))?;
    let account = state.accounts.create(&by, &name, new.email.as_deref(), new.password, &new.roles).await?;
    Ok((StatusCode::CREATED, Json(UserOut::from(account))))
}

/// Lists the accounts
///
/// For administrators, by name.
#[utoipa::path(get, path = "/auth/users", tag = "accounts", security(("user" = []), ("token" = [])), params(Paging),
    responses((status = 200, body = Page<UserOut>)))]
async fn list_users(State(state): AppState, _: AdminUser, Query(paging): Query<Paging>) -> Answer<Json<Page<UserOut>>> {
    let (limit, after) = extract::paging::<String>("users", &paging)?;
    let ctx = &state.ctx;
    let found = ctx.db.run(async |db| store::accounts::list(db, after.as_deref(), limit).await).await?;
    Ok(Json(extract::page("users", found, limit, |account| account.name.clone())))
}

/// Changes an account
///
/// Administrators change anything of anybody; everybody their own e-mail and password. Who changes the own password sends the present one, too. A new password withdraws all tokens given out before; `DELETE /auth/key` disables one's keys.
#[utoipa::path(patch, path = "/auth/users/{name}", tag = "accounts", security(("user" = []), ("token" = [])),
    params(("name" = String, Path, example = "ines")), request_body = UpdateUser, responses((status = 200, body = UserOut)))]
async fn update_user(
    State(state): AppState,
    AnyUser(by): AnyUser,
    from: ClientAddress,
    Path(name): Path<String>,
    Json(change): Json<UpdateUser>,
) -> Answer<Json<UserOut>> {
    let email = change.email.as_ref().and_then(|email| email.as_deref());
    email.map_or(Ok(()), check_email).map_err(|fault| fault.at("body", "/email"))?;
    check_text(&name)?;
    let wish = accounts::AccountWish {
        email: change.email,
        password: change.password,
        present_password: change.present_password,
        roles: change.roles,
        disabled: change.disabled,
    };
    Ok(Json(state.accounts.update(&by, &name, wish, from).await?.into()))
}

impl From<Account> for UserOut {
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
