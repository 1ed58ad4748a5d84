//! The HTTP interface: one file per noun with its router, annotations and thin handlers.

pub mod accounts;
pub mod acts;
mod address;
pub mod auth;
mod budget;
pub mod cases;
pub mod changes;
mod content;
pub mod derived;
pub mod events;
pub mod exports;
pub mod extract;
pub mod health;
pub mod images;
pub mod jobs;
pub mod keys;
pub mod layers;
pub mod models;
pub mod openapi;
mod page;
pub mod problem;
pub mod queues;
pub mod sdk;
pub mod search;
pub mod serve;
pub mod state;
pub mod status;
pub mod submissions;
pub mod submit;
pub mod tls;
pub mod training;
mod wire;
pub mod work;
pub mod workers;

pub use state::{AppState, Shared, UseCases};

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Method, header};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The whole interface. `origins` are those that browsers may call from; `*` allows any.
pub fn router(state: Shared, origins: &[HeaderValue]) -> Router {
    let budgets = Arc::new(budget::Budgets::new(&state.ctx.limits));
    let pace = serve::Pace::new(state.ctx.limits.client_wait, state.ctx.limits.body_wait);
    let (operations, _) = openapi::operations(state.ctx.limits.upload_bytes_max).split_for_parts();
    operations
        .merge(page::router())
        .merge(openapi::docs())
        .fallback(layers::no_route)
        .method_not_allowed_fallback(layers::no_method)
        // One layer of several: each layer of a router puts its requests into a box of their own.
        .layer(
            ServiceBuilder::new()
                .layer(axum::middleware::from_fn_with_state(budgets, layers::observe))
                .layer(cors(origins))
                .layer(CatchPanicLayer::custom(layers::panicked))
                .map_request(move |request| serve::pace_body(pace, request))
                .layer(DefaultBodyLimit::max(extract::BODY_BYTES_MAX)),
        )
        .with_state(state)
}

fn cors(origins: &[HeaderValue]) -> CorsLayer {
    let any = origins.iter().any(|origin| origin == "*");
    let allowed = if any { AllowOrigin::any() } else { AllowOrigin::list(origins.to_vec()) };
    let names = ["x-api-key", "api_key", "x-request-id", "last-event-id"].map(HeaderName::from_static);
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE])
        .allow_headers(
            names.into_iter().chain([header::AUTHORIZATION, header::CONTENT_TYPE, header::RANGE]).collect::<Vec<_>>(),
        )
        .expose_headers([header::LOCATION, header::RETRY_AFTER, header::ETAG, HeaderName::from_static("x-request-id")])
}
