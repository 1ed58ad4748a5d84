//! Every image × model gets its job.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use super::ask::AnsweringJob;
use super::order::{Found, Order};
use crate::domain::job::JobState;
use crate::service::Result;
use crate::store::submissions::{self, Request};
use crate::store::submit::{self, Attached, CachedJob, Made, MadeOrFound, Wanted, Wish};
use crate::store::work::Moved;

/// The jobs of an order, by image.
pub(super) type JobsByImage = HashMap<i64, Vec<AnsweringJob>>;

/// The numbers of params, by their hashes.
pub(super) type ParamsIds = HashMap<[u8; 32], i64>;

/// One image × model of an order, and the job that answers it.
struct Pair<'o> {
    order: usize,
    model: &'o str,
    /// Its image was stored by this very transaction: nothing can be known of it.
    fresh: bool,
    wish: Wish,
    answer: Option<PairAnswer>,
}

#[derive(Clone, Copy)]
struct PairAnswer {
    job: Uuid,
    state: JobState,
    /// `created`, `attached` or `finished`.
    outcome: &'static str,
}

/// Answers every image × model of every order: with the submission's own earlier job, a cached success, a live job, or a new
/// one. No two orders share an image. `careful` is the way after another submission made one of them at the same time.
pub(super) async fn answer_jobs(
    db: &mut PgConnection,
    orders: &[Order],
    submissions: &[Uuid],
    found: &[Vec<Found>],
    params: &ParamsIds,
    careful: bool,
) -> Result<(Vec<JobsByImage>, Vec<Moved>)> {
    let mut pairs = pairs(orders, submissions, found, params);
    answer_before(db, orders, &mut pairs).await?;
    let mut asked: Vec<Wanted> = pairs.iter().filter(|p| p.answer.is_none()).map(|p| p.wish.wanted).collect();
    asked.sort_unstable();
    answer_cached(db, &mut pairs).await?;
    let mut moved = attach(db, &mut pairs).await?;
    // New jobs write their requests themselves.
    add_requests(db, &pairs, &asked).await?;
    moved.extend(if careful { insert_or_attach(db, &mut pairs).await? } else { insert(db, &mut pairs).await? });
    Ok((by_image(orders.len(), pairs), moved))
}

/// In order of what they want, so that two submissions cannot deadlock over what they insert; each once.
fn pairs<'o>(orders: &'o [Order], submissions: &[Uuid], found: &[Vec<Found>], params: &ParamsIds) -> Vec<Pair<'o>> {
    let mut pairs = Vec::new();
    for (place, (order, found)) in orders.iter().zip(found).enumerate() {
        for image in found {
            let Some(image_id) = image.id() else { continue };
            for model in &order.plan.models {
                let Some(params_id) = params.get(&model.params.hash).copied() else { continue };
                let wish = Wish {
                    wanted: Wanted { image_id, queue_id: model.queue_id, params_id },
                    terms: order.plan.terms,
                    submission: submissions[place],
                    account: order.account,
                    retry_of: None,
                    takes_result: !order.rerun && !image.is_new(),
                };
                pairs.push(Pair { order: place, model: &model.name, fresh: image.is_new(), wish, answer: None });
            }
        }
    }
    pairs.sort_by_key(|pair| pair.wish.wanted);
    pairs.dedup_by_key(|pair| pair.wish.wanted);
    pairs
}

