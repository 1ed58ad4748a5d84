//! Claims: hints are popped, one statement decides, and who finds nothing waits without costing anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use super::{Ctx, Result, announce};
use crate::domain::fault::{Code, Fault};
use crate::index::queue::Popped;
use crate::index::wake::Wake;
use crate::metrics;
use crate::store::jobs::Claimed;
use crate::store::keys::ApiKey;
use crate::store::moves::Moved;
use crate::store::{jobs, moves, workers};

/// How often a pop that brought only stale hints is tried again before the claim waits.
const STALE_POPS_MAX: usize = 4;
/// How often a lingering claim counts.
const LINGER_STEP: Duration = Duration::from_millis(50);

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

/// What it gets: jobs, perhaps none; `drain` asks it to take no more.
#[derive(Debug, Default)]
pub struct Answer {
    pub drain: bool,
    pub jobs: Vec<Claimed>,
}

/// Answers a claim, waiting for work if it must.
pub async fn claim(ctx: &Arc<Ctx>, key: &ApiKey, ask: &Claim) -> Result<Answer> {
    let touched = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            let claim = Some(ask.claim_id);
            Ok::<_, super::Error>(workers::touch(&mut db, ask.worker, &key.id, ctx.limits.lease_s, claim).await?)
        })
        .await?
        .ok_or_else(unknown_worker)?;
    if touched.replay {
        let jobs = carry_out(ctx, Take::Replay, ask.clone(), touched.model, false).await?;
        return Ok(Answer { drain: false, jobs });
    }
    let _session = ctx.waiting_session(ask.worker);
    let until = Instant::now() + ask.wait;
    let mut take = Take::Hinted;
    let mut shut = touched.paused || touched.retired;
    let mut limited = touched.limited;
    loop {
        let place = ctx.waiters.line_up(&touched.model);
        if !shut {
            linger(ctx, ask, &touched.model, until).await;
            let jobs = carry_out(ctx, take, ask.clone(), touched.model.clone(), limited).await?;
            if !jobs.is_empty() {
                return Ok(Answer { drain: false, jobs });
            }
        }
        let mut stopping = ctx.stopping.clone();
        let why = tokio::select! {
            why = place.woken() => why,
            () = tokio::time::sleep_until(until) => return Ok(Answer::default()),
            _ = stopping.wait_for(|stopping| *stopping) => return Ok(Answer::default()),
        };
        take = if why == Wake::Probed { Take::Ranked } else { Take::Hinted };
        let gates = ctx.gates().await?;
        let gate = gates.get(&touched.model);
        shut = gate.is_none_or(|g| g.paused || g.max_running.is_some_and(|most| g.running >= i64::from(most)));
        limited = gate.is_some_and(|g| g.max_running.is_some());
    }
}

pub(super) fn unknown_worker() -> Fault {
    Fault::new(Code::UnknownWorker, "This session is not alive, or was not opened with this key.")
}

