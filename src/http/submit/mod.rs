//! Submit photographs to models.

mod form;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::extract::multipart::Multipart;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use chrono::{DateTime, Datelike, Utc};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::AppState;
use super::auth::InvestigatorUser;
use super::extract::{self, Json};
use super::problem::{Answer, Problems};
use crate::api::submit::{ModelLoad, RejectedImage, SubmitHashes, Submitted, SubmittedImage, SubmittedJob, UploadForm};
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::domain::json;
use crate::service::Ctx;
use crate::service::submit::{self, Ask};

/// The longest that a job may wait, in seconds: a year.
const FINISH_WITHIN_MAX_S: f64 = 366.0 * 24.0 * 3600.0;

pub fn router(upload_bytes_max: u64) -> OpenApiRouter<Arc<AppState>> {
    let body = usize::try_from(upload_bytes_max).unwrap_or(usize::MAX);
    OpenApiRouter::new().routes(routes!(submit_images)).layer(DefaultBodyLimit::max(body))
}

/// Submits photographs to models
///
/// Every image gets its MD5 as its key and is stored; every image × model becomes a job. When this answers 202, bytes and jobs are on stable storage.
/// Faults of the whole request refuse it and leave nothing; then each file is judged alone, and a bad one goes to `rejected`.
/// With JSON in place of the form, models run on images that you uploaded before.
#[utoipa::path(post, path = "/predict", tag = "predict", security(("user" = []), ("token" = [])),
    request_body(content(
        (UploadForm = "multipart/form-data"),
        (SubmitHashes = "application/json"))),
    responses((status = 202, body = Submitted, headers(("Location" = String, description = "Where to follow the submission."))), Problems))]
async fn submit_images(
    State(state): State<Arc<AppState>>,
    InvestigatorUser(user): InvestigatorUser,
    mut request: Request,
) -> Answer<impl IntoResponse> {
    let ctx = &state.ctx;
    let answer = if extract::is_json(request.headers()) {
        // Names of images are short, whatever an upload may weigh.
        DefaultBodyLimit::max(super::BODY_BYTES_MAX).apply(&mut request);
        let Json(body) = Json::<SubmitHashes>::from_request(request, &()).await?;
        let (ask, hashes) = read_hashes(ctx, body)?;
        state.submit.rerun(&user, &ask, &hashes).await?
    } else {
        refuse_too_large(ctx, &request)?;
        let form = Multipart::from_request(request, &()).await.map_err(|_| {
            Fault::new(Code::UnsupportedMediaType, "The body is neither multipart/form-data with a boundary nor JSON.")
        })?;
        let (ask, files) = form::read(ctx, form).await?;
        state.submit.upload(&user, &ask, files).await.map_err(|error| error.within("form"))?
    };
    let location = format!("/submissions/{}", answer.submission);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(Submitted::from(answer))))
}

fn refuse_too_large(ctx: &Ctx, request: &Request) -> Result<(), Fault> {
    let declared = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse::<u64>().ok());
    let most = ctx.limits.upload_bytes_max;
    match declared {
        Some(bytes) if bytes > most => {
            let detail = format!("The request has {bytes} bytes; the limit of one upload is {most}.");
            Err(Fault::new(Code::TooLarge, detail).mend("Send fewer images at once under one `submission`."))
        }
        _ => Ok(()),
    }
}

fn read_hashes(ctx: &Ctx, body: SubmitHashes) -> Result<(Ask, Vec<ContentMd5>), Fault> {
    if body.images.len() > ctx.limits.images_max {
        let detail = format!("{} images; the limit is {}.", body.images.len(), ctx.limits.images_max);
        return Err(Fault::new(Code::TooManyImages, detail).at("body", "/images"));
    }
    let parse = |(index, text): (usize, &String)| extract::md5(text, "body", format!("/images/{index}"));
    let hashes = body.images.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let ask = Ask {
        models: distinct(body.models.iter().flat_map(|m| split_models(m)).collect()),
        params: body.params.map(|params| read_params(params.get(), "body")).transpose()?.unwrap_or_default(),
        priority: body.priority.unwrap_or(0),
        rerun: body.rerun.unwrap_or(false),
        submission: body.submission,
        require_live: body.require_live.unwrap_or(false),
        strict: body.strict.unwrap_or(false),
        run_at: body.run_at,
        finish_within_s: body.finish_within_s,
    };
    check_terms(&ask)?;
    Ok((ask, hashes))
}

/// Params are an object keyed by model.
fn read_params(text: &str, place: &'static str) -> Result<BTreeMap<String, Value>, Fault> {
    match json::parse(text).map_err(|fault| fault.at(place, "/params"))? {
        Value::Null => Ok(BTreeMap::new()),
        Value::Object(params) => Ok(params.into_iter().collect()),
        _ => Err(Fault::invalid(place, "/params", "params is not an object keyed by model.")),
    }
}

/// `a,b` is two models.
pub(super) fn split_models(text: &str) -> impl Iterator<Item = String> + use<'_> {
    text.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned)
}

/// Model names without repeats, in the order they came.
fn distinct(models: Vec<String>) -> Vec<String> {
    let mut seen = HashSet::new();
    models.into_iter().filter(|name| seen.insert(name.clone())).collect()
}

/// Checks the terms that concern all jobs of a request.
fn check_terms(ask: &Ask) -> Result<(), Fault> {
    if !(-100..=100).contains(&ask.priority) {
        let detail = format!("priority is {}; it is from -100 to 100.", ask.priority);
        return Err(Fault::new(Code::InvalidField, detail).on("/priority"));
    }
    if let Some(s) = ask.finish_within_s.filter(|s| !(1.0..=FINISH_WITHIN_MAX_S).contains(s)) {
        let detail = format!("finish_within_s is {s}; it is from 1 to {FINISH_WITHIN_MAX_S}.");
        return Err(Fault::new(Code::InvalidField, detail).on("/finish_within_s"));
    }
    let far = |at: &DateTime<Utc>| !(2000..=2200).contains(&at.year());
    if let Some(at) = ask.run_at.filter(far) {
        let detail = format!("run_at is {at}; its year is from 2000 to 2200.");
        return Err(Fault::new(Code::InvalidField, detail).on("/run_at"));
    }
    Ok(())
}

impl From<submit::Receipt> for Submitted {
    fn from(answer: submit::Receipt) -> Self {
        let image = |t: submit::TakenImage| SubmittedImage {
            index: t.index,
            name: t.name,
            md5: t.md5.to_string(),
            sha256: hex::encode(t.sha256),
            bytes: t.bytes,
            new: t.new,
            warnings: t.warnings,
            jobs: t
                .jobs
                .into_iter()
                .map(|j| SubmittedJob { id: j.id, model: j.model, state: j.state, outcome: j.outcome.into() })
                .collect(),
        };
        let rejected =
            |r: submit::RefusedImage| RejectedImage { index: r.index, name: r.name, problem: r.fault.into() };
        let load = |(model, l): (String, submit::Workload)| (model, ModelLoad { workers: l.workers, queued: l.queued });
        Self {
            submission: answer.submission,
            images: answer.images.into_iter().map(image).collect(),
            rejected: answer.rejected.into_iter().map(rejected).collect(),
            models: answer.models.into_iter().map(load).collect(),
        }
    }
}
