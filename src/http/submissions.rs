//! Submissions: progress, waiting, cancelling.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use chrono::{DateTime, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::AppState;
use super::auth::AnyUser;
use super::extract::{self, Json, Path, Query};
use super::problem::{Answer, Problems};
use crate::api::page::{Page, Paging};
use crate::api::submissions::{Cancelled, Counts, StateCounts, SubmissionImage, SubmissionOut, WaitQuery};
use crate::domain::job::{JobState, Overall};
use crate::service::submissions;
use crate::store::submissions::{RequestRow, Submission};

pub fn router() -> OpenApiRouter<Arc<AppState>> {
    OpenApiRouter::new()
        .routes(routes!(list_submissions))
        .routes(routes!(get_submission))
        .routes(routes!(cancel_submission))
}

impl StateCounts {
    fn add(&mut self, state: JobState) {
        match state {
            JobState::Queued => self.queued += 1,
            JobState::Running => self.running += 1,
            JobState::Succeeded => self.succeeded += 1,
            JobState::Failed => self.failed += 1,
            JobState::Cancelled => self.cancelled += 1,
        }
    }
}

/// Lists submissions
///
/// One's own, newest first; everybody's for administrators.
#[utoipa::path(get, path = "/submissions", tag = "submissions", security(("user" = []), ("token" = [])), params(Paging),
    responses((status = 200, body = Page<SubmissionOut>), Problems))]
async fn list_submissions(
    State(state): State<Arc<AppState>>,
    AnyUser(user): AnyUser,
    Query(paging): Query<Paging>,
) -> Answer<Json<Page<SubmissionOut>>> {
    let (limit, before) = extract::paging::<(DateTime<Utc>, Uuid)>(&paging)?;
    let found = submissions::list(&state.ctx, &user, before, limit).await?;
    let items = found.iter().map(|(submission, rows)| out(submission, rows)).collect();
    Ok(Json(extract::page(items, limit, |s: &SubmissionOut| (s.created_at, s.id))))
}

/// Shows a submission
///
/// Its images, its progress per model, and counts. For its owner and administrators.
#[utoipa::path(get, path = "/submissions/{id}", tag = "submissions", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path), WaitQuery), responses((status = 200, body = SubmissionOut), Problems))]
async fn get_submission(
    State(state): State<Arc<AppState>>,
    AnyUser(user): AnyUser,
    Path(id): Path<Uuid>,
    Query(query): Query<WaitQuery>,
) -> Answer<Json<SubmissionOut>> {
    let wait = extract::wait(query.wait_s, "query")?;
    let (submission, rows) = submissions::wait_for(&state.ctx, &user, id, wait).await?;
    Ok(Json(out(&submission, &rows)))
}

/// Cancels a submission
///
/// Withdraws its requests; a job ends when nobody waits for it any more. Doing it twice is harmless.
#[utoipa::path(post, path = "/submissions/{id}/cancel", tag = "submissions", security(("user" = []), ("token" = [])),
    params(("id" = Uuid, Path)), responses((status = 200, body = Cancelled), Problems))]
async fn cancel_submission(
    State(state): State<Arc<AppState>>,
    AnyUser(user): AnyUser,
    Path(id): Path<Uuid>,
) -> Answer<Json<Cancelled>> {
    let cancelled = submissions::cancel(&state.ctx, &user, id).await?;
    Ok(Json(Cancelled { id, cancelled }))
}

fn out(submission: &Submission, rows: &[RequestRow]) -> SubmissionOut {
    let status = Overall::of(rows.iter().map(|r| r.state));
    let mut models: BTreeMap<String, StateCounts> = BTreeMap::new();
    let mut states = StateCounts::default();
    let mut by_image: HashMap<i64, (usize, Vec<JobState>)> = HashMap::new();
    let mut order = Vec::new();
    for row in rows {
        models.entry(row.model.clone()).or_default().add(row.state);
        states.add(row.state);
        let entry = by_image.entry(row.image_id).or_insert_with(|| {
            order.push(row);
            (order.len() - 1, Vec::new())
        });
        entry.1.push(row.state);
    }
    let image = |row: &&RequestRow| SubmissionImage {
        md5: row.md5.to_string(),
        name: row.name.clone(),
        status: Overall::of(by_image.get(&row.image_id).into_iter().flat_map(|(_, states)| states.iter().copied())),
    };
    let images: Vec<SubmissionImage> = order.iter().map(image).collect();
    let ended = rows.iter().filter(|r| r.state.ended()).count();
    let counts = Counts { images: images.len(), jobs: rows.len(), ended, states };
    SubmissionOut {
        id: submission.id,
        status,
        done: status.done(),
        created_at: submission.created_at,
        images,
        models,
        counts,
    }
}
