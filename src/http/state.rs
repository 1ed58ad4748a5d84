//! What the handlers share.

use std::sync::Arc;

use axum::extract::State;
use bytes::Bytes;
use ipnet::IpNet;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::sdk::Wheel;
use crate::service::Ctx;
use crate::service::accounts::Accounts;
use crate::service::events::Events;
use crate::service::keys::Keys;
use crate::service::queues::Queues;
use crate::service::status::Lookups;
use crate::service::submit::Submit;
use crate::service::work::{Claims, Completions};
use crate::service::workers::Workers;

/// What routers, extractors and handlers share.
pub type Shared = Arc<UseCases>;

/// The same as a handler takes it.
pub type AppState = State<Shared>;

/// What every handler may reach.
pub struct UseCases {
    pub ctx: Arc<Ctx>,
    pub submit: Submit,
    pub lookups: Lookups,
    pub claims: Claims,
    pub completions: Completions,
    pub workers: Arc<Workers>,
    pub accounts: Accounts,
    pub keys: Arc<Keys>,
    pub queues: Arc<Queues>,
    pub events: Arc<Events>,
    /// Whose word on where a request comes from is believed.
    pub proxies: Vec<IpNet>,
    /// Whether this server itself speaks TLS.
    pub tls: bool,
    /// The workers' package.
    pub sdk: Wheel,
    /// The OpenAPI document, serialised once.
    pub openapi: Bytes,
    /// What `/metrics` and `/queues` ask for; nothing where they are open.
    pub figures_token: Option<String>,
    pub prometheus: PrometheusHandle,
}
