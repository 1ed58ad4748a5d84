//! Completions, guarded by the fence (job, lease_no, session of the calling key, running).

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use sqlx::PgConnection;
use uuid::Uuid;

use super::finish::{Checks, Finish, Item};
use super::schemas::Schemas;
use super::verdict::{Accepted, Done, Ended, answer, judge, stale};
use crate::domain::job::{JobState, Outcome};
use crate::domain::result::{self, Upright};
use crate::domain::ruling::{Reason, Ruling};
use crate::service::batch::{Answers, Batcher, Capacity};
use crate::service::transition::{self, Ruled};
use crate::service::workers::{Workers, lease_no as lease};
use crate::service::{Ctx, Result, announce};
use crate::store::images::upright_of_jobs;
use crate::store::keys::ApiKey;
use crate::store::work::{self, Ending, Fence, Held, Holder, Lease, LeasedResult, Moved};
use crate::store::workers::{Touch, overdue_s, touch};

/// The line of completions; the same lease ends once.
const LINE: Capacity = Capacity { repeatable: true, ..Capacity::USUAL };

/// What one request says of its jobs: for the batch that carries out several such.
#[derive(Clone)]
pub struct Completion {
    holder: Holder,
    fences: Arc<[Fence]>,
    /// What is good of it, each job once.
    finishes: Arc<[Finish]>,
}

impl Completion {
    /// How much it is of a batch: as many as its items, more if they are large.
    fn weight(&self) -> usize {
        const WEIGHED_BYTES: usize = 16 * 1024;
        let bytes: usize = self.finishes.iter().filter_map(|finish| finish.document.as_ref()).map(String::len).sum();
        self.fences.len().max(bytes / WEIGHED_BYTES)
    }
}

/// The completions of all workers.
pub struct Completions {
    ctx: Arc<Ctx>,
    workers: Arc<Workers>,
    line: Arc<Batcher<Completion, Vec<Option<Accepted>>>>,
    schemas: Schemas,
    checks: Checks,
}

impl Completions {
    /// The connections that its line uses at once.
    pub const CONNECTIONS: u32 = LINE.at_once;

    pub fn new(ctx: &Arc<Ctx>, workers: &Arc<Workers>) -> Self {
        let own = Arc::clone(ctx);
        let line = Batcher::new(LINE, move |calls| complete_together(Arc::clone(&own), calls), |_, _| {});
        let workers = Arc::clone(workers);
        Self { ctx: Arc::clone(ctx), workers, line, schemas: Schemas::new(), checks: Checks::new() }
    }

    /// Ends or requeues what the session holds; answers every item in order. Of several for one job the first counts. A result that
    /// does not hold ends its job as rejected, so that a broken model does not try it for ever.
    pub async fn complete(&self, key: &ApiKey, worker: Uuid, items: Vec<Item>) -> Result<Vec<Done>> {
        let holder = Holder { session: worker, key: key.id.clone() };
        let (upright, schema) = (self.upright(&items).await?, self.schemas.of(&self.ctx, &holder).await?);
        let (mut fences, mut finishes, mut refused) =
            (Vec::with_capacity(items.len()), Vec::with_capacity(items.len()), Vec::new());
        let mut first = HashSet::new();
        let mut done = Vec::with_capacity(items.len());
        let checked = self.checks.all(&self.ctx, key.service, items, upright, schema).await?;
        for (place, (id, lease_no, checked)) in checked.into_iter().enumerate() {
            let pointer = format!("/items/{place}");
            match checked {
                Err(fault) => done.push(Done { id, outcome: Err(fault.under(&pointer)) }),
                Ok(finish) => {
                    refused.extend(finish.refused.clone().map(|fault| (place, fault.under(&pointer))));
                    let (holder, said) = (holder.clone(), finish.outcome.as_str());
                    fences.push(Fence { holder, id, lease_no: lease(lease_no), said });
                    finishes.extend(first.insert(id).then_some(finish));
                    done.push(Done { id, outcome: Err(stale(id, lease_no)) });
                }
            }
        }
        if first.is_empty() {
            // Nothing to say is a sign of life as well; that of a session that is over is none.
            self.workers.touch(&holder, None).await?;
            return Ok(done);
        }
        let completion = Completion { holder, fences: fences.into(), finishes: finishes.into() };
        let weight = completion.weight();
        let mut done = answer(done, self.line.call(completion, weight).await?);
        for (place, fault) in refused {
            // Also when it is sent again. What is not held any more is stale, whatever was to be said of it.
            if matches!(&done[place].outcome, Ok(accepted) if accepted.state == JobState::Failed) {
                done[place].outcome = Err(fault);
            }
        }
        Ok(done)
    }

    /// The sizes of the images of those jobs whose results may have places in pixels: they are few.
    async fn upright(&self, items: &[Item]) -> Result<HashMap<Uuid, Upright>> {
        let in_pixels = |item: &&Item| item.result.as_deref().is_some_and(result::may_be_in_pixels);
        let jobs: Vec<Uuid> = items.iter().filter(in_pixels).map(|item| item.id).collect();
        if jobs.is_empty() {
            return Ok(HashMap::new());
        }
        Ok(self.ctx.work.run(async |db| upright_of_jobs(db, &jobs).await).await?.into_iter().collect())
    }
}

/// An item, and who sent it.
type Sent<'c> = (&'c Holder, &'c Finish);

