//! Acts of people, as administrators find them.

use axum::extract::State;
use chrono::{DateTime, Utc};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::AdminUser;
use super::extract::{self, Json, Query};
use super::problem::Answer;
use super::{AppState, Shared};
use crate::api::acts::{ActsQuery, AuditAct};
use crate::api::page::Page;
use crate::domain::fault::Fault;
use crate::domain::json;
use crate::service::Error;
use crate::store::acts::{self, ActsSought, FoundAct};

/// The list, as its cursors name it.
const LIST: &str = "acts";

pub fn router() -> OpenApiRouter<Shared> {
    OpenApiRouter::new().routes(routes!(search_audit))
}

/// Searches what people did
///
/// Who did what to whom and when, newest first: log-ins, views, accounts, keys, cases and their members, models, workers, what was
/// cancelled or tried again, and what retention removed. Plain transitions of jobs are in `GET /jobs/{id}` and in the audit's views. A page
/// may be short, or empty, and not the last: follow `next_cursor` until it is null. For administrators.
#[utoipa::path(get, path = "/search/audit", tag = "search", security(("user" = []), ("token" = [])), params(ActsQuery),
    responses((status = 200, body = Page<AuditAct>)))]
async fn search_audit(
    State(state): AppState,
    _: AdminUser,
    Query(query): Query<ActsQuery>,
) -> Answer<Json<Page<AuditAct>>> {
    let limit = extract::limit(query.limit)?;
    let sought = read(query)?;
    let find = state.ctx.search.run(async |db| Ok::<_, Error>(acts::find(db, &sought, limit).await?));
    let (found, next) = find.await?;
    let next_cursor = next.map(|place| extract::write_cursor(LIST, &place));
    Ok(Json(Page { items: found.into_iter().map(AuditAct::from).collect(), next_cursor }))
}

fn read(query: ActsQuery) -> Result<ActsSought, Fault> {
    // Nothing was before, and PostgreSQL counts from a later year than the calendar of this program.
    let instant = |at: DateTime<Utc>| at.max(DateTime::UNIX_EPOCH);
    for text in [&query.account, &query.code, &query.subject, &query.model].into_iter().flatten() {
        json::check_text(text)?;
    }
    let codes = query.code.map(|codes| codes.split(',').map(|code| code.trim().to_owned()).collect());
    Ok(ActsSought {
        before_place: extract::read_cursor(LIST, query.cursor.as_deref())?,
        not_before: query.after.map(instant),
        before: query.before.map(instant),
        codes,
        account: query.account,
        subject: query.subject,
        model: query.model,
    })
}

impl From<FoundAct> for AuditAct {
    fn from(act: FoundAct) -> Self {
        Self {
            at: act.at,
            code: act.code,
            account: act.account,
            subject_id: act.subject_id,
            subject: act.subject,
            key: act.key_id,
            worker: act.worker,
            model: act.model,
            job: act.job_id,
            submission: act.submission_id,
            reason: act.reason,
            count: act.count,
            since: act.since,
        }
    }
}
