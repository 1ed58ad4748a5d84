//! The models of training runs: downloaded, and promoted to versions of models.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::Response;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::api::training::{PromoteRequest, PromotedVersion};
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::domain::key::Service;
use crate::domain::name::Name;
use crate::domain::text::check_line;
use crate::http::auth::{Caller, ResearcherUser};
use crate::http::content::Content;
use crate::http::extract::{Json, NoQuery, Path};
use crate::http::problem::Answer;
use crate::http::{AppState, Shared};
use crate::service::{keys, training as service};
use crate::store::training::RunFile;

/// What a name may hold in `filename*` as it is (RFC 8187, `attr-char`).
const PLAIN: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');
/// The longest version, in characters: what registration takes.
const VERSION_CHARS_MAX: usize = 100;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(get_run_model)).routes(routes!(promote_run))
}

/// Downloads a model
///
/// Of a run that has succeeded: for whoever started it, administrators, and microservices of a model that it was promoted to. Knows ETag and
/// Range; `Repr-Digest` has the checksum.
#[utoipa::path(get, path = "/training/results/{id}/model", tag = "training", security(("user" = []), ("token" = []), ("key" = [])),
    params(("id" = Uuid, Path), ("Range" = Option<String>, Header, description = "One range of bytes, as `bytes=0-1023`.")),
    responses((status = 200, content_type = "application/octet-stream", body = Vec<u8>, description = "Its bytes.", example = json!("(bytes)")),
              (status = 206, description = "The range."), (status = 304, description = "Not changed; it never does.")))]
async fn get_run_model(
    State(state): AppState,
    caller: Caller,
    _: NoQuery,
    Path(id): Path<Uuid>,
    headers: HeaderMap,
) -> Answer<Response> {
    let file = match &caller {
        Caller::User(user) if user.has(Role::Researcher) || user.is_admin() => {
            service::model_for_user(&state.ctx, user, id).await?
        }
        Caller::User(_) => {
            return Err(Fault::new(Code::MissingRole, "This needs the role researcher or admin.").into());
        }
        Caller::Key(key) => {
            keys::need_service(key, Service::Predict)?;
            service::model_for_key(&state.ctx, key, id).await?
        }
    };
    let content = Content {
        what: "model",
        media_type: "application/octet-stream",
        sha256: &file.sha256,
        blob: file.blob,
        bytes: file.bytes,
        begin: None,
    };
    let portion = match content.portion(&headers) {
        Ok(portion) => portion,
        Err(refusal) => return Ok(refusal),
    };
    let mut response = content.send(&state.ctx.blobs, portion).await?;
    for (name, value) in named(&file) {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// What a browser saves it as, and its checksum (RFC 6266, RFC 9530).
fn named(file: &RunFile) -> [(HeaderName, String); 2] {
    let name = file.name.as_deref().unwrap_or("model");
    let ascii: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '_' }).collect();
    let encoded = utf8_percent_encode(name, &PLAIN);
    [
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"{ascii}\"; filename*=UTF-8''{encoded}")),
        (HeaderName::from_static("repr-digest"), format!("sha-256=:{}:", STANDARD.encode(&file.sha256))),
    ]
}

/// Promotes a run
///
/// Makes its model a version of a model, which microservices of that model may then fetch and serve. A model that is not known becomes
/// the caller's. The same again answers the same, and so do the same bytes of another run: `run` is the one that brought them. A version
/// of other bytes is refused.
#[utoipa::path(post, path = "/training/results/{id}/promote", tag = "training", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path)), request_body = PromoteRequest, responses((status = 200, body = PromotedVersion)))]
async fn promote_run(
    State(state): AppState,
    ResearcherUser(user): ResearcherUser,
    Path(id): Path<Uuid>,
    Json(body): Json<PromoteRequest>,
) -> Answer<Json<PromotedVersion>> {
    let model = Name::parse(&body.model).map_err(|why| Fault::invalid("body", "/model", why))?;
    body.version.as_deref().map(check_version).transpose()?;
    let promoted = service::promote(&state.ctx, &state.queues, &user, id, &model, body.version).await;
    let (version, file) = promoted.map_err(|error| error.within("body"))?;
    Ok(Json(PromotedVersion {
        model: body.model,
        version,
        run: file.job_id,
        sha256: hex::encode(&file.sha256),
        bytes: file.bytes,
        url: format!("/training/results/{}/model", file.job_id),
    }))
}

fn check_version(version: &str) -> Result<(), Fault> {
    check_line(version).map_err(|fault| fault.at("body", "/version"))?;
    if (1..=VERSION_CHARS_MAX).contains(&version.chars().count()) {
        return Ok(());
    }
    Err(Fault::invalid("body", "/version", format!("version has 1 to {VERSION_CHARS_MAX} characters.")))
}
