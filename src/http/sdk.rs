//! The workers' Python package, for machines that reach nothing but this server.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::address::OwnAddress;
use super::extract::{NoQuery, Path};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::domain::fault::Fault;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(get_sdk)).routes(routes!(get_sdk_file))
}

/// Says how to install the worker package
///
/// The three commands from nothing to serving, with this server's address in them: a page for browsers, plain text for all others.
#[utoipa::path(get, path = "/sdk", tag = "work", responses((status = 200, content(
    (String = "text/plain", example = json!("The worker package of this server…")), (String = "text/html", example = json!("<!doctype html>…"))))))]
async fn get_sdk(State(state): AppState, OwnAddress(server): OwnAddress, _: NoQuery, headers: HeaderMap) -> Response {
    let steps = Steps::new(&server, &state.sdk.file_name, &state.sdk.sha256);
    let accepted = headers.get(header::ACCEPT).and_then(|types| types.to_str().ok()).unwrap_or_default();
    let headers = [
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept, host"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"),
    ];
    if accepted.contains("text/html") {
        (headers, Html(steps.page())).into_response()
    } else {
        (headers, steps.text()).into_response()
    }
}

/// Sends the worker package
///
/// A wheel, of this server's version and no other; pip takes its address as it is.
#[utoipa::path(get, path = "/sdk/{file}", tag = "work",
    params(("file" = String, Path, description = "The wheel's file name.",
        example = json!(concat!("darkroom_worker-", env!("CARGO_PKG_VERSION"), "-py3-none-any.whl")))),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream", example = json!("(bytes)")),
        (status = 304, description = "The client has it.")))]
async fn get_sdk_file(
    State(state): AppState,
    _: NoQuery,
    Path(file): Path<String>,
    headers: HeaderMap,
) -> Answer<Response> {
    let wheel = &state.sdk;
    if file != wheel.file_name {
        let fault = Fault::not_found("file");
        return Err(fault.mend(format!("This server hands out /sdk/{}; GET /sdk says more.", wheel.file_name)).into());
    }
    let etag = format!("\"{}\"", wheel.sha256);
    let has_it = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let about = [
        (header::ETAG, etag.clone()),
        // Asked for again each time: while somebody works on the package, its version stays.
        (header::CACHE_CONTROL, "public, no-cache".to_owned()),
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    if has_it.is_some_and(|tags| tags == "*" || tags.contains(&etag)) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    Ok((about, wheel.bytes.clone()).into_response())
}

/// From nothing to serving.
struct Steps {
    server: String,
    /// What each does, and its command.
    commands: [(&'static str, String); 3],
    key: String,
}

impl Steps {
    fn new(server: &str, file: &str, sha256: &str) -> Self {
        // The worker sends its key over plain HTTP only when it is told to.
        let own = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|own| server.starts_with(own));
        let insecure = if server.starts_with("http://") && !own { " --insecure" } else { "" };
        let install =
            format!("python3 -m venv darkroom && darkroom/bin/pip install {server}/sdk/{file}#sha256={sha256}");
        let run = format!(
            "darkroom/bin/darkroom-worker run my_model/my_model.py --server {server} --api-key-file darkroom.key{insecure}"
        );
        Self {
            server: server.to_owned(),
            commands: [
                ("Install the package; it needs no other.", install),
                (
                    "Make a model that runs as it is, to begin with.",
                    "darkroom/bin/darkroom-worker new my_model".to_owned(),
                ),
                ("Serve it.", run),
            ],
            key: format!(
                "darkroom.key holds an API key for the model: a researcher makes it at {server}/docs by POST /auth/key, or by \
                 darkroom key create --server {server} --service predict --models my_model >darkroom.key"
            ),
        }
    }

    fn text(&self) -> String {
        let steps = self
            .commands
            .iter()
            .enumerate()
            .map(|(n, (what, command))| format!("{}. {what}\n\n    {command}\n\n", n + 1));
        format!(
            "From nothing to serving a model from {}, with Python 3.9 or newer:\n\n{}{}\n",
            self.server,
            steps.collect::<String>(),
            self.key
        )
    }

    fn page(&self) -> String {
        let steps = self
            .commands
            .iter()
            .map(|(what, command)| format!("<li>{what}<pre>{}</pre>", command.replace("&&", "&amp;&amp;")));
        format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
             <title>Serve a model</title><style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:48rem;margin:4rem auto;padding:0 1rem}}\
             pre{{background:#8882;padding:.6em;border-radius:.3em;white-space:pre-wrap;overflow-wrap:anywhere}}:root{{color-scheme:light dark}}</style>\
             <h1>Serve a model</h1><p>From nothing to serving from {server}, with Python 3.9 or newer:</p><ol>{steps}</ol><p>{key}</p></html>",
            server = self.server,
            steps = steps.collect::<String>(),
            key = self.key.replace('>', "&gt;"),
        )
    }
}
