//! What the handlers share.

use std::sync::Arc;

use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::service::Ctx;
use crate::service::accounts::Accounts;
use crate::service::keys::Keys;
use crate::service::queues::Queues;
use crate::service::status::Lookups;
use crate::service::submit::Submit;
use crate::service::work::{Claims, Completions};
use crate::service::workers::Workers;

/// What every handler may reach.
pub struct AppState {
    pub ctx: Arc<Ctx>,
    pub submit: Submit,
    pub lookups: Lookups,
    pub claims: Claims,
    pub completions: Completions,
    pub workers: Arc<Workers>,
    pub accounts: Accounts,
    pub keys: Keys,
    pub queues: Arc<Queues>,
    /// The OpenAPI document, serialised once.
    pub openapi: Bytes,
    pub prometheus: PrometheusHandle,
}
