//! Taking jobs for one claim: hints are popped, and PostgreSQL decides.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

use super::together::{ClaimShare, First, Granted, take_all};
use crate::index::queue::Popped;
use crate::metrics;
use crate::service::batch::{Batcher, Capacity};
use crate::service::{Ctx, Error, Result, announce};
use crate::store::db::within;
use crate::store::keys::ApiKey;
use crate::store::work::{self, ClaimKey, Claimed, Moved};
use crate::store::workers::Standing;

/// How often a pop that brought only stale hints is tried again before the claim waits.
const STALE_POPS_MAX: usize = 4;
/// The line of claims. A claim is not repeatable: what it took under a lost answer would hang.
const LINE: Capacity = Capacity::USUAL;

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

/// From where jobs are taken.
#[derive(Debug, Clone)]
pub(super) enum Take {
    Replay,
    Suspect,
    /// These, which were given to this claim, and what else the index proposes.
    Hinted(Vec<Uuid>),
    Ranked,
}

impl Take {
    /// Puts what was given to a claim that cannot use it back into its queue.
    pub(super) fn put_back(self, ctx: &Arc<Ctx>) {
        if let Self::Hinted(given) = self {
            announce::put_back_soon(ctx, given);
        }
    }
}

/// The line in which claims take jobs.
pub struct ClaimLine {
    ctx: Arc<Ctx>,
    line: Arc<Batcher<ClaimShare, Granted>>,
}

impl ClaimLine {
    /// The connections that its line uses at once.
    pub const CONNECTIONS: u32 = LINE.at_once;

    pub(super) fn new(ctx: &Arc<Ctx>) -> Self {
        let (taking, losing) = (Arc::clone(ctx), Arc::clone(ctx));
        let lost = move |share: ClaimShare, granted: Granted| {
            let ctx = Arc::clone(&losing);
            tokio::spawn(
                async move { release_unheard(&ctx, share.key.session, &granted.jobs).await }.in_current_span(),
            );
        };
        Self {
            ctx: Arc::clone(ctx),
            line: Batcher::new(LINE, move |shares| take_all(Arc::clone(&taking), shares), lost),
        }
    }

    /// Takes jobs in a task of its own: a client that hangs up meanwhile does not cut a claim in half, and what it
    /// would have got goes back at no cost.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        take: Take,
        ask: Claim,
        standing: &Standing,
    ) -> Result<Vec<Claimed>> {
        let (sender, receiver) = oneshot::channel();
        let own = Arc::clone(self);
        let (worker, model, limited) = (ask.worker, standing.model.clone(), standing.limited);
        let task = async move {
            let taken = within(own.take_jobs(take, &ask, &model, limited)).await;
            if let Err(Ok(jobs)) = sender.send(taken) {
                release_unheard(&own.ctx, worker, &jobs).await;
            }
        };
        tokio::spawn(task.in_current_span());
        receiver.await.unwrap_or_else(|e| Err(Error::Internal(e.into())))
    }

    async fn take_jobs(&self, take: Take, ask: &Claim, model: &str, limited: bool) -> Result<Vec<Claimed>> {
        match take {
            Take::Replay => {
                let taken = self.ctx.db.run(async |db| work::replay_claim(db, ask.key()).await).await?;
                announce_taken(&self.ctx, &taken).await;
                Ok(taken)
            }
            Take::Suspect => take_suspect(&self.ctx, ask, model).await,
            Take::Hinted(_) | Take::Ranked if limited => take_limited(&self.ctx, ask, model).await,
            Take::Hinted(first) => self.take_hinted(ask, model, first).await,
            Take::Ranked => take_ranked(&self.ctx, ask, model).await,
        }
    }

    async fn take_hinted(&self, ask: &Claim, model: &str, mut hints: Vec<Uuid>) -> Result<Vec<Claimed>> {
        if !hints.is_empty() {
            // What is given to a waiter straight away is in the queue all the same, and harmless there.
            let (index, model, given) = (Arc::clone(&self.ctx.index), model.to_owned(), hints.clone());
            tokio::spawn(async move { index.remove(&model, &given).await });
        }
        for _ in 0..STALE_POPS_MAX {
            let room = ask.max - hints.len();
            match if room == 0 { Popped::Hints(Vec::new()) } else { self.ctx.index.pop(model, room).await } {
                Popped::Hints(more) => hints.extend(more),
                Popped::Untrusted => {
                    metrics::claim_fallback(model);
                    return take_ranked(&self.ctx, ask, model).await;
                }
            }
            if hints.is_empty() {
                return Ok(Vec::new());
            }
            let taken =
                self.take_together(ClaimShare { key: ask.key(), hints: hints.clone(), first: None }).await?.jobs;
            hints.retain(|id| !taken.iter().any(|j| j.moved.status.id == *id));
            if !hints.is_empty() {
                // Without a wake-up, which would come back to this very claim: the probe is the back-stop.
                announce::put_back(&self.ctx, &hints).await?;
                hints.clear();
            }
            if !taken.is_empty() {
                return Ok(taken);
            }
        }
        Ok(Vec::new())
    }

    /// Keeps the session alive, reads what it may do, and takes what there is for it if nothing speaks against it: all of it
    /// together with other claims that come at the same time.
    pub(super) async fn first_look(&self, key: &ApiKey, ask: &Claim) -> Result<Granted> {
        let max = if ask.lingers() { 0 } else { ask.max };
        let first = First { key: key.id.clone(), max };
        self.take_together(ClaimShare { key: ask.key(), hints: Vec::new(), first: Some(first) }).await
    }

    /// Takes jobs together with other claims that come at the same time.
    async fn take_together(&self, share: ClaimShare) -> Result<Granted> {
        let weight = share.hints.len().max(1);
        // A claim that is sent again while it is carried out finds afterwards what it got.
        let keys = vec![share.key.claim.as_u64_pair().1];
        self.line.call_apart(share, weight, keys).await
    }
}

