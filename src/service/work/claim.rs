//! Claims: who finds nothing waits without costing anything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;
use tokio::time::Instant;
use uuid::Uuid;

use super::take::{Claim, ClaimLine, Take};
use crate::service::keys::Keys;
use crate::service::queues::Queues;
use crate::service::waiters::{Place, Wake};
use crate::service::workers::{Workers, unknown_worker};
use crate::service::{Ctx, Result};
use crate::store::images::KnownImage;
use crate::store::keys::ApiKey;
use crate::store::queues::ready_counts;
use crate::store::training::{self, GivenRun, RunFile};
use crate::store::work::{Claimed, Holder};
use crate::store::workers::{Standing, Turn};

/// How often a session that is given nothing, because of a suspect, is looked at again.
const TURN_STEP: Duration = Duration::from_millis(500);

/// How often a lingering claim counts.
const LINGER_STEP: Duration = Duration::from_millis(50);
/// The same while Redis is away, when each count is a query.
const LINGER_STEP_ALONE: Duration = Duration::from_millis(250);

/// What it gets: jobs, perhaps none; `drain` asks it to take no more.
#[derive(Debug, Default)]
pub struct ClaimAnswer {
    pub drain: bool,
    pub jobs: Vec<GivenJob>,
}

/// A claimed job with all that its worker needs.
#[derive(Debug)]
pub struct GivenJob {
    pub job: Claimed,
    /// What its queue is called: a model's name, or `dataset/` and a dataset's.
    pub path: Arc<str>,
    pub max_attempts: i16,
    /// Canonical JSON.
    pub params: Arc<RawValue>,
    pub matter: Matter,
}

/// What a job is about.
#[derive(Debug)]
pub enum Matter {
    Image(Arc<KnownImage>),
    /// A run, and the checkpoint from which it goes on.
    Run(Option<RunFile>),
}

/// The claims of all workers.
pub struct Claims {
    ctx: Arc<Ctx>,
    keys: Arc<Keys>,
    queues: Arc<Queues>,
    workers: Arc<Workers>,
    line: ClaimLine,
}

impl Claims {
    /// The connections that its line uses at once.
    pub const CONNECTIONS: u32 = ClaimLine::CONNECTIONS;

    pub fn new(ctx: &Arc<Ctx>, keys: &Arc<Keys>, queues: &Arc<Queues>, workers: &Arc<Workers>) -> Self {
        let (keys, queues, workers) = (Arc::clone(keys), Arc::clone(queues), Arc::clone(workers));
        Self { ctx: Arc::clone(ctx), keys, queues, workers, line: ClaimLine::new(ctx) }
    }

    /// Answers a claim, waiting for work if it must.
    pub async fn claim(&self, key: &ApiKey, ask: &Claim) -> Result<ClaimAnswer> {
        let (drain, jobs) = self.wait_for_jobs(key, ask).await?;
        if jobs.is_empty() {
            return Ok(ClaimAnswer { drain, jobs: Vec::new() });
        }
        Ok(ClaimAnswer { drain, jobs: Box::pin(self.give(jobs)).await? })
    }

    /// Puts with jobs what their numbers stand for.
    async fn give(&self, jobs: Vec<Claimed>) -> Result<Vec<GivenJob>> {
        let images = self.ctx.catalog.images(jobs.iter().filter_map(|job| job.image_id)).await?;
        let of_images = jobs.iter().filter(|job| job.image_id.is_some());
        let params = self.ctx.catalog.params(of_images.map(|job| job.params_id)).await?;
        let names = self.ctx.catalog.names(jobs.iter().map(|job| job.queue_id)).await?;
        let gates = self.queues.gates().await?;
        let mut runs = self.runs(&jobs).await?;
        let mut given = |job: Claimed| {
            let path = Arc::clone(names.get(&job.queue_id)?);
            let max_attempts = gates.get(&*path).map_or(job.attempt, |gate| gate.max_attempts);
            let (params, matter) = match job.image_id {
                Some(image) => {
                    (Arc::clone(params.get(&job.params_id)?), Matter::Image(Arc::clone(images.get(&image)?)))
                }
                None => {
                    let run = runs.remove(&job.id)?;
                    (run.params.0.into(), Matter::Run(run.checkpoint))
                }
            };
            Some(GivenJob { job, path, max_attempts, params, matter })
        };
        let told = |job: Claimed| {
            let id = job.id;
            let given = given(job);
            if given.is_none() {
                // Its row locks forbid it; the others are not held up by it.
                tracing::error!(%id, "the image or the params of a live job are gone: it is not given out");
            }
            given
        };
        Ok(jobs.into_iter().filter_map(told).collect())
    }

    /// What the workers of the runs among these jobs need.
    async fn runs(&self, jobs: &[Claimed]) -> Result<HashMap<Uuid, GivenRun>> {
        let runs: Vec<Uuid> = jobs.iter().filter(|job| job.image_id.is_none()).map(|job| job.id).collect();
        if runs.is_empty() {
            return Ok(HashMap::new());
        }
        Ok(self.ctx.work.run(async |db| training::given(db, &runs).await).await?)
    }