/// With what the submission asked for before; one that is new has asked for nothing.
async fn answer_before(db: &mut PgConnection, orders: &[Order], pairs: &mut [Pair<'_>]) -> Result<()> {
    let mut again: Vec<&mut Pair<'_>> =
        pairs.iter_mut().filter(|pair| orders[pair.order].submission.is_some()).collect();
    let wanted: Vec<(Uuid, Wanted)> = again.iter().map(|pair| (pair.wish.submission, pair.wish.wanted)).collect();
    for before in submissions::answered_before(db, &wanted).await? {
        let outcome = if before.state.ended() { "finished" } else { "attached" };
        again[before.place.0].answer = Some(PairAnswer { job: before.job_id, state: before.state, outcome });
    }
    Ok(())
}

async fn answer_cached(db: &mut PgConnection, pairs: &mut [Pair<'_>]) -> Result<()> {
    let mut open = open(pairs, |pair| pair.wish.takes_result);
    if open.is_empty() {
        return Ok(());
    }
    let wanted: Vec<Wanted> = open.iter().map(|pair| pair.wish.wanted).collect();
    for CachedJob { place, job_id } in submit::cached(db, &wanted).await? {
        open[place.0].answer = Some(PairAnswer { job: job_id, state: JobState::Succeeded, outcome: "finished" });
    }
    Ok(())
}

/// With live jobs; answers those of them that waiting claims may be told of.
async fn attach(db: &mut PgConnection, pairs: &mut [Pair<'_>]) -> Result<Vec<Moved>> {
    let mut open = open(pairs, |pair| !pair.fresh);
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let wishes: Vec<Wish> = open.iter().map(|pair| pair.wish).collect();
    let mut moved = Vec::new();
    for live in submit::attach(db, &wishes).await? {
        let pair = &mut open[live.place.0];
        pair.answer = Some(PairAnswer { job: live.id, state: live.state, outcome: "attached" });
        moved.push(attached(&pair.wish.wanted, &live));
    }
    Ok(moved)
}

/// With new jobs; where a success came since the cache was asked, with that.
async fn insert(db: &mut PgConnection, pairs: &mut [Pair<'_>]) -> Result<Vec<Moved>> {
    let mut open = open(pairs, |_| true);
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let wishes: Vec<Wish> = open.iter().map(|pair| pair.wish).collect();
    let made = submit::insert(db, &wishes).await?;
    for job in &made {
        open[job.place.0].answer = Some(PairAnswer { job: job.id, state: JobState::Queued, outcome: "created" });
    }
    if made.len() < wishes.len() {
        let late: Vec<Wanted> = open.iter().filter(|pair| pair.answer.is_none()).map(|pair| pair.wish.wanted).collect();
        answer_cached(db, pairs).await?;
        add_requests(db, pairs, &late).await?;
    }
    Ok(made.iter().map(|job| new_job(&wishes[job.place.0].wanted, job)).collect())
}

/// Writes down who asked for those of the wanted, in order, that are answered without a new job.
async fn add_requests(db: &mut PgConnection, pairs: &[Pair<'_>], wanted: &[Wanted]) -> Result<()> {
    let among = pairs.iter().filter(|pair| wanted.binary_search(&pair.wish.wanted).is_ok());
    Ok(submissions::add_requests(db, &among.filter_map(request).collect::<Vec<_>>()).await?)
}

/// With new jobs, or with those that others made meanwhile.
async fn insert_or_attach(db: &mut PgConnection, pairs: &mut [Pair<'_>]) -> Result<Vec<Moved>> {
    let mut open = open(pairs, |_| true);
    if open.is_empty() {
        return Ok(Vec::new());
    }
    let wishes: Vec<Wish> = open.iter().map(|pair| pair.wish).collect();
    let mut moved = Vec::new();
    for MadeOrFound { job, created } in submit::insert_or_attach(db, &wishes).await? {
        let outcome = if created { "created" } else { "attached" };
        open[job.place.0].answer = Some(PairAnswer { job: job.id, state: job.state, outcome });
        moved.push(attached(&wishes[job.place.0].wanted, &job));
    }
    Ok(moved)
}

fn open<'p, 'o>(pairs: &'p mut [Pair<'o>], among: impl Fn(&Pair<'o>) -> bool) -> Vec<&'p mut Pair<'o>> {
    pairs.iter_mut().filter(|pair| pair.answer.is_none() && among(pair)).collect()
}

fn request(pair: &Pair<'_>) -> Option<Request> {
    let answer = pair.answer?;
    let ended = answer.state.ended().then_some(answer.state);
    Some(Request { submission: pair.wish.submission, wanted: pair.wish.wanted, job: answer.job, ended })
}

/// Sorted, so that the jobs of an image come in order of their models.
fn by_image(orders: usize, mut pairs: Vec<Pair<'_>>) -> Vec<JobsByImage> {
    pairs.sort_by_key(|pair| pair.model);
    let mut jobs = vec![JobsByImage::new(); orders];
    for pair in pairs {
        let Some(PairAnswer { job, state, outcome }) = pair.answer else { continue };
        let taken = AnsweringJob { id: job, model: pair.model.to_owned(), state, outcome };
        jobs[pair.order].entry(pair.wish.wanted.image_id).or_default().push(taken);
    }
    jobs
}

/// A job that was made, for those who are told.
pub(in crate::service) fn new_job(wanted: &Wanted, made: &Made) -> Moved {
    Moved {
        id: made.id,
        image_id: Some(wanted.image_id),
        queue_id: wanted.queue_id,
        lease_no: 0,
        session: None,
        version: 1,
        state: JobState::Queued,
        reason: None,
        rank: made.rank,
        due: made.due,
        suspect: false,
    }
}

/// A live job that was attached to, for those who are told.
pub(in crate::service) fn attached(wanted: &Wanted, live: &Attached) -> Moved {
    Moved {
        id: live.id,
        image_id: Some(wanted.image_id),
        queue_id: wanted.queue_id,
        lease_no: 0,
        session: None,
        version: live.version,
        state: live.state,
        reason: None,
        rank: live.rank,
        due: live.due,
        suspect: live.suspect,
    }
}
