//! Who may call: every handler takes one of these in its signature, or is listed as open to anyone.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use subtle::ConstantTimeEq;

use super::Shared;
use super::budget::{Payer, called_by};
use super::problem::HttpError;
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::domain::key::Service;
use crate::service::accounts::User;
use crate::service::keys;
use crate::store::keys::ApiKey;

/// A credential that holds.
pub enum Caller {
    User(User),
    Key(ApiKey),
}

impl FromRequestParts<Shared> for Caller {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, HttpError> {
        let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
        let bearer = bearer(parts);
        let key = header("x-api-key").or_else(|| header("api_key"));
        // A user's token comes first: Swagger UI sends both where both are allowed.
        match (bearer, key) {
            (Some(token), _) if !token.starts_with("dr_") => {
                let user = state.accounts.user(token).await?;
                called_by(Payer::Account(user.account.id));
                Ok(Self::User(user))
            }
            (Some(key), _) | (None, Some(key)) => {
                let key = state.keys.recognise(key).await?;
                called_by(key.owner.map_or_else(|| Payer::Key(key.id.clone()), Payer::Account));
                Ok(Self::Key(key))
            }
            (None, None) => Err(Fault::new(Code::MissingCredential, "The request names no caller.").into()),
        }
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, token) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whoever may read the figures of the whole service: anybody, or who has the token that the operator set for it.
pub struct Onlooker;

impl FromRequestParts<Shared> for Onlooker {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, HttpError> {
        let Some(token) = &state.figures_token else { return Ok(Self) };
        let mend = "Send the token of DARKROOM_FIGURES_TOKEN_FILE as `Authorization: Bearer`.";
        match bearer(parts) {
            Some(sent) if sent.as_bytes().ct_eq(token.as_bytes()).into() => Ok(Self),
            Some(_) => Err(Fault::new(Code::UnknownCredential, "That is not the operator's token.").mend(mend).into()),
            None => Err(Fault::new(Code::MissingCredential, "The operator closed this page.").mend(mend).into()),
        }
    }
}

/// Any user.
pub struct AnyUser(pub User);

impl FromRequestParts<Shared> for AnyUser {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, HttpError> {
        match Caller::from_request_parts(parts, state).await? {
            Caller::User(user) => Ok(Self(user)),
            Caller::Key(_) => {
                Err(Fault::new(Code::WrongService, "This needs a user's token; an API key was sent.").into())
            }
        }
    }
}

/// A microservice.
pub struct Microservice(pub ApiKey);

impl FromRequestParts<Shared> for Microservice {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, HttpError> {
        match Caller::from_request_parts(parts, state).await? {
            Caller::Key(key) => Ok(Self(key)),
            Caller::User(_) => {
                Err(Fault::new(Code::WrongService, "This needs an API key; a user's token was sent.").into())
            }
        }
    }
}

/// Declares an extractor that demands one of some roles.
macro_rules! demands {
    ($(#[$doc:meta] $name:ident: $($role:ident)|+;)+) => {$(
        #[$doc]
        pub struct $name(pub User);

        impl $name {
            /// Refuses who has none of these roles.
            pub fn check(user: &User) -> Result<(), Fault> {
                if $(user.has(Role::$role))||+ {
                    return Ok(());
                }
                let roles = [$(Role::$role.as_str()),+].join(" or ");
                Err(Fault::new(Code::MissingRole, format!("This needs the role {roles}.")))
            }
        }

        impl FromRequestParts<Shared> for $name {
            type Rejection = HttpError;

            async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, HttpError> {
                let AnyUser(user) = AnyUser::from_request_parts(parts, state).await?;
                Self::check(&user)?;
                Ok(Self(user))
            }
        }
    )+};
}

demands! {
    /// An administrator.
    AdminUser: Admin;
    /// An investigator; or a researcher, whose own models the use case knows.
    SubmittingUser: Investigator | Researcher;
    /// A researcher, or an administrator.
    ResearcherUser: Researcher | Admin;
}

/// A microservice with a key for training.
pub struct TrainService(pub ApiKey);

impl FromRequestParts<Shared> for TrainService {
    type Rejection = HttpError;

    async fn from_request_parts(parts: &mut Parts, state: &Shared) -> Result<Self, HttpError> {
        let Microservice(key) = Microservice::from_request_parts(parts, state).await?;
        keys::need_service(&key, Service::Train)?;
        Ok(Self(key))
    }
}
