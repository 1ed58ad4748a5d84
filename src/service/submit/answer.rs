//! Every image × model gets its job.

use std::collections::HashMap;

use serde_json::Value;
use uuid::Uuid;

use super::plan::Plan;
use super::{Ask, TakenJob};
use crate::domain::job::JobState;
use crate::service::Result;
use crate::service::auth::User;
use crate::store::jobs::{self, Wanted};
use crate::store::moves::Moved;
use crate::store::{models, submissions};

pub(super) type JobsByImage = HashMap<i64, Vec<TakenJob>>;

/// Answers every image × model: with the submission's own earlier job, a cached success, or a live job.
pub(super) async fn answer_jobs(
    db: &mut sqlx::PgConnection,
    user: &User,
    ask: &Ask,
    plan: &Plan,
    submission: Uuid,
    images: &[i64],
) -> Result<(JobsByImage, Vec<Moved>)> {
    let mut params: Vec<(Vec<u8>, Value)> =
        plan.models.iter().map(|(_, p)| (p.hash.to_vec(), p.body.clone())).collect();
    params.sort_by(|a, b| a.0.cmp(&b.0));
    params.dedup_by(|a, b| a.0 == b.0);
    models::keep_params(db, &params).await?;
    let mut wanted: Vec<Wanted> = images
        .iter()
        .flat_map(|image_id| {
            plan.models.iter().map(|(model, params)| Wanted {
                image_id: *image_id,
                model: model.clone(),
                params_hash: params.hash.to_vec(),
            })
        })
        .collect();
    wanted.sort();
    wanted.dedup();
    let mut answers: HashMap<Wanted, (Uuid, JobState, &'static str)> = HashMap::new();
    for before in submissions::answered_before(db, submission, &wanted).await? {
        let outcome = if before.state.ended() { "finished" } else { "attached" };
        answers.insert(before.wanted, (before.job_id, before.state, outcome));
    }
    wanted.retain(|w| !answers.contains_key(w));
    if !ask.rerun {
        for cached in submissions::cached(db, &wanted).await? {
            answers.insert(cached.wanted, (cached.job_id, cached.state, "finished"));
        }
    }
    let live: Vec<Wanted> = wanted.iter().filter(|w| !answers.contains_key(w)).cloned().collect();
    let made = jobs::enqueue(db, &live, &[], &plan.terms, Some(submission), Some(user.account.id)).await?;
    let mut moved = Vec::new();
    for job in made {
        let outcome = if job.created { "created" } else { "attached" };
        answers.insert(job.wanted(), (job.moved.status.id, job.moved.status.state, outcome));
        moved.push(job.moved);
    }
    let requests: Vec<(Wanted, Uuid)> = wanted.into_iter().filter_map(|w| answers.get(&w).map(|a| (w, a.0))).collect();
    submissions::add_requests(db, submission, user.account.id, &requests).await?;
    let mut by_image = JobsByImage::new();
    for (wanted, (id, state, outcome)) in answers {
        by_image.entry(wanted.image_id).or_default().push(TakenJob { id, model: wanted.model, state, outcome });
    }
    by_image.values_mut().for_each(|jobs| jobs.sort_by(|a, b| a.model.cmp(&b.model)));
    Ok((by_image, moved))
}
