//! Taking jobs: hints are popped, and one statement decides for many claims at once.

use crate::index::queue::Popped;
use crate::metrics;
use crate::service::batch::{Answers, Batcher, Capacity};
use crate::service::{Ctx, Error, Result, announce, queues};
use crate::store::db::within;
use crate::store::keys::ApiKey;
use crate::store::work::{self, ClaimKey, Claimed, Moved};
use crate::store::workers::{self, Holder, Standing, Touch, Turn};
use futures_util::future::join_all;
use sqlx::PgConnection;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

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

/// How often a pop that brought only stale hints is tried again before the claim waits.
const STALE_POPS_MAX: usize = 4;

/// The most jobs popped for one batch of claims.
const POPPED_AT_ONCE: usize = 1_000;

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
    /// Puts back into the queue what was given to a claim that cannot use it; nobody is woken, who could not either.
    pub(super) fn put_back(&self, ctx: &Arc<Ctx>) {
        let Self::Hinted(given) = self else { return };
        if given.is_empty() {
            return;
        }
        let (ctx, given) = (Arc::clone(ctx), given.clone());
        tokio::spawn(async move {
            match queues::still_ready(&ctx, &given).await {
                Ok(ready) => announce::put_back(&ctx, ready).await,
                Err(error) => tracing::debug!(%error, "jobs that were given in vain wait for the sweep"),
            }
        });
    }
}

/// One claim's share of a batch.
#[derive(Debug, Clone)]
pub struct Taking {
    key: ClaimKey,
    /// Jobs that were popped for it, or given to it.
    hints: Vec<Uuid>,
    /// With the first look of a claim: nothing is known of its session yet.
    first: Option<First>,
}

#[derive(Debug, Clone)]
struct First {
    key: String,
    /// Pops at most so many for it.
    max: usize,
}

/// What it comes to.
#[derive(Debug, Default)]
pub struct Taken {
    /// What the session may do; nothing when it is not alive, or this was no first look.
    pub(super) standing: Option<Standing>,
    pub(super) jobs: Vec<Claimed>,
    /// Its queue was looked into, and it was given what there was.
    pub(super) looked: bool,
}

/// Jobs for claims.
pub struct Takes {
    ctx: Arc<Ctx>,
    line: Arc<Batcher<Taking, Taken>>,
}

impl Takes {
    /// The connections that its line uses at once.
    pub const CONNECTIONS: u32 = LINE.at_once;

