//! The OpenAPI document: made from the code, committed as `openapi/openapi.json`, and served with Swagger UI.

mod parameters;
mod problems;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use utoipa::OpenApi;
use utoipa::openapi::encoding::Encoding;
use utoipa::openapi::path::ParameterStyle;
use utoipa::openapi::security::{
    ApiKey, ApiKeyValue, Flow, HttpAuthScheme, HttpBuilder, OAuth2, Password, Scopes, SecurityScheme,
};
use utoipa::openapi::{OpenApi as Document, RefOr, ServerBuilder};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

use super::{AppState, Shared};
use crate::api::events::{ImagesState, TopicEvent, TopicProblem};
use crate::api::problem::Problem;
use crate::api::result::ResultItem;
use crate::domain::compare::ChangeKind;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Darkroom",
        description = "A durable queue between photographs and machine-learning models.\n\n\
            **Investigators** log in (Authorize → *user*), post photographs and model names to `POST /predict`, and ask by the \
            image's MD5. **Microservices** send their API key (Authorize → *key*), register, claim jobs, fetch the bytes, and complete. \
            Every error is a problem document whose `mend` says what to do."
    ),
    components(schemas(ChangeKind, Problem, ResultItem, TopicEvent, TopicProblem, ImagesState)),
    tags(
        (name = "predict", description = "Post photographs; ask what happened to them."),
        (name = "submissions", description = "One or more posts under one id."),
        (name = "images", description = "What is stored, and its bytes."),
        (name = "cases", description = "Photographs for those who may see them: members, tags, notes, saved filters."),
        (name = "search", description = "Images by what is known of them."),
        (name = "events", description = "What changes, as it changes."),
        (name = "exports", description = "What is taken away of cases, as files."),
        (name = "models", description = "What models there are, and their queues."),
        (name = "jobs", description = "One image × one model: its tries and its history."),
        (name = "training", description = "Start training runs, watch them learn, and take their models."),
        (name = "work", description = "For microservices: register, claim, complete."),
        (name = "accounts", description = "People, their roles, and the keys of their microservices."),
        (name = "health", description = "For operators.")
    )
)]
struct ApiDoc;

/// Every operation with its description. Upload routes take bodies of at most so many bytes.
pub fn operations(upload_bytes_max: u64) -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(base())
        .merge(super::submit::router(upload_bytes_max))
        .merge(super::status::router())
        .merge(super::submissions::router())
        .merge(super::images::router())
        .merge(super::cases::router())
        .merge(super::derived::router())
        .merge(super::search::router())
        .merge(super::events::router())
        .merge(super::exports::router())
        .merge(super::acts::router())
        .merge(super::changes::router())
        .merge(super::models::router())
        .merge(super::jobs::router())
        .merge(super::work::router())
        .merge(super::workers::router())
        .merge(super::sdk::router())
        .merge(super::training::router())
        .merge(super::accounts::router())
        .merge(super::keys::router())
        .merge(super::health::router())
        .merge(super::queues::router())
        .routes(routes!(get_openapi))
        .merge(super::problem::page::router())
}

/// The document.
pub fn document() -> Document {
    let (_, mut document) = operations(u64::MAX).split_for_parts();
    repeat_models_in_the_form(&mut document);
    for (path, item) in &mut document.paths.paths {
        let methods = [&mut item.get, &mut item.put, &mut item.post, &mut item.patch, &mut item.delete];
        for operation in methods.into_iter().flatten() {
            parameters::describe(path, operation);
            problems::describe(operation);
        }
    }
    document
}

/// Without this Swagger UI sends the list of models as one part of JSON.
fn repeat_models_in_the_form(document: &mut Document) {
    let submit = document.paths.paths.get_mut("/predict").and_then(|path| path.post.as_mut());
    let Some(RefOr::T(body)) = submit.and_then(|operation| operation.request_body.as_mut()) else { return };
    if let Some(RefOr::T(form)) = body.content.get_mut("multipart/form-data") {
        let encoding = Encoding::builder().style(Some(ParameterStyle::Form)).explode(Some(true)).build();
        form.encoding.insert("models".to_owned(), encoding);
    }
}

fn base() -> Document {
    let mut document = ApiDoc::openapi();
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    document.servers = Some(vec![ServerBuilder::new().url("/").build()]);
    let components = document.components.get_or_insert_default();
    components.responses.extend(problems::components());
    let password = OAuth2::with_description(
        [Flow::Password(Password::new("/auth/login", Scopes::new()))],
        "A user's name and password.",
    );
    components.add_security_scheme("user", SecurityScheme::OAuth2(password));
    let bearer =
        HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("A token, or an API key `dr_…`.")).build();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let key = ApiKeyValue::with_description("X-API-Key", "A microservice's API key, `dr_…`.");
    components.add_security_scheme("key", SecurityScheme::ApiKey(ApiKey::Header(key)));
    document
}

/// Shows this document
///
/// OpenAPI 3.1, made from the code.
#[utoipa::path(get, path = "/openapi.json", tag = "health",
    responses((status = 200, body = serde_json::Value, example = json!({"openapi": "3.1.0"}))))]
async fn get_openapi(State(state): AppState) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "application/json")], state.openapi.clone())
}

/// What the page may load and do: only what this server sends, and in nobody's frame. Swagger UI draws with styles of its own and with
/// images from data.
const PAGE_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; \
    font-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Swagger UI at `/docs`, vendored: it needs no other host.
pub fn docs() -> Router<Shared> {
    // Who goes away from the page, or reloads it, logs in again: a token left in the browser's store is anybody's who sits down there.
    let config = Config::new(["/openapi.json"])
        .persist_authorization(false)
        .try_it_out_enabled(true)
        .display_request_duration(true);
    let ui: Router<Shared> = SwaggerUi::new("/docs/ui").config(config).into();
    let to_ui = get(|| async { Redirect::temporary("/docs/ui/") });
    let guarded = map_response(|mut page: Response| async {
        page.headers_mut().insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(PAGE_POLICY));
        page.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        page.headers_mut().insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        page
    });
    Router::new().route("/docs", to_ui.clone()).route("/docs/", to_ui).merge(ui).layer(guarded)
}
