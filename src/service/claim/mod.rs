//! Claims: who finds nothing waits without costing anything.

mod take;

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use uuid::Uuid;

use self::take::{Take, carry_out, first_look};
pub use self::take::{Taken, Taking, jobs_still_ready};
use super::batch::Answers;
use super::{Ctx, Result};
use crate::domain::fault::{Code, Fault};
use crate::index::wake::{Place, Wake};
use crate::store::claims::{ClaimKey, Claimed};
use crate::store::keys::ApiKey;
use crate::store::workers::{self, Holder, Standing, Touch, Turn};

/// How often a session that is given nothing, because of a suspect, is looked at again.
const TURN_STEP: Duration = Duration::from_millis(500);
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

impl Claim {
    const fn lingers(&self) -> bool {
        self.min > 1 && !self.linger.is_zero()
    }

    const fn key(&self) -> ClaimKey {
        ClaimKey { session: self.worker, claim: self.claim_id }
    }
}

/// What it gets: jobs, perhaps none; `drain` asks it to take no more.
#[derive(Debug, Default)]
pub struct Answer {
    pub drain: bool,
    pub jobs: Vec<Claimed>,
}

/// Answers a claim, waiting for work if it must.
pub async fn claim(ctx: &Arc<Ctx>, key: &ApiKey, ask: &Claim) -> Result<Answer> {
    // What is done and over is boxed: ten thousand of these wait at once, and none should hold room for it meanwhile.
    let first = Box::pin(first_look(ctx, key, ask)).await?;
    let mut standing = first.standing.ok_or_else(unknown_worker)?;
    if !first.jobs.is_empty() {
        return Ok(Answer { drain: false, jobs: first.jobs });
    }
    Box::pin(reserve(ctx, ask.worker, &standing)).await?;
    if standing.replay {
        let jobs = Box::pin(carry_out(ctx, Take::Replay, ask.clone(), &standing)).await?;
        return Ok(Answer { drain: standing.draining, jobs });
    }
    if first.looked && ask.wait.is_zero() {
        return Ok(Answer::default());
    }
    let _session = ctx.waiting_session(ask.worker);
    let until = Instant::now() + ask.wait;
    let mut take = Take::Hinted(Vec::new());
    let mut shut = standing.paused;
    loop {
        if standing.draining {
            take.put_back(ctx);
            // Answered late, so that a worker which does not listen does not spin.
            wait(ctx, None, None, until).await;
            return Ok(Answer { drain: true, jobs: Vec::new() });
        }
        let place = ctx.waiters.line_up(&standing.model);
        if shut {
            take.put_back(ctx);
        } else {
            let jobs = Box::pin(take_in_turn(ctx, ask, &standing, take, until)).await?;
            if !jobs.is_empty() {
                return Ok(Answer { drain: false, jobs });
            }
        }
        // One that may be given nothing leaves the line to those that may.
        let (place, pause) = if standing.turn == Turn::Open { (Some(place), None) } else { (None, Some(TURN_STEP)) };
        let Some(woken) = wait(ctx, place, pause, until).await else {
            return Ok(Answer::default());
        };
        (standing, take) = match woken {
            Wake::Hinted(id) => (standing, Take::Hinted(vec![id])),
            Wake::Probed => (Box::pin(stand(ctx, key, ask)).await?, Take::Ranked),
        };
        let gates = ctx.gates().await?;
        let gate = gates.get(&standing.model);
        shut = gate.is_none_or(|g| g.paused || g.max_running.is_some_and(|most| g.running >= i64::from(most)));
        standing.limited = gate.is_some_and(|g| g.max_running.is_some());
    }
}

/// Takes what this session may be given now.
async fn take_in_turn(
    ctx: &Arc<Ctx>,
    ask: &Claim,
    standing: &Standing,
    take: Take,
    until: Instant,
) -> Result<Vec<Claimed>> {
    match standing.turn {
        Turn::Open => {
            linger(ctx, ask, &standing.model, until).await;
            carry_out(ctx, take, ask.clone(), standing).await
        }
        Turn::Suspect => match carry_out(ctx, Take::Suspect, ask.clone(), standing).await? {
            // Another session was faster.
            none if none.is_empty() => carry_out(ctx, take, ask.clone(), standing).await,
            suspect => {
                take.put_back(ctx);
                Ok(suspect)
            }
        },
        Turn::Reserve | Turn::Wait => {
            take.put_back(ctx);
            Ok(Vec::new())
        }
    }
}

/// Keeps the session alive and reads what it may do.
async fn stand(ctx: &Arc<Ctx>, key: &ApiKey, ask: &Claim) -> Result<Standing> {
    let holder = Holder { session: ask.worker, key: key.id.clone() };
    let standing = touch(ctx, &holder, Some(ask.claim_id)).await?.ok_or_else(unknown_worker)?;
    reserve(ctx, ask.worker, &standing).await?;
    Ok(standing)
}

/// Keeps a session free for a suspect if it is the first to meet one that nobody is free for.
async fn reserve(ctx: &Ctx, worker: Uuid, standing: &Standing) -> Result<()> {
    if standing.turn != Turn::Reserve {
        return Ok(());
    }
    let reserving = async {
        let mut db = ctx.db.pool().acquire().await?;
        Ok::<_, super::Error>(workers::reserve(&mut db, worker).await?)
    };
    ctx.db.within(reserving).await
}

/// Keeps a session of a key alive; nothing when it is over.
pub(super) async fn touch(ctx: &Arc<Ctx>, holder: &Holder, claim: Option<Uuid>) -> Result<Option<Standing>> {
    let run = {
        let ctx = Arc::clone(ctx);
        move |touches: Vec<Touch>| touch_together(Arc::clone(&ctx), touches)
    };
    let touch = Touch { holder: holder.clone(), claim };
    ctx.db.within(ctx.batches.touches.call(touch, 1, run, |_, _| {})).await
}

async fn touch_together(ctx: Arc<Ctx>, touches: Vec<Touch>) -> Result<Answers<Option<Standing>>> {
    let work = async {
        let mut db = ctx.db.hot().acquire().await?;
        Ok::<_, super::Error>(workers::touch(&mut db, &touches, ctx.limits.lease_s).await?.into())
    };
    ctx.db.within(work).await
}

/// Waits for a wake-up, or for a pause to end; nothing when the time is up or the service stops.
async fn wait(ctx: &Ctx, place: Option<Place>, pause: Option<Duration>, until: Instant) -> Option<Wake> {
    let mut stopping = ctx.stopping.clone();
    let woken = async {
        match place {
            Some(place) => place.woken().await,
            None => std::future::pending().await,
        }
    };
    let paused = async {
        match pause {
            Some(pause) => tokio::time::sleep(pause).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        why = woken => Some(why),
        () = tokio::time::sleep_until(until) => None,
        () = paused => Some(Wake::Probed),
        _ = stopping.wait_for(|stopping| *stopping) => None,
    }
}

pub(super) fn unknown_worker() -> Fault {
    Fault::new(Code::UnknownWorker, "This session is not alive, or was not opened with this key.")
}

/// Waits until `min` jobs are in line, but no longer than `linger` after the first. Counts, never pops.
async fn linger(ctx: &Ctx, ask: &Claim, model: &str, until: Instant) {
    if !ask.lingers() {
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