    pub(super) fn new(ctx: &Arc<Ctx>) -> Self {
        let (taking, losing) = (Arc::clone(ctx), Arc::clone(ctx));
        let lost = move |taking: Taking, taken: Taken| {
            let ctx = Arc::clone(&losing);
            tokio::spawn(async move { give_back(&ctx, taking.key.session, &taken.jobs).await }.in_current_span());
        };
        Self {
            ctx: Arc::clone(ctx),
            line: Batcher::new(LINE, move |takings| take_all(Arc::clone(&taking), takings), lost),
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
                give_back(&own.ctx, worker, &jobs).await;
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
            let taken = self.take_together(Taking { key: ask.key(), hints: hints.clone(), first: None }).await?.jobs;
            hints.retain(|id| !taken.iter().any(|j| j.moved.status.id == *id));
            if !hints.is_empty() {
                // Without a wake-up, which would come back to this very claim: the probe is the back-stop.
                announce::put_back(&self.ctx, queues::still_ready(&self.ctx, &hints).await?).await;
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
    pub(super) async fn first_look(&self, key: &ApiKey, ask: &Claim) -> Result<Taken> {
        let max = if ask.lingers() { 0 } else { ask.max };
        let first = First { key: key.id.clone(), max };
        self.take_together(Taking { key: ask.key(), hints: Vec::new(), first: Some(first) }).await
    }

    /// Takes jobs together with other claims that come at the same time.
    async fn take_together(&self, taking: Taking) -> Result<Taken> {
        let weight = taking.hints.len().max(1);
        // A claim that is sent again while it is carried out finds afterwards what it got.
        let keys = vec![taking.key.claim.as_u64_pair().1];
        self.line.call_apart(taking, weight, keys).await
    }
}

async fn take_all(ctx: Arc<Ctx>, mut takings: Vec<Taking>) -> Result<Answers<Taken>> {
    let (mut all, taken) = ctx
        .hot
        .run(async |db| {
            let mut all = first_standings(db, &takings, ctx.limits.lease_s).await?;
            pop_for_all(&ctx, &mut takings, &mut all).await;
            let hints: Vec<(ClaimKey, Uuid)> =
                takings.iter().flat_map(|t| t.hints.iter().map(|job| (t.key, *job))).collect();
            let taken = if hints.is_empty() { Vec::new() } else { work::claim_hinted(db, &hints).await? };
            Ok::<_, Error>((all, taken))
        })
        .await?;
    let moved: Vec<Moved> = taken.iter().map(|j| j.moved.clone()).collect();
    let mut by_claim: HashMap<ClaimKey, Vec<Claimed>> = HashMap::new();
    for job in taken {
        by_claim.entry(job.by).or_default().push(job);
    }
    let mut in_vain = Vec::new();
    for (taking, taken) in takings.into_iter().zip(&mut all) {
        taken.jobs = by_claim.remove(&taking.key).unwrap_or_default();
        if taking.first.is_some() && taken.jobs.len() < taking.hints.len() {
            taken.looked = false;
            let is_left = |id: &Uuid| !taken.jobs.iter().any(|j| j.moved.status.id == *id);
            in_vain.extend(taking.hints.into_iter().filter(is_left));
        }
    }
    Take::Hinted(in_vain).put_back(&ctx);
    Ok(Answers { each: all, then: announce::soon(&ctx, moved) })
}

/// Touches the sessions whose claims are looked at for the first time.
async fn first_standings(db: &mut PgConnection, takings: &[Taking], lease_s: f64) -> Result<Vec<Taken>> {
    let touch = |taking: &Taking| {
        let holder = Holder { session: taking.key.session, key: taking.first.as_ref()?.key.clone() };
        Some(Touch { holder, claim: Some(taking.key.claim) })
    };
    let touches: Vec<Touch> = takings.iter().filter_map(touch).collect();
    let standings = if touches.is_empty() { Vec::new() } else { workers::touch(db, &touches, lease_s).await? };
    let mut standings = standings.into_iter();
    let standing = |taking: &Taking| taking.first.as_ref().and_then(|_| standings.next().flatten());
    Ok(takings.iter().map(standing).map(|standing| Taken { standing, ..Taken::default() }).collect())
}

/// Pops for the claims that are looked at for the first time, one pop for each model; who came first is served first.
async fn pop_for_all(ctx: &Ctx, takings: &mut [Taking], all: &mut [Taken]) {
    let mut wanted: HashMap<String, Vec<(&mut Taking, &mut Taken, usize)>> = HashMap::new();
    let mut room = POPPED_AT_ONCE;
    for (taking, taken) in takings.iter_mut().zip(all) {
        let Some(standing) = &taken.standing else { continue };
        let bars = standing.paused || standing.limited || standing.draining || standing.replay;
        let max = taking.first.as_ref().map_or(0, |first| first.max);
        if bars || standing.turn != Turn::Open || max == 0 || max > room {
            continue;
        }
        room -= max;
        wanted.entry(standing.model.clone()).or_default().push((taking, taken, max));
    }
    let pops = wanted.into_iter().map(async |(model, claims)| {
        let count = claims.iter().map(|(_, _, max)| max).sum();
        if let Popped::Hints(hints) = ctx.index.pop(&model, count).await {
            let mut hints = hints.into_iter();
            for (taking, taken, max) in claims {
                taken.looked = true;
                taking.hints.extend(hints.by_ref().take(max));
            }
        }
    });
    join_all(pops).await;
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

async fn give_back(ctx: &Ctx, worker: Uuid, claimed: &[Claimed]) {
    let items: Vec<(Uuid, i64)> = claimed.iter().map(|j| (j.moved.status.id, j.moved.lease_no)).collect();
    if items.is_empty() {
        return;
    }
    let released = ctx.db.run(async |db| Ok::<_, Error>(work::release(db, worker, &items).await?)).await;
    match released {
        Ok(moved) => announce::moved(ctx, &moved).await,
        // Its next beat does not list them, and one lease later they are released.
        Err(error) => tracing::warn!(%error, worker = %worker, "jobs of a claimer that hung up wait for its next beat"),
    }
}
