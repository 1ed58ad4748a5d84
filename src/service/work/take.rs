//! Claims jobs: hints are popped, and one statement decides for many claims at once.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgConnection;
use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

use super::together::{ClaimShare, Granted, HELD_MAX, Known, TAKEN_AT_ONCE, as_moved, put_back, take_all};
use crate::service::batch::{Batcher, Capacity};
use crate::service::{Ctx, Error, Result, announce, transition};
use crate::store::db::within;
use crate::store::keys::ApiKey;
use crate::store::work::{self, Asked, ClaimKey, Claimed};
use crate::store::workers::Standing;

/// What a worker asks for.
#[derive(Debug, Clone)]
pub struct Claim {
    pub worker: Uuid,
    pub claim_id: Uuid,
    /// At most this many jobs.
    pub max: usize,
    /// How long to wait for the first.
    pub wait: Duration,
    /// With `linger`: wait until this many are there.
    pub min: usize,
    /// How long to wait for `min` once there is one.
    pub linger: Duration,
}

impl Claim {
    pub(super) const fn lingers(&self) -> bool {
        self.min > 1 && !self.linger.is_zero()
    }

    pub(super) const fn key(&self) -> ClaimKey {
        ClaimKey { session: self.worker, claim: self.claim_id }
    }
}

/// The line of claims.
const LINE: Capacity = Capacity::USUAL;

/// From where jobs are taken.
#[derive(Debug, Clone)]
pub(super) enum Take {
    /// What the same claim was given before.
    Replay,
    /// A suspect, alone.
    Suspect,
    /// These, which were given to this claim, and what else the index proposes.
    Hinted(Vec<Uuid>),
    /// What PostgreSQL has, by rank: the index may not show it.
    Ranked,
}

impl Take {
    /// Puts back into the queue what was given to a claim that cannot use it; nobody is woken, who could not either.
    pub(super) fn put_back(&self, ctx: &Arc<Ctx>) {
        if let Self::Hinted(given) = self {
            put_back(ctx, given.clone());
        }
    }
}

/// Jobs for claims.
pub struct ClaimLine {
    ctx: Arc<Ctx>,
    line: Arc<Batcher<ClaimShare, Granted>>,
}

impl ClaimLine {
    /// The connections that its line uses at once.
    pub const CONNECTIONS: u32 = LINE.at_once;

    pub(super) fn new(ctx: &Arc<Ctx>) -> Self {
        let (taking, losing) = (Arc::clone(ctx), Arc::clone(ctx));
        let lost = move |_: ClaimShare, taken: Granted| {
            let ctx = Arc::clone(&losing);
            tokio::spawn(async move { give_back(&ctx, &taken.jobs).await }.in_current_span());
        };
        let line = Batcher::new(LINE, move |takings| take_all(Arc::clone(&taking), takings), lost);
        Self { ctx: Arc::clone(ctx), line }
    }

    /// Keeps the session alive, reads what it may do, and takes what there is for it if nothing speaks against it: all of it
    /// together with other claims that come at the same time.
    pub(super) async fn first_look(&self, key: &ApiKey, ask: &Claim) -> Result<Granted> {
        let max = if ask.lingers() { 0 } else { ask.max };
        let known = Known::Key(key.id.as_str().into());
        self.take_together(ClaimShare { key: ask.key(), max, known, given: Vec::new(), ranked: false }).await
    }

    /// Takes jobs for a claim that has looked before.
    pub(super) async fn look_again(&self, take: Take, ask: &Claim, standing: &Arc<Standing>) -> Result<Vec<Claimed>> {
        match self.look(take, ask, standing).await {
            // The same claim was sent again, and got jobs, while this one waited: they are that one's.
            Err(error) if error.is_crossed() => Ok(Vec::new()),
            looked => looked,
        }
    }