/// Carries out the completions of several requests together: first what succeeded, then whatever that left.
async fn complete_together(ctx: Arc<Ctx>, calls: Vec<Completion>) -> Result<Answers<Vec<Option<Accepted>>>> {
    let mut first = HashSet::new();
    let all = calls.iter().flat_map(|call| call.finishes.iter().map(|finish| (&call.holder, finish)));
    // Each word about each lease counts, so that no other about the same job can stand before it.
    let once: Vec<Sent<'_>> =
        all.filter(|(holder, finish)| first.insert((*holder, finish.id, finish.lease_no))).collect();
    let fences: Vec<&[Fence]> = calls.iter().map(|call| &*call.fences).collect();
    let lease_s = ctx.limits.lease_s;
    let FirstPass { mut moved, mut ended, served, left, overdue } =
        ctx.hot.run(async |db| succeed(db, &once, lease_s).await).await?;
    ctx.versions.served(&served);
    let verdicts = async {
        if !left.is_empty() || !overdue.is_empty() {
            let settled = ctx.hot.write(async |tx| settle(tx, &left, overdue.clone(), lease_s).await).await?;
            ended.extend(settled.ended);
            ctx.versions.served(&settled.served);
            moved.extend(settled.moved);
        }
        ctx.hot.run(async |db| judge(db, ended.clone(), &fences).await).await
    };
    let verdicts = verdicts.await;
    // What is committed is told, whatever becomes of the rest: carried out again, this would not meet it.
    announce::retried(&ctx, &moved).await;
    let then = announce::soon(&ctx, moved);
    match verdicts {
        Ok(each) => Ok(Answers { each, then }),
        Err(error) => {
            if let Some(then) = then {
                then.await;
            }
            Err(error)
        }
    }
}

/// What succeeded at once, and what did not.
#[derive(Default)]
struct FirstPass<'c> {
    moved: Vec<Moved>,
    ended: Ended<'c>,
    /// The version by which each of them succeeded.
    served: Vec<i32>,
    left: Vec<Sent<'c>>,
    /// Those of whom nothing was heard for a while.
    overdue: HashSet<&'c Holder>,
}

async fn succeed<'c>(db: &mut PgConnection, sent: &[Sent<'c>], lease_s: f64) -> Result<FirstPass<'c>> {
    let success = |(holder, finish): &Sent<'c>| {
        let document = finish.document.as_deref()?;
        Some(LeasedResult { holder, id: finish.id, lease_no: finish.lease_no, document, duration_s: finish.duration_s })
    };
    let mut successes: Vec<LeasedResult<'c>> = sent.iter().filter_map(success).collect();
    let mut done = FirstPass::default();
    if !successes.is_empty() {
        for one in work::succeed(db, &mut successes, overdue_s(lease_s)).await? {
            let holder = successes[one.place.0].holder;
            done.ended.insert((holder, one.moved.id, one.moved.lease_no), one.moved.state);
            done.served.push(one.version_id);
            done.overdue.extend(one.overdue.then_some(holder));
            done.moved.push(one.moved);
        }
    }
    let is_left = |(holder, finish): &&Sent<'c>| !done.ended.contains_key(&(*holder, finish.id, finish.lease_no));
    done.left = sent.iter().filter(is_left).copied().collect();
    Ok(done)
}

/// What came of the rest.
struct SecondPass<'c> {
    moved: Vec<Moved>,
    ended: Ended<'c>,
    served: Vec<i32>,
}

/// Carries out what is no plain success: failures, and whatever suspects came to. Sessions are locked before jobs, and a word
/// of theirs is a sign of life.
async fn settle<'c>(
    db: &mut PgConnection,
    left: &[Sent<'c>],
    mut heard: HashSet<&'c Holder>,
    lease_s: f64,
) -> Result<SecondPass<'c>> {
    heard.extend(left.iter().map(|(holder, _)| *holder));
    let signs: Vec<Touch> = heard.into_iter().map(|holder| Touch { holder: holder.clone(), claim: None }).collect();
    touch(db, &signs, lease_s).await?;
    let lease = |(holder, finish): &Sent<'c>| Lease { holder, id: finish.id, lease_no: finish.lease_no };
    let held = work::hold_leases(db, &left.iter().map(lease).collect::<Vec<_>>()).await?;
    let (mut ruled, mut endings) = (Vec::new(), Vec::new());
    for (place, held) in &held {
        let finish = left[*place].1;
        match finish.document.as_deref() {
            Some(document) => {
                endings.push(Ending {
                    by_worker: true,
                    document: Some(document),
                    duration_s: finish.duration_s,
                    outcome: None,
                    ..Ending::plain(held, JobState::Succeeded, None)
                });
            }
            None => ruled.push(rule(held, finish)),
        }
    }
    let mut moved = transition::carry_out(db, ruled).await?;
    if let Some(at) = held.iter().map(|(_, held)| held.at).max() {
        moved.extend(work::end(db, &endings, at, None).await?);
    }
    let holders: HashMap<Uuid, &'c Holder> = held.iter().map(|(place, held)| (held.id, left[*place].0)).collect();
    let ended = moved.iter().map(|job| ((holders[&job.id], job.id, job.lease_no), job.state)).collect();
    let served = endings.iter().map(|ending| ending.held.version_id).collect();
    Ok(SecondPass { moved, ended, served })
}

fn rule<'a>(held: &'a Held, finish: &Finish) -> Ruled<'a> {
    let ruling = match finish.outcome {
        Outcome::Rejected => {
            let (attempts, deaths) = (held.facts.attempt, held.facts.deaths);
            Ruling::Fails { reason: Reason::Rejected, attempts, deaths }
        }
        Outcome::Retry | Outcome::Succeeded => held.facts.after_failure(held.at, finish.retry_after_s, finish.jitter),
    };
    Ruled {
        held,
        ruling,
        outcome: finish.outcome.as_str(),
        code: "requeued",
        by_worker: true,
        duration_s: finish.duration_s,
        failure: finish.failure.clone(),
    }
}
