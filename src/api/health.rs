//! What operators ask.

use serde::Serialize;
use utoipa::ToSchema;

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok"}))]
#[schema(as = Live)]
pub struct LiveOut {
    pub status: &'static str,
}

/// Whether the parts answer.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"status": "ok", "postgres": "ok", "redis": "away"}))]
pub struct Ready {
    pub status: &'static str,
    pub postgres: &'static str,
    /// `away` costs latency, never a job.
    pub redis: &'static str,
}