async fn take_ranked(ctx: &Ctx, ask: &Claim, model: &str) -> Result<Vec<Claimed>> {
    let taken = ctx.db.run(async |db| work::claim_ranked(db, ask.key(), model, ask.max as i64).await).await?;
    forget_hints(ctx, model, &taken).await;
    announce_taken(ctx, &taken).await;
    Ok(taken)
}

/// Under a limit the model's row is locked first and the running jobs are counted in a second statement; by
/// rank from PostgreSQL, because what a pop brings might be more than there is room for.
async fn take_limited(ctx: &Ctx, ask: &Claim, model: &str) -> Result<Vec<Claimed>> {
    let taken = ctx
        .db
        .write(async |tx| {
            let room = work::room_under_limit(tx, model).await?.min(ask.max as i64);
            if room == 0 { Ok(Vec::new()) } else { work::claim_ranked(tx, ask.key(), model, room).await }
        })
        .await?;
    forget_hints(ctx, model, &taken).await;
    announce_taken(ctx, &taken).await;
    Ok(taken)
}

async fn take_suspect(ctx: &Ctx, ask: &Claim, model: &str) -> Result<Vec<Claimed>> {
    let taken = ctx
        .db
        .write(async |tx| match work::room_under_limit(tx, model).await? {
            0 => Ok(Vec::new()),
            _ => work::claim_suspect(tx, ask.key(), model).await,
        })
        .await?;
    announce_taken(ctx, &taken).await;
    Ok(taken)
}

async fn announce_taken(ctx: &Ctx, taken: &[Claimed]) {
    let moved: Vec<Moved> = taken.iter().map(|j| j.moved.clone()).collect();
    announce::moved(ctx, &moved).await;
}

async fn forget_hints(ctx: &Ctx, model: &str, taken: &[Claimed]) {
    let ids: Vec<Uuid> = taken.iter().map(|j| j.moved.status.id).collect();
    ctx.index.remove(model, &ids).await;
}

/// Releases what was taken for a claimer that hung up meanwhile.
async fn release_unheard(ctx: &Ctx, worker: Uuid, claimed: &[Claimed]) {
    let items: Vec<(Uuid, i64)> = claimed.iter().map(|j| (j.moved.status.id, j.moved.lease_no)).collect();
    if items.is_empty() {
        return;
    }
    let released = ctx.db.run(async |db| work::release(db, worker, &items).await).await;
    match released {
        Ok(moved) => announce::moved(ctx, &moved).await,
        // Its next beat does not list them, and one lease later they are released.
        Err(error) => tracing::warn!(%error, worker = %worker, "jobs of a claimer that hung up wait for its next beat"),
    }
}
