//! Submissions: progress, waiting, cancelling.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use chrono::{DateTime, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::auth::AnyUser;
use super::budget;
use super::extract::{self, Json, NoQuery, Path, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::cases::CasePaging;
use crate::api::page::Page;
use crate::api::submissions::{Cancelled, Counts, StateCounts, SubmissionImage, SubmissionOut, WaitQuery};
use crate::domain::job::Overall;
use crate::service::cases;
use crate::service::submissions::{self, Shown};
use crate::store::submissions::RequestRow;

/// The images of a submission, as their cursors name the list.
const IMAGES_LIST: &str = "submission";
/// How many images a list shows in all, some of each submission: the rest is on the pages of each.
const LISTED_IMAGES: i64 = 1_000;
/// The most images on one page.
const IMAGES_MAX: i64 = 1_000;

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new()
        .routes(routes!(list_submissions))
        .routes(routes!(get_submission))
        .routes(routes!(cancel_submission))
}

/// Lists submissions
///
/// Those to one's cases, or to the one that is named, newest first; all for administrators.
#[utoipa::path(get, path = "/submissions", tag = "submissions", security(("user" = []), ("token" = [])), params(CasePaging),
    responses((status = 200, body = Page<SubmissionOut>)))]
async fn list_submissions(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Query(query): Query<CasePaging>,
) -> Answer<Json<Page<SubmissionOut>>> {
    let (case, paging) = query.parts();
    let (limit, before) = extract::paging::<(DateTime<Utc>, Uuid)>("submissions", &paging)?;
    let cases = cases::narrowed(&state.ctx, &state.accounts, &user, case).await?;
    let found = submissions::list(&state.ctx, cases.as_deref(), before, limit, LISTED_IMAGES).await?;
    Ok(Json(page(found, limit)))
}

/// A page of the list.
pub(super) fn page(found: Vec<Shown>, limit: i64) -> Page<SubmissionOut> {
    extract::page("submissions", found, limit, |shown| (shown.submission.created_at, shown.submission.id))
}

/// Shows a submission
///
/// Its images, its progress per model, and counts. For members of its case, and administrators.
#[utoipa::path(get, path = "/submissions/{id}", tag = "submissions", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), WaitQuery), responses((status = 200, body = SubmissionOut)))]
async fn get_submission(
    State(state): AppState,
    AnyUser(user): AnyUser,
    Path(id): Path<Uuid>,
    Query(query): Query<WaitQuery>,
) -> Answer<Json<SubmissionOut>> {
    let wait = extract::wait(query.wait_s, "query")?;
    let limit = extract::within("query", "limit", query.limit.unwrap_or(IMAGES_MAX), 1..=IMAGES_MAX)?;
    let after = extract::read_cursor::<i64>(IMAGES_LIST, query.cursor.as_deref())?;
    budget::hold_lookup(wait).await?;
    let mut shown = submissions::wait_for(&state.ctx, &user, id, wait, after, limit).await?;
    let fresh = state.accounts.again(&user).await?;
    if fresh.scope() != user.scope() {
        shown = submissions::wait_for(&state.ctx, &fresh, id, Duration::ZERO, after, limit).await?;
    }
    Ok(Json(shown.into()))
}

/// Cancels a submission
///
/// Withdraws its requests, for editors of its case; a job ends when nobody waits for it any more, and otherwise stays as urgent as it was
/// made. Doing it twice is harmless.
#[utoipa::path(post, path = "/submissions/{id}/cancel", tag = "submissions", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path)), responses((status = 200, body = Cancelled)))]
async fn cancel_submission(
    State(state): AppState,
    AnyUser(user): AnyUser,
    _: NoQuery,
    Path(id): Path<Uuid>,
) -> Answer<Json<Cancelled>> {
    let cancelled = submissions::cancel(&state.ctx, &user, id).await?;
    Ok(Json(Cancelled { id, cancelled }))
}

impl From<Shown> for SubmissionOut {
    fn from(shown: Shown) -> Self {
        let Shown { submission, counts, images: in_all, rows, more } = shown;
        let status = Overall::of(counts.iter().map(|(_, state, _)| *state));
        let mut models: BTreeMap<String, StateCounts> = BTreeMap::new();
        let mut states = StateCounts::default();
        let (mut jobs, mut ended) = (0, 0);
        for (model, state, n) in &counts {
            let n = usize::try_from(*n).unwrap_or_default();
            models.entry(model.to_string()).or_default().add(*state, n);
            states.add(*state, n);
            jobs += n;
            ended += if state.ended() { n } else { 0 };
        }
        let image = |rows: &[RequestRow]| SubmissionImage {
            md5: rows[0].md5.to_string(),
            name: rows[0].names.first().or(rows[0].name.as_ref()).cloned(),
            names: rows[0].names.clone(),
            status: Overall::of(rows.iter().map(|row| row.state)),
        };
        let images: Vec<SubmissionImage> = rows.chunk_by(|a, b| a.image_id == b.image_id).map(image).collect();
        let last = rows.last().filter(|_| more).map(|row| row.image_id);
        let counts = Counts { images: usize::try_from(in_all).unwrap_or_default(), jobs, ended, states };
        Self {
            id: submission.id,
            case: submission.case_id,
            status,
            done: status.done(),
            created_at: submission.created_at,
            images,
            next_cursor: last.map(|image| extract::write_cursor(IMAGES_LIST, &image)),
            models,
            counts,
        }
    }
}
