//! API keys of microservices.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{GlobText, NAMES_MAX, at_most};
use crate::domain::key::Service;

/// A new API key.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"service": "predict", "models": ["face_*"], "detail": "the face detector on gpu1", "expires_at": null}))]
pub struct CreateKey {
    pub service: Service,
    /// Globs of model names (of dataset names for `train`); they may name models not yet known.
    #[serde(deserialize_with = "at_most::<NAMES_MAX, _, _>")]
    #[schema(value_type = Vec<GlobText>, min_items = 1, max_items = 100)]
    pub models: Vec<String>,
    /// Another account's name, for administrators.
    pub owner: Option<String>,
    /// What it is for.
    #[schema(max_length = 500)]
    pub detail: Option<String>,
    pub expires_at: Option<DateTime<Utc>>,
}

/// An API key, without its secret.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"id": "a1b2c3d4e5f6", "service": "predict", "models": ["face_*"], "owner": "rosa", "detail": "the face detector on gpu1",
    "created_at": "2026-11-22T09:00:00Z", "expires_at": null, "disabled_at": null, "last_used_at": null}))]
pub struct Key {
    pub id: String,
    pub service: Service,
    pub models: Vec<String>,
    /// Null for keys that came with the installation.
    pub owner: Option<String>,
    pub detail: Option<String>,
    pub created_at: DateTime<Utc>,
    pub expires_at: Option<DateTime<Utc>>,
    pub disabled_at: Option<DateTime<Utc>>,
    /// When it was last used, to a minute.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// A new API key, with its text, shown this once.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"key": "dr_a1b2c3d4e5f6_…", "id": "a1b2c3d4e5f6", "service": "predict", "models": ["face_*"], "owner": "rosa",
    "detail": null, "created_at": "2026-11-22T09:00:00Z", "expires_at": null, "disabled_at": null, "last_used_at": null}))]
#[schema(as = NewKey)]
pub struct CreatedKey {
    /// Keep it: only its hash is stored.
    pub key: String,
    #[serde(flatten)]
    pub about: Key,
}

/// What became of one's keys.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"disabled": 3}))]
pub struct DisabledKeys {
    /// How many were not disabled before.
    pub disabled: usize,
}
