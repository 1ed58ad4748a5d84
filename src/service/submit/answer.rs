//! Every image × model gets its job.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::ask::AnsweringJob;
use super::order::{Found, Order};
use crate::domain::job::JobState;
use crate::service::Result;
use crate::store::submit::{self, NewJob, Request, Wanted};
use crate::store::work::Moved;

/// The jobs of an order, by image.
pub(super) type JobsByImage = HashMap<i64, Vec<AnsweringJob>>;

/// One image × model of an order.
#[derive(Clone, Copy)]
struct Pair<'o> {
    order: &'o Order,
    submission: Uuid,
    wanted: &'o Wanted,
}

/// Answers every image × model of every order: with the submission's own earlier job, a cached success, or a live job.
/// No two orders share an image.
pub(super) async fn answer_jobs(
    db: &mut sqlx::PgConnection,
    orders: &[Order],
    submissions: &[Uuid],
    found: &[Vec<Found>],
) -> Result<(Vec<JobsByImage>, Vec<Moved>)> {
    keep_params(db, orders).await?;
    let wanted: Vec<Vec<Wanted>> = orders.iter().zip(found).map(|(order, found)| wanted_of(order, found)).collect();
    let mut open: Vec<Pair<'_>> = Vec::new();
    for (place, (order, wanted)) in orders.iter().zip(&wanted).enumerate() {
        open.extend(wanted.iter().map(|wanted| Pair { order, submission: submissions[place], wanted }));
    }
    open.sort_by_key(|pair| pair.wanted);
    let mut answers: HashMap<Wanted, (Uuid, JobState, &'static str)> = HashMap::new();

    // A submission that is new has asked for nothing before.
    let again: Vec<(Uuid, &Wanted)> =
        open.iter().filter(|p| p.order.submission.is_some()).map(|p| (p.submission, p.wanted)).collect();
    for before in submit::answered_before(db, &again).await? {
        let outcome = if before.state.ended() { "finished" } else { "attached" };
        answers.insert(before.wanted, (before.job_id, before.state, outcome));
    }
    open.retain(|pair| !answers.contains_key(pair.wanted));
    let cacheable: Vec<&Wanted> = open.iter().filter(|pair| !pair.order.rerun).map(|pair| pair.wanted).collect();
    for cached in submit::cached(db, &cacheable).await? {
        answers.insert(cached.wanted, (cached.job_id, cached.state, "finished"));
    }
    let live: Vec<NewJob<'_>> = open.iter().filter(|p| !answers.contains_key(p.wanted)).map(new_job).collect();
    let mut moved = Vec::new();
    for job in submit::enqueue(db, &live).await? {
        let outcome = if job.created { "created" } else { "attached" };
        answers.insert(job.wanted(), (job.moved.status.id, job.moved.status.state, outcome));
        moved.push(job.moved);
    }
    let request = |pair: &Pair<'_>| {
        let (job, ..) = answers.get(pair.wanted)?;
        let (submission, account) = (pair.submission, pair.order.account);
        Some(Request { submission, account, wanted: pair.wanted.clone(), job: *job })
    };
    submit::add_requests(db, &open.iter().filter_map(request).collect::<Vec<_>>()).await?;

    let mut by_image: Vec<JobsByImage> = vec![JobsByImage::new(); orders.len()];
    for (jobs, wanted) in by_image.iter_mut().zip(wanted) {
        // Sorted, so that the jobs of an image come in order of their models.
        for wanted in wanted {
            if let Some((id, state, outcome)) = answers.get(&wanted) {
                let taken = AnsweringJob { id: *id, model: wanted.model, state: *state, outcome };
                jobs.entry(wanted.image_id).or_default().push(taken);
            }
        }
    }
    Ok((by_image, moved))
}

fn wanted_of(order: &Order, found: &[Found]) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = found
        .iter()
        .filter_map(Found::id)
        .flat_map(|image_id| {
            order.plan.models.iter().map(move |(model, params)| Wanted {
                image_id,
                model: model.clone(),
                params_hash: params.hash.to_vec(),
            })
        })
        .collect();
    wanted.sort();
    wanted.dedup();
    wanted
}

fn new_job<'o>(pair: &Pair<'o>) -> NewJob<'o> {
    NewJob {
        wanted: pair.wanted,
        terms: pair.order.plan.terms,
        retry_of: None,
        submission: pair.submission,
        account: pair.order.account,
    }
}

/// Keeps the params of all orders by their hash.
async fn keep_params(db: &mut sqlx::PgConnection, orders: &[Order]) -> Result<()> {
    let models = orders.iter().flat_map(|order| &order.plan.models);
    let params: BTreeMap<&[u8], &serde_json::Value> =
        models.map(|(_, params)| (params.hash.as_slice(), &params.body)).collect();
    Ok(submit::keep_params(db, &params.into_iter().collect::<Vec<_>>()).await?)
}