    async fn look(&self, take: Take, ask: &Claim, standing: &Arc<Standing>) -> Result<Vec<Claimed>> {
        let ctx = &self.ctx;
        let counted = standing.limited || matches!(take, Take::Suspect);
        let (given, ranked) = match take {
            Take::Replay => return apart(ctx, ask, |ctx, ask| async move { take_again(&ctx, &ask).await }).await,
            take if counted => {
                take.put_back(ctx);
                let (standing, suspect) = (Arc::clone(standing), matches!(take, Take::Suspect));
                let take = move |ctx: Arc<Ctx>, ask| async move { take_counted(&ctx, &ask, &standing, suspect).await };
                return apart(ctx, ask, take).await;
            }
            Take::Hinted(given) => (given, false),
            Take::Suspect | Take::Ranked => (Vec::new(), true),
        };
        if !given.is_empty() {
            // What is given to a waiter straight away is in the queue all the same, and harmless there.
            let (ctx, model, given) = (Arc::clone(ctx), standing.model.clone(), given.clone());
            tokio::spawn(async move { ctx.index.remove(&model, &given).await });
        }
        let known = Known::Standing(Arc::clone(standing));
        Ok(self.take_together(ClaimShare { key: ask.key(), max: ask.max, known, given, ranked }).await?.jobs)
    }

    /// Takes jobs together with other claims that come at the same time.
    async fn take_together(&self, taking: ClaimShare) -> Result<Granted> {
        let weight = taking.max.clamp(1, TAKEN_AT_ONCE);
        // A claim that is sent again while it is carried out finds afterwards what it got.
        let keys = vec![taking.key.claim.as_u64_pair().1];
        self.line.call_apart(taking, weight, keys).await
    }
}

/// Carries out a claim in a task of its own: a client that hangs up meanwhile does not cut it in half, and what it would
/// have got goes back at no cost.
async fn apart<F>(ctx: &Arc<Ctx>, ask: &Claim, take: impl FnOnce(Arc<Ctx>, Claim) -> F) -> Result<Vec<Claimed>>
where
    F: Future<Output = Result<Vec<Claimed>>> + Send + 'static,
{
    let (sender, receiver) = oneshot::channel();
    let taking = take(Arc::clone(ctx), ask.clone());
    let ctx = Arc::clone(ctx);
    let task = async move {
        let taken = within(taking).await;
        if let Ok(jobs) = &taken {
            announce::moved(&ctx, &jobs.iter().map(as_moved).collect::<Vec<_>>()).await;
        }
        if let Err(Ok(jobs)) = sender.send(taken) {
            give_back(&ctx, &jobs).await;
        }
    };
    tokio::spawn(task.in_current_span());
    receiver.await.unwrap_or_else(|e| Err(Error::Internal(e.into())))
}

/// What the same claim still holds, under new leases.
async fn take_again(ctx: &Ctx, ask: &Claim) -> Result<Vec<Claimed>> {
    Ok(ctx.work.run(async |db| work::reclaim(db, ask.key()).await).await?)
}

/// Under a limit the model's row is locked first and the running jobs are counted in a second statement; by rank from
/// PostgreSQL, because what a pop brings might be more than there is room for. A suspect is one job more as well.
async fn take_counted(ctx: &Arc<Ctx>, ask: &Claim, standing: &Standing, suspect: bool) -> Result<Vec<Claimed>> {
    let counted = async |tx: &mut PgConnection| {
        let room =
            work::room_under_limit(tx, standing.queue_id).await?.min(ask.max as i64).min(HELD_MAX - standing.held);
        if room <= 0 {
            return Ok(Vec::new());
        }
        if !suspect {
            let asked = Asked { key: ask.key(), most: room as i32 };
            return work::claim_ranked(tx, &[asked], room, true).await;
        }
        if work::lock_free_session(tx, ask.worker).await? {
            work::claim_suspect(tx, ask.key()).await
        } else {
            Ok(Vec::new())
        }
    };
    let jobs: Vec<Claimed> = ctx.work.write(counted).await?;
    // They were taken past the queue, and nobody would ever pop them.
    ctx.index.remove(&standing.model, &jobs.iter().map(|job| job.id).collect::<Vec<_>>()).await;
    Ok(jobs)
}

/// Gives back what nobody was there to take.
async fn give_back(ctx: &Ctx, jobs: &[Claimed]) {
    if jobs.is_empty() {
        return;
    }
    let released = ctx.work.write(async |tx| transition::release_taken(tx, jobs).await).await;
    match released {
        Ok(moved) => announce::moved(ctx, &moved).await,
        // Its next beat does not list them, and one lease later they are released.
        Err(error) => tracing::warn!(%error, "jobs of a claimer that hung up wait for its next beat"),
    }
}
