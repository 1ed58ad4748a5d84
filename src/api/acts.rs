//! Acts of people over the wire.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

/// Which acts are looked for, and which page of them.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ActsQuery {
    /// Who acted, by the account's name.
    #[param(example = "anna")]
    pub account: Option<String>,
    /// What happened: one code or several, joined by commas, as docs/audit.md has them.
    #[param(example = "member_set,member_removed")]
    pub code: Option<String>,
    /// What was acted upon: an account or case by name or id, an image by its MD5, a key or worker by its id; ids in either case.
    pub subject: Option<String>,
    /// Of this model; of a training set `dataset/` and its name.
    pub model: Option<String>,
    /// Not before this instant.
    pub after: Option<DateTime<Utc>>,
    /// Before this instant.
    pub before: Option<DateTime<Utc>>,
    /// The most items, 1 to 500; 100 when left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
}

/// What somebody did, or what happened by itself to no job.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"at": "2026-11-22T09:00:00Z", "code": "member_set", "account": "anna", "subject_id": "019aac9e-4e3c-7d00-8a11-0c5a2b7f0a5f",
    "subject": "Harbour", "key": null, "worker": null, "model": null, "job": null, "submission": null, "reason": "ben viewer", "count": null, "since": null}))]
pub struct AuditAct {
    pub at: DateTime<Utc>,
    /// What happened, as docs/audit.md has it.
    pub code: String,
    /// Who acted; null where nobody did.
    pub account: Option<String>,
    /// The account, case or image acted upon.
    pub subject_id: Option<String>,
    /// That account's or case's name, or that image's MD5, while it is there.
    pub subject: Option<String>,
    /// The API key that acted, or was acted upon.
    pub key: Option<String>,
    pub worker: Option<Uuid>,
    pub model: Option<String>,
    pub job: Option<Uuid>,
    pub submission: Option<Uuid>,
    /// Why, or what was changed.
    pub reason: Option<String>,
    /// How often, for what is told in sums: from `since` to `at`.
    pub count: Option<i32>,
    pub since: Option<DateTime<Utc>>,
}