    async fn wait_for_jobs(&self, key: &ApiKey, ask: &Claim) -> Result<(bool, Vec<Claimed>)> {
        // What is done and over is boxed: ten thousand of these wait at once, and none should hold room for it meanwhile.
        let first = Box::pin(self.line.first_look(key, ask)).await?;
        let mut standing = first.standing.ok_or_else(unknown_worker)?;
        if !first.jobs.is_empty() {
            return Ok((false, first.jobs));
        }
        Box::pin(self.workers.reserve(ask.worker, &mut standing)).await?;
        if standing.replay {
            return Ok((standing.draining, Box::pin(self.line.look_again(Take::Replay, ask, &standing)).await?));
        }
        if first.looked && ask.wait.is_zero() {
            return Ok((false, Vec::new()));
        }
        let _session = self.ctx.waiters.hold_session(ask.worker);
        let until = Instant::now() + ask.wait;
        let mut take = Take::Hinted(Vec::new());
        let mut shut = standing.paused;
        if self.is_older(&standing) {
            // Its first look was not given what newer versions may take.
            take = Take::Ranked;
            shut |= !Box::pin(self.is_left_over(&standing)).await?;
        }
        loop {
            if standing.draining {
                take.put_back(&self.ctx);
                // Answered late, so that a worker which does not listen does not spin.
                wait(&self.ctx, None, None, until).await;
                return Ok((true, Vec::new()));
            }
            let place = self.ctx.waiters.line_up(&standing.model, standing.version_id);
            if shut {
                take.put_back(&self.ctx);
            } else {
                let jobs = Box::pin(self.take_in_turn(key, ask, &standing, take, until)).await?;
                if !jobs.is_empty() {
                    return Ok((false, jobs));
                }
            }
            // One that may be given nothing leaves the line to those that may.
            let (place, pause) =
                if standing.turn == Turn::Open { (Some(place), None) } else { (None, Some(TURN_STEP)) };
            let Some(woken) = wait(&self.ctx, place, pause, until).await else {
                return Ok((false, Vec::new()));
            };
            (standing, take) = match woken {
                Wake::Hinted(id) => (standing, Take::Hinted(vec![id])),
                Wake::Probed | Wake::Again => (Box::pin(self.stand(key, ask)).await?, Take::Ranked),
            };
            if standing.draining {
                // It is news, and told at once; what it was woken for is another's.
                take.put_back(&self.ctx);
                self.ctx.waiters.pass_on(&standing.model, self.ctx.versions.first(&standing.model), Wake::Probed);
                return Ok((true, Vec::new()));
            }
            // Nobody woke it who knew that it is its turn.
            let passed_over =
                woken == Wake::Again && self.is_older(&standing) && !Box::pin(self.is_left_over(&standing)).await?;
            let gates = self.queues.gates().await?;
            let gate = gates.get(&standing.model);
            shut = passed_over
                || gate.is_none_or(|g| g.paused || g.max_running.is_some_and(|most| g.running >= i64::from(most)));
            Arc::make_mut(&mut standing).limited = gate.is_some_and(|g| g.max_running.is_some());
        }
    }

    /// Whether newer versions of its model come before a session, as far as is known.
    fn is_older(&self, standing: &Standing) -> bool {
        standing.version_id < self.ctx.versions.first(&standing.model)
    }

    /// Whether there is work for a session that newer versions did not take, as PostgreSQL says now.
    async fn is_left_over(&self, standing: &Standing) -> Result<bool> {
        let model = [standing.model.as_str()];
        let ready = self.ctx.work.run(async |db| {
            self.ctx.versions.refresh(db).await?;
            ready_counts(db, &model, 1).await
        });
        let ready = ready.await?;
        let is_its = |(model, jobs, oldest_s): &(String, i64, f64)| {
            *jobs > 0 && standing.version_id >= self.ctx.versions.first_for(model, *oldest_s)
        };
        Ok(ready.first().is_some_and(is_its))
    }

    /// Takes what this session may be given now.
    async fn take_in_turn(
        &self,
        key: &ApiKey,
        ask: &Claim,
        standing: &Arc<Standing>,
        take: Take,
        until: Instant,
    ) -> Result<Vec<Claimed>> {
        if standing.turn == Turn::Open {
            linger(&self.ctx, ask, &standing.model, until).await;
        }
        // It may have been disabled while it waited.
        if let Err(error) = self.keys.still(key).await {
            take.put_back(&self.ctx);
            return Err(error);
        }
        match standing.turn {
            Turn::Open => self.line.look_again(take, ask, standing).await,
            Turn::Suspect => match self.line.look_again(Take::Suspect, ask, standing).await? {
                // Another session was faster.
                none if none.is_empty() => self.line.look_again(take, ask, standing).await,
                suspect => {
                    take.put_back(&self.ctx);
                    Ok(suspect)
                }
            },
            Turn::Reserve | Turn::Wait => {
                take.put_back(&self.ctx);
                Ok(Vec::new())
            }
        }
    }

    /// Keeps the session alive and reads what it may do.
    async fn stand(&self, key: &ApiKey, ask: &Claim) -> Result<Arc<Standing>> {
        let holder = Holder { session: ask.worker, key: key.id.clone() };
        let standing = self.workers.touch(&holder, Some(ask.claim_id)).await?.ok_or_else(unknown_worker)?;
        let mut standing = Arc::new(standing);
        self.workers.reserve(ask.worker, &mut standing).await?;
        Ok(standing)
    }
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
        () = paused => Some(Wake::Again),
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
        let (depth, step) = match ctx.index.depth(model).await {
            Some(depth) => (depth, LINGER_STEP),
            None => (depth_alone(ctx, model, ask.min).await, LINGER_STEP_ALONE),
        };
        if depth == 0 || depth >= ask.min as u64 {
            return;
        }
        tokio::time::sleep_until(give_up.min(Instant::now() + step)).await;
    }
}

/// How many jobs of a model are in line, counted as far as `most`, while Redis is away; none when PostgreSQL is as well.
async fn depth_alone(ctx: &Ctx, model: &str, most: usize) -> u64 {
    let ready = ctx.work.run(async |db| ready_counts(db, &[model], most as i64).await).await.unwrap_or_default();
    ready.first().map_or(0, |(_, count, _)| u64::try_from(*count).unwrap_or_default())
}