/// Waits until `min` jobs are in line, but no longer than `linger` after the first. Counts, never pops.
async fn linger(ctx: &Ctx, ask: &Claim, model: &str, until: Instant) {
    if ask.min <= 1 || ask.linger.is_zero() {
        return;
    }
    let give_up = (Instant::now() + ask.linger).min(until);
    while Instant::now() < give_up {
        match ctx.index.depth(model).await {
            Some(depth) if depth > 0 && (depth as usize) < ask.min => tokio::time::sleep(LINGER_STEP).await,
            _ => return,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Take {
    Replay,
    Hinted,
    Ranked,
}

/// Takes jobs in a task of its own: a client that hangs up meanwhile does not cut a claim in half, and what it
/// would have got goes back at no cost.
async fn carry_out(ctx: &Arc<Ctx>, take: Take, ask: Claim, model: String, limited: bool) -> Result<Vec<Claimed>> {
    let (sender, receiver) = oneshot::channel();
    let ctx = Arc::clone(ctx);
    let worker = ask.worker;
    let task = async move {
        let taken = ctx.db.within(take_jobs(&ctx, take, &ask, &model, limited)).await;
        if let Ok(jobs) = &taken {
            let moved: Vec<Moved> = jobs.iter().map(|j| j.moved.clone()).collect();
            announce::moved(&ctx, &moved).await;
        }
        if let Err(Ok(jobs)) = sender.send(taken) {
            give_back(&ctx, worker, &jobs).await;
        }
    };
    tokio::spawn(task.in_current_span());
    receiver.await.unwrap_or_else(|e| Err(super::Error::Internal(e.into())))
}

async fn take_jobs(ctx: &Ctx, take: Take, ask: &Claim, model: &str, limited: bool) -> Result<Vec<Claimed>> {
    let (worker, claim) = (ask.worker, ask.claim_id);
    if take == Take::Replay {
        let mut db = ctx.db.pool().acquire().await?;
        return Ok(jobs::replay_claim(&mut db, worker, claim).await?);
    }
    if limited {
        return take_limited(ctx, ask, model).await;
    }
    for _ in 0..STALE_POPS_MAX {
        let hints = match if take == Take::Ranked { Popped::Untrusted } else { ctx.index.pop(model, ask.max).await } {
            Popped::Hints(hints) => hints,
            Popped::Untrusted => {
                metrics::claim_fallback(model);
                let mut db = ctx.db.pool().acquire().await?;
                let taken = jobs::claim_ranked(&mut db, worker, claim, model, ask.max as i64).await?;
                forget_hints(ctx, model, &taken).await;
                return Ok(taken);
            }
        };
        if hints.is_empty() {
            return Ok(Vec::new());
        }
        let mut db = ctx.db.pool().acquire().await?;
        let taken = jobs::claim_hinted(&mut db, worker, claim, model, &hints).await?;
        let left: Vec<Uuid> =
            hints.iter().filter(|id| !taken.iter().any(|j| j.moved.status.id == **id)).copied().collect();
        if !left.is_empty() {
            // Without a wake-up, which would come back to this very claim: the probe is the back-stop.
            announce::put_back(ctx, jobs::still_ready(&mut db, &left).await?).await;
        }
        if !taken.is_empty() {
            return Ok(taken);
        }
    }
    Ok(Vec::new())
}

/// Under a limit the model's row is locked first and the running jobs are counted in a second statement; by
/// rank from PostgreSQL, because what a pop brings might be more than there is room for.
async fn take_limited(ctx: &Ctx, ask: &Claim, model: &str) -> Result<Vec<Claimed>> {
    let mut tx = ctx.db.begin().await?;
    let room = jobs::room_under_limit(&mut tx, model).await?.min(ask.max as i64);
    if room == 0 {
        return Ok(Vec::new());
    }
    let taken = jobs::claim_ranked(&mut tx, ask.worker, ask.claim_id, model, room).await?;
    tx.commit().await?;
    forget_hints(ctx, model, &taken).await;
    Ok(taken)
}

async fn forget_hints(ctx: &Ctx, model: &str, taken: &[Claimed]) {
    let ids: Vec<Uuid> = taken.iter().map(|j| j.moved.status.id).collect();
    ctx.index.remove(model, &ids).await;
}

async fn give_back(ctx: &Ctx, worker: Uuid, claimed: &[Claimed]) {
    let items: Vec<(Uuid, i64)> = claimed.iter().map(|j| (j.moved.status.id, j.lease_no)).collect();
    if items.is_empty() {
        return;
    }
    let released = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            Ok::<_, super::Error>(moves::release(&mut db, worker, &items).await?)
        })
        .await;
    match released {
        Ok(moved) => announce::moved(ctx, &moved).await,
        // Its next beat does not list them, and one lease later they are released.
        Err(error) => tracing::warn!(%error, worker = %worker, "jobs of a claimer that hung up wait for its next beat"),
    }
}
