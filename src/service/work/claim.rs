//! Claims: who finds nothing waits without costing anything.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::take::{Claim, Take, carry_out, first_look};
use crate::service::waiters::{Place, Wake};
use crate::service::{Ctx, Result, queues, workers};
use crate::store::keys::ApiKey;
use crate::store::work::Claimed;
use crate::store::workers::{Holder, Standing, Turn};

/// How often a session that is given nothing, because of a suspect, is looked at again.
const TURN_STEP: Duration = Duration::from_millis(500);

/// How often a lingering claim counts.
const LINGER_STEP: Duration = Duration::from_millis(50);

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
    let mut standing = first.standing.ok_or_else(workers::unknown_worker)?;
    if !first.jobs.is_empty() {
        return Ok(Answer { drain: false, jobs: first.jobs });
    }
    Box::pin(workers::reserve(ctx, ask.worker, &standing)).await?;
    if standing.replay {
        let jobs = Box::pin(carry_out(ctx, Take::Replay, ask.clone(), &standing)).await?;
        return Ok(Answer { drain: standing.draining, jobs });
    }
    if first.looked && ask.wait.is_zero() {
        return Ok(Answer::default());
    }
    let _session = ctx.waiters.hold_session(ask.worker);
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
        let gates = queues::gates(ctx).await?;
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
    let standing = workers::touch(ctx, &holder, Some(ask.claim_id)).await?.ok_or_else(workers::unknown_worker)?;
    workers::reserve(ctx, ask.worker, &standing).await?;
    Ok(standing)
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
