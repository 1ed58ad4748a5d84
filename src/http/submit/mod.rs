//! Submit photographs to models.

mod file_name;
mod form;
mod gate;
mod terms;

use axum::extract::multipart::Multipart;
use axum::extract::{DefaultBodyLimit, FromRequest, Request, State};
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::terms::{check_terms, distinct, read_params};
use super::auth::SubmittingUser;
use super::budget;
use super::extract::{self, Json, NoQuery};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::NAMES_MAX;
use crate::api::submit::{ModelLoad, RejectedImage, SubmitHashes, Submitted, SubmittedImage, SubmittedJob, UploadForm};
use crate::domain::case::CaseRole;
use crate::domain::fault::{Code, Fault};
use crate::domain::image::ContentMd5;
use crate::service::accounts::User;
use crate::service::submit::{self, Ask};
use crate::service::{Ctx, Error, cases};

pub fn router(upload_bytes_max: u64) -> OpenApiRouter<Shared> {
    let body = usize::try_from(upload_bytes_max).unwrap_or(usize::MAX);
    OpenApiRouter::new().routes(routes!(submit_images)).layer(DefaultBodyLimit::max(body))
}

/// Submits photographs to models
///
/// Every image gets its MD5 as its key and is stored; every image × model becomes a job. When this answers 202, bytes and jobs are on stable storage.
/// Faults of the whole request refuse it and leave nothing; then each file is judged alone, and a bad one goes to `rejected`.
/// A researcher without the role of an investigator names own models alone.
/// With JSON in place of the form, models run on images that a case of yours holds; the `case` then holds them as well. Swagger UI shows that one first: choose
/// `multipart/form-data` to upload.
#[utoipa::path(post, path = "/predict", tag = "predict", security(("user" = []), ("token" = [])),
    request_body(content(
        (UploadForm = "multipart/form-data"),
        (SubmitHashes = "application/json"))),
    responses((status = 202, body = Submitted, headers(("Location" = String, description = "Where to follow the submission.")))))]
async fn submit_images(
    State(state): AppState,
    SubmittingUser(user): SubmittingUser,
    _: NoQuery,
    request: Request,
) -> Answer<impl IntoResponse> {
    let ctx = &state.ctx;
    let answer = if extract::is_json(request.headers()) {
        let Json(body) = Json::<SubmitHashes>::from_request(request, &()).await?;
        let (ask, hashes) = read_hashes(ctx, body)?;
        let user = in_case(&state, user, &ask, "body").await?;
        state.submit.rerun(&user, &ask, &hashes).await?
    } else {
        refuse_too_large(ctx, &request)?;
        budget::hold_upload().await?;
        let no_form = || {
            Fault::new(Code::UnsupportedMediaType, "The body is neither multipart/form-data with a boundary nor JSON.")
        };
        let (request, odd) = gate::guard(request).ok_or_else(no_form)?;
        let form = Multipart::from_request(request, &()).await.map_err(|_| no_form())?;
        let (ask, files) = form::read(ctx, form, &odd).await?;
        let user = in_case(&state, user, &ask, "form").await?;
        state.submit.upload(&user, &ask, files).await.map_err(|error| error.within("form"))?
    };
    let location = format!("/submissions/{}", answer.submission);
    Ok((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(Submitted::from(answer))))
}

/// The user as known by now, and as an editor of the case that the request names, if it names one.
async fn in_case(state: &Shared, user: User, ask: &Ask, part: &'static str) -> Result<User, Error> {
    // A body may take long: who was shut out meanwhile submits nothing.
    let user = state.accounts.again(&user).await?;
    SubmittingUser::check(&user)?;
    let Some(case) = ask.case else { return Ok(user) };
    let entered = cases::enter(&state.accounts, &user, case, CaseRole::Editor).await;
    entered.map_err(|error| match error {
        Error::Fault(fault) => fault.at(part, "/case").into(),
        other => other,
    })
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
    if body.models.len() > NAMES_MAX {
        return Err(Fault::invalid("body", "/models", format!("More than {NAMES_MAX} models.")));
    }
    let parse = |(index, text): (usize, &String)| extract::md5(text, "body", format!("/images/{index}"));
    let hashes = body.images.iter().enumerate().map(parse).collect::<Result<_, _>>()?;
    let ask = Ask {
        models: distinct(body.models.iter().flat_map(|m| extract::split_models(m)).collect()),
        params: body.params.map(|params| read_params(params.get(), "body")).transpose()?.unwrap_or_default(),
        priority: body.priority.unwrap_or(0),
        rerun: body.rerun.unwrap_or(false),
        submission: body.submission,
        case: body.case,
        require_live: body.require_live.unwrap_or(false),
        strict: body.strict.unwrap_or(false),
        run_at: body.run_at,
        finish_within_s: body.finish_within_s,
    };
    check_terms(&ask, "body")?;
    Ok((ask, hashes))
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
            case: answer.case,
            images: answer.images.into_iter().map(image).collect(),
            rejected: answer.rejected.into_iter().map(rejected).collect(),
            models: answer.models.into_iter().map(load).collect(),
        }
    }
}
