//! The page of a problem's code, for people: what `type` in problem documents leads to.

use axum::response::Html;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::super::Shared;
use super::super::extract::{NoQuery, Path};
use super::{Answer, status};
use crate::domain::fault::{Code, Fault};

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(get_problem))
}

/// Explains a problem's code
///
/// The page behind `type` in problem documents.
#[utoipa::path(get, path = "/problems/{code}", tag = "health", params(("code" = String, Path, example = "unknown_model")),
    responses((status = 200, body = String, content_type = "text/html", example = json!("<!doctype html>…"))))]
async fn get_problem(_: NoQuery, Path(code): Path<String>) -> Answer<Html<String>> {
    let code = Code::ALL.iter().find(|c| c.as_str() == code).ok_or_else(|| Fault::not_found("problem"))?;
    Ok(Html(page(*code)))
}

fn page(code: Code) -> String {
    format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>body{{font:1.1rem/1.6 system-ui,sans-serif;max-width:40rem;margin:4rem auto;padding:0 1rem}}\
         code{{background:#8882;padding:.1em .3em;border-radius:.2em}}:root{{color-scheme:light dark}}</style>\
         <h1>{title}</h1><p>{help}</p><p><code>{name}</code> · HTTP {status} · <a href=\"/docs\">operations</a></p></html>",
        title = code.title(),
        help = code.help(),
        name = code.as_str(),
        status = status(code),
    )
}
