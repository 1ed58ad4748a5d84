//! Looks at topics: each shows what its route does, to whom its route does.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::api::events::ImagesState;
use crate::api::exports::ExportOut;
use crate::api::page::{LIMIT_MAX, Page};
use crate::api::queues::Queue;
use crate::api::submissions::SubmissionOut;
use crate::domain::case::CaseRole;
use crate::domain::export::ExportState;
use crate::domain::fault::{Code, Fault};
use crate::domain::topic::Topic;
use crate::http::auth::ResearcherUser;
use crate::http::{Shared, exports, models, submissions, training, workers};
use crate::metrics;
use crate::service::accounts::User;
use crate::service::events::{Audience, Following, TopicState};
use crate::service::{Error, Result, cases, submissions as submission_service};
use crate::store::images;
use crate::store::training::RunFilter;

/// The items of lists of what comes again and again, as the page shows them.
const NEWEST: i64 = 50;
/// How many images of a submission are told; the counts are of all.
const SUBMISSION_IMAGES: i64 = 100;
/// How many photographs of a case are counted.
const IMAGES_COUNTED: i64 = 10_000;
/// The largest state of a topic, in bytes: readers who lag behind each hold one.
const STATE_BYTES_MAX: usize = 512 * 1024;

/// Looks for a user at a topic, or takes what another saw a moment ago; nothing while that is not possible.
///
/// # Errors
/// The topic does not exist, or not for this user; or something is broken here.
pub async fn look(
    state: &Shared,
    user: &User,
    one: &mut Following<'_>,
) -> std::result::Result<Option<Arc<TopicState>>, Fault> {
    let topic = one.topic;
    let looked = async {
        let audience = audience(state, user, topic).await?;
        let cases = match &audience {
            Audience::Cases(cases) => Some(Arc::clone(cases)),
            Audience::Everybody | Audience::Account(_) => None,
        };
        one.look(audience, see(state, user, topic, cases)).await
    };
    match looked.await {
        Ok(Some(seen)) if seen.case.is_some_and(|case| !user.may(case, CaseRole::Viewer)) => {
            Err(Fault::not_found("submission"))
        }
        Ok(seen) => Ok(seen),
        Err(error) if error.is_passing() => {
            one.rest();
            Ok(None)
        }
        Err(Error::Fault(fault)) => Err(fault),
        Err(cause) => {
            tracing::error!(%topic, ?cause, "a topic could not be looked at");
            Err(Fault::new(Code::Internal, "Something is broken here."))
        }
    }
}

/// To whom the topic shows the same as to this user, who may see it.
async fn audience(state: &Shared, user: &User, topic: Topic) -> Result<Audience> {
    let of_cases = async |case| {
        let cases = cases::narrowed(&state.ctx, &state.accounts, user, case).await?;
        Ok(cases.map_or(Audience::Everybody, |cases| Audience::Cases(cases.into())))
    };
    match topic {
        Topic::Queues if state.figures_token.is_some() => {
            let fault =
                Fault::new(Code::MissingRole, "The operator closed the queues to whoever has not the token for them.");
            Err(fault.mend("Follow `models`, which tells how much waits and runs, or ask GET /queues with the operator's token.").into())
        }
        // Whether the user may see it, its case says.
        Topic::Queues | Topic::Models | Topic::Workers | Topic::Submission(_) => Ok(Audience::Everybody),
        Topic::Submissions(case) | Topic::Images(case) => of_cases(case).await,
        // Of a case only while one is a member, as its list sees to.
        Topic::Exports(_) => Ok(user.owner().map_or(Audience::Everybody, Audience::Account)),
        Topic::Datasets => {
            ResearcherUser::check(user)?;
            Ok(Audience::Everybody)
        }
        Topic::Runs | Topic::Run(_) => {
            ResearcherUser::check(user)?;
            Ok(user.owner().map_or(Audience::Everybody, Audience::Account))
        }
    }
}

async fn see(state: &Shared, user: &User, topic: Topic, cases: Option<Arc<[Uuid]>>) -> Result<TopicState> {
    metrics::event_look(topic.kind());
    let ctx = &state.ctx;
    match topic {
        Topic::Queues => {
            let items = state.queues.count().await?.iter().map(Queue::from).collect();
            told(topic, &Page { items, next_cursor: None }, false, None)
        }
        Topic::Models => told(topic, &models::page(ctx, None, false, LIMIT_MAX).await?, false, None),
        Topic::Workers => told(topic, &workers::page(ctx, None, None, LIMIT_MAX).await?, false, None),
        Topic::Submissions(_) => {
            let found = submission_service::list(ctx, cases.as_deref(), None, NEWEST, 0).await?;
            let page = submissions::page(found, NEWEST);
            told(topic, &page, page.items.iter().all(|one| one.done), None)
        }
        Topic::Submission(id) => {
            let shown = submission_service::as_it_is(ctx, id, SUBMISSION_IMAGES).await?;
            let shown = SubmissionOut::from(shown);
            told(topic, &shown, shown.done, Some(shown.case))
        }
        Topic::Datasets => told(topic, &training::datasets_page(ctx, None, LIMIT_MAX).await?, false, None),
        Topic::Runs => {
            let page = training::page(ctx, user, RunFilter::default(), NEWEST).await?;
            told(topic, &page, page.items.iter().all(|run| run.state.ended()), None)
        }
        Topic::Run(id) => {
            let shown = training::shown(ctx, user, id, Duration::ZERO, None).await?;
            told(topic, &shown, shown.run.state.ended(), None)
        }
        Topic::Exports(case) => {
            let page = exports::page(state, user, case, None, NEWEST).await?;
            let over = |export: &ExportOut| matches!(export.state, ExportState::Succeeded | ExportState::Failed);
            told(topic, &page, page.items.iter().all(over), None)
        }
        Topic::Images(case) => {
            let counted = case.map(|_| IMAGES_COUNTED);
            let (images, newest_at, late) =
                ctx.db.run(async |db| images::newest(db, cases.as_deref(), counted).await).await?;
            told(topic, &ImagesState { images, newest_at, late }, false, None)
        }
    }
}

/// A state as it is told.
fn told(topic: Topic, state: &impl Serialize, over: bool, case: Option<Uuid>) -> Result<TopicState> {
    let json = serde_json::to_vec(state).map_err(|error| Error::Internal(error.into()))?;
    if json.len() > STATE_BYTES_MAX {
        let detail = format!("The state of {topic} has {} bytes; the limit is {STATE_BYTES_MAX}.", json.len());
        let fault = Fault::new(Code::AnswerTooLarge, detail);
        return Err(fault.mend("Ask its route page by page instead.").into());
    }
    let digest = Sha256::new().chain_update(topic.to_string()).chain_update(&json).finalize();
    let mark = digest.iter().take(8).fold(0, |mark, byte| mark << 8 | u64::from(*byte));
    Ok(TopicState { json: json.into(), mark, over, case })
}
