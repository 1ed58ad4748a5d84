//! Models and the levers their owners have.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::domain::ruling::RetryPolicy;
use crate::domain::version::ServedBy;

/// Which models to list.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ModelsQuery {
    /// The most items, 1 to 500; 100 when left out.
    pub limit: Option<i64>,
    /// `next_cursor` of the page before.
    pub cursor: Option<String>,
    /// Whether to list retired ones too.
    pub retired: Option<bool>,
}

/// A model.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"name": "face_detect", "description": "Frontal faces", "owner": "rosa", "tags": ["faces"], "labels": ["face"], "params_schema": null, "result_schema": null,
    "versions": ["haar-1"], "last_version": "haar-1", "served_by": "newest",
    "served": [{"version": "haar-1", "first_registered_at": "2026-11-22T09:00:00Z", "workers": 1, "jobs": 128}], "workers": 1, "queued": 12, "running": 8, "oldest_due_at": null, "paused": false, "max_running": null,
    "retry": {"max_attempts": 5, "backoff_base_s": 5.0, "backoff_cap_s": 600.0, "retry_budget_s": null, "deadline_s": 600.0}, "created_at": "2026-11-22T09:00:00Z", "retired_at": null}))]
pub struct ModelOut {
    pub name: String,
    pub description: String,
    /// Null for models that came with the installation.
    pub owner: Option<String>,
    pub tags: Vec<String>,
    /// Those that its workers say it can give, then others that it gave: the first 1,000 of these.
    pub labels: Vec<String>,
    #[schema(value_type = Option<Object>)]
    pub params_schema: Option<Value>,
    /// What results of `last_version` must hold to.
    #[schema(value_type = Option<Object>)]
    pub result_schema: Option<Value>,
    /// Those that live workers serve.
    pub versions: Vec<String>,
    pub last_version: String,
    /// Which of several live versions are given its work.
    pub served_by: ServedBy,
    /// What each version did, the one registered last first; at most 20 of them.
    pub served: Vec<ServedVersion>,
    /// Live workers.
    pub workers: i64,
    /// Counted up to 10,000.
    pub queued: i64,
    pub running: i64,
    /// Since when the first in line has been due.
    pub oldest_due_at: Option<DateTime<Utc>>,
    pub paused: bool,
    /// How many of its jobs may run at once; null is without limit.
    pub max_running: Option<i32>,
    pub retry: RetryPolicy,
    pub created_at: DateTime<Utc>,
    pub retired_at: Option<DateTime<Utc>>,
}

/// What a version of a model did.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ServedVersion {
    pub version: String,
    /// When a worker registered with it for the first time: the version of which this is the latest is the newest.
    pub first_registered_at: DateTime<Utc>,
    /// Live workers.
    pub workers: i64,
    /// Jobs that succeeded by it, as counted a few seconds ago; a killed server loses those of its last seconds.
    pub jobs: i64,
}

/// Makes the type of a change of a queue: what only models or only datasets have, and the policy of both.
// serde cannot put one struct into another and refuse what it does not know.
macro_rules! queue_change {
    ($(#[$doc:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$doc])*
        #[derive(serde::Deserialize, utoipa::ToSchema)]
        #[serde(deny_unknown_fields)]
        #[schema(example = json!({"paused": true}))]
        pub struct $name {
            $($own)*
            #[schema(minimum = 1, maximum = 100)]
            pub max_attempts: Option<i16>,
            #[schema(minimum = 0, maximum = 3600)]
            pub backoff_base_s: Option<f32>,
            #[schema(minimum = 0, maximum = 86_400)]
            pub backoff_cap_s: Option<f32>,
            /// Null removes the limit.
            #[serde(default, deserialize_with = "crate::api::patch_field")]
            #[schema(value_type = Option<f32>, minimum = 1, maximum = 2_592_000)]
            pub retry_budget_s: Option<Option<f32>>,
            #[schema(minimum = 1, maximum = 86_400)]
            pub deadline_s: Option<f32>,
        }

        impl $name {
            /// What is to change of the policy.
            pub fn policy(&self) -> crate::domain::ruling::PolicyChange {
                crate::domain::ruling::PolicyChange {
                    max_attempts: self.max_attempts,
                    backoff_base_s: self.backoff_base_s,
                    backoff_cap_s: self.backoff_cap_s,
                    retry_budget_s: self.retry_budget_s,
                    deadline_s: self.deadline_s,
                }
            }
        }
    };
}
pub(super) use queue_change;

queue_change! {
    /// A change of a model; what is left out stays.
    UpdateModel {
        /// A paused model hands out no jobs.
        pub paused: Option<bool>,
        /// Of several live versions, `newest`: the one registered last is given its work, and older ones only while no live worker of it
        /// waits or has room; `any`: all alike.
        pub served_by: Option<ServedBy>,
        /// Null removes the limit.
        #[serde(default, deserialize_with = "crate::api::patch_field")]
        #[schema(value_type = Option<i32>, minimum = 1, maximum = 100_000)]
        pub max_running: Option<Option<i32>>,
        /// True: takes no more jobs, and cancels those that are queued. False brings it back.
        pub retired: Option<bool>,
    }
}

/// How much of the past is asked about.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct HistoryQuery {
    /// How many hours, 1 to 168; 24 when left out.
    #[param(minimum = 1, maximum = 168)]
    pub hours: Option<i64>,
}

/// How a model's queue stood over the last hours, oldest first.
#[derive(Serialize, Deserialize, ToSchema)]
#[schema(example = json!({"step_s": 300.0, "items": [{"at": "2026-11-22T09:00:00Z", "queued": 12, "running": 8, "workers": 1, "oldest_wait_s": 1.5, "served": 128}]}))]
pub struct ModelHistory {
    /// How long a step is. It is looked at once a minute, and not while no server runs.
    pub step_s: f64,
    pub items: Vec<ModelMoment>,
}

/// How it stood within a step.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct ModelMoment {
    /// When the step began.
    pub at: DateTime<Utc>,
    /// The most that waited at once, as far as was looked.
    pub queued: i64,
    pub running: i64,
    /// The fewest that lived.
    pub workers: i64,
    /// The longest that the first in line had waited.
    pub oldest_wait_s: Option<f64>,
    /// Jobs that had succeeded by then, since the model is known.
    pub served: i64,
}
