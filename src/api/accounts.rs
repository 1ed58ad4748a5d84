//! Log-in and accounts.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::patch_field;
use crate::domain::account::Role;

/// A name and password, as an OAuth2 password form.
#[derive(Deserialize, ToSchema)]
#[schema(example = json!({"grant_type": "password", "username": "ines", "password": "correct horse battery"}))]
pub struct LoginForm {
    #[schema(default = "password")]
    pub grant_type: Option<String>,
    pub username: String,
    #[schema(format = Password)]
    pub password: String,
    pub scope: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<String>,
}

/// A token.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"access_token": "eyJ…", "token_type": "bearer", "expires_in": 43200}))]
pub struct TokenOut {
    pub access_token: String,
    pub token_type: Cow<'static, str>,
    /// Seconds.
    pub expires_in: i64,
}

/// How far one logs out.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct LogOutQuery {
    /// End all tokens of the account; false when left out.
    pub everywhere: Option<bool>,
}

/// An account.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "019aac9e-0000-7000-8000-000000000001", "name": "ines", "email": null, "roles": ["investigator"],
    "created_at": "2026-11-22T09:00:00Z", "disabled_at": null}))]
#[schema(as = User)]
pub struct UserOut {
    pub id: Uuid,
    pub name: String,
    pub email: Option<String>,
    pub roles: Vec<Role>,
    pub created_at: DateTime<Utc>,
    /// Null while the account is enabled.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// A new account.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"name": "ines", "password": "correct horse battery", "roles": ["investigator"], "email": "ines@example.org"}))]
pub struct CreateUser {
    #[schema(pattern = "^[a-z0-9][a-z0-9_.-]{0,63}$")]
    pub name: String,
    /// At most 1,024 bytes.
    #[schema(format = Password, min_length = 8)]
    pub password: String,
    pub roles: Vec<Role>,
    #[schema(pattern = "@", max_length = 254)]
    pub email: Option<String>,
}

/// A change of an account; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"roles": ["investigator", "researcher"], "disabled": false}))]
pub struct UpdateUser {
    /// Null removes it.
    #[serde(default, deserialize_with = "patch_field")]
    #[schema(value_type = Option<String>, pattern = "@", max_length = 254)]
    pub email: Option<Option<String>>,
    /// Withdraws all tokens given out before.
    #[schema(format = Password, min_length = 8)]
    pub password: Option<String>,
    /// The password by now, where one changes one's own.
    #[schema(format = Password)]
    pub present_password: Option<String>,
    /// For administrators.
    pub roles: Option<Vec<Role>>,
    /// For administrators; its tokens and keys stop working within seconds.
    pub disabled: Option<bool>,
}
