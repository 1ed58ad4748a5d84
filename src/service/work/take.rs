//! Taking jobs: hints are popped, and one statement decides for many claims at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use sqlx::PgConnection;
use tokio::sync::oneshot;
use tracing::Instrument;
use uuid::Uuid;

use crate::domain::job::JobState;
use crate::index::queue::Popped;
use crate::metrics;
use crate::service::batch::{Answers, Batcher, Capacity};
use crate::service::{Ctx, Error, Result, announce, queues, transition};
use crate::store::db::within;
use crate::store::keys::ApiKey;
use crate::store::work::{self, Asked, ClaimKey, Claimed, Hinted, Holder, Moved};
use crate::store::workers::{self, Standing, Touch, Turn};

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

/// The most jobs that one session holds: as many as its beat may list.
const HELD_MAX: i64 = 1_000;

/// The most jobs taken for one batch of claims.
const TAKEN_AT_ONCE: usize = 1_000;

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
    max: usize,
    /// What is known of its session; nothing at the first look of a claim, which then keeps the session alive by this key.
    known: Known,
    /// Jobs that were given to it.
    given: Vec<Uuid>,
    /// To be served by rank, whatever the index says.
    ranked: bool,
}

#[derive(Debug, Clone)]
enum Known {
    Key(Arc<str>),
    Standing(Arc<Standing>),
}

/// What it comes to.
#[derive(Debug, Default)]
pub struct Taken {
    /// What the session may do; nothing when it is not alive.
    pub(super) standing: Option<Arc<Standing>>,
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
        let lost = move |_: Taking, taken: Taken| {
            let ctx = Arc::clone(&losing);
            tokio::spawn(async move { give_back(&ctx, &taken.jobs).await }.in_current_span());
        };
        let line = Batcher::new(LINE, move |takings| take_all(Arc::clone(&taking), takings), lost);
        Self { ctx: Arc::clone(ctx), line }
    }

    /// Keeps the session alive, reads what it may do, and takes what there is for it if nothing speaks against it: all of it
    /// together with other claims that come at the same time.
    pub(super) async fn first_look(&self, key: &ApiKey, ask: &Claim) -> Result<Taken> {
        let max = if ask.lingers() { 0 } else { ask.max };
        let known = Known::Key(key.id.as_str().into());
        self.take_together(Taking { key: ask.key(), max, known, given: Vec::new(), ranked: false }).await
    }

    /// Takes jobs for a claim that has looked before.
    pub(super) async fn look_again(&self, take: Take, ask: &Claim, standing: &Arc<Standing>) -> Result<Vec<Claimed>> {
        let ctx = &self.ctx;
        let counted = standing.limited || matches!(take, Take::Suspect);
        let (given, ranked) = match take {
            Take::Replay => return apart(ctx, ask, |ctx, ask| async move { take_again(&ctx, &ask).await }).await,
            take if counted => {
                take.put_back(ctx);
                let (queue, suspect) = (standing.queue_id, matches!(take, Take::Suspect));
                let take = move |ctx: Arc<Ctx>, ask| async move { take_counted(&ctx, &ask, queue, suspect).await };
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
        Ok(self.take_together(Taking { key: ask.key(), max: ask.max, known, given, ranked }).await?.jobs)
    }

    /// Takes jobs together with other claims that come at the same time.
    async fn take_together(&self, taking: Taking) -> Result<Taken> {
        let weight = taking.max.clamp(1, TAKEN_AT_ONCE);
        // A claim that is sent again while it is carried out finds afterwards what it got.
        let keys = vec![taking.key.claim.as_u64_pair().1];
        self.line.call_apart(taking, weight, keys).await
    }
}

async fn take_all(ctx: Arc<Ctx>, takings: Vec<Taking>) -> Result<Answers<Taken>> {
    let mut round = Round::default();
    let done = ctx
        .hot
        .run(async |db| {
            let standings = standings(db, &takings, ctx.limits.lease_s).await?;
            round = Round::new(&takings, standings);
            round.pop(&ctx).await;
            let hints = round.hints();
            let mut jobs = if hints.is_empty() { Vec::new() } else { work::claim(db, &hints).await? };
            let asked = round.unserved(&jobs);
            if !asked.is_empty() {
                let ranked = work::claim_ranked(db, &asked, TAKEN_AT_ONCE as i64, false).await?;
                forget_hints(&ctx, &round, &ranked);
                jobs.extend(ranked);
            }
            Ok::<_, Error>(jobs)
        })
        .await;
    let taken: HashSet<Uuid> = done.iter().flatten().map(|job| job.id).collect();
    // Whatever was popped and not taken belongs into its queue, also when this failed.
    let in_vain = round.hints().into_iter().map(|hint| hint.job).filter(|job| !taken.contains(job)).collect();
    Take::Hinted(in_vain).put_back(&ctx);
    let jobs = done?;
    let moved = jobs.iter().map(as_moved).collect();
    Ok(Answers { each: round.answers(jobs), then: announce::soon(&ctx, moved) })
}

/// Touches the sessions whose claims look for the first time; of the others it is known what they may do.
async fn standings(db: &mut PgConnection, takings: &[Taking], lease_s: f64) -> Result<Vec<Option<Arc<Standing>>>> {
    let touch = |taking: &Taking| match &taking.known {
        Known::Key(key) => {
            let holder = Holder { session: taking.key.session, key: key.to_string() };
            Some(Touch { holder, claim: Some(taking.key.claim) })
        }
        Known::Standing(_) => None,
    };
    let touches: Vec<Touch> = takings.iter().filter_map(touch).collect();
    let read = if touches.is_empty() { Vec::new() } else { workers::touch(db, &touches, lease_s).await? };
    let mut read = read.into_iter();
    let standing = |taking: &Taking| match &taking.known {
        Known::Key(_) => read.next().flatten().map(Arc::new),
        Known::Standing(standing) => Some(Arc::clone(standing)),
    };
    Ok(takings.iter().map(standing).collect())
}

/// One batch of claims under way.
#[derive(Default)]
struct Round {
    shares: Vec<Share>,
}

struct Share {
    key: ClaimKey,
    standing: Option<Arc<Standing>>,
    /// The most that it is given; 0 if something speaks against it.
    room: usize,
    hints: Vec<Uuid>,
    /// The index cannot be trusted with it.
    ranked: bool,
    looked: bool,
}

impl Round {
    fn new(takings: &[Taking], standings: Vec<Option<Arc<Standing>>>) -> Self {
        let mut left = TAKEN_AT_ONCE;
        let share = |(taking, standing): (&Taking, Option<Arc<Standing>>)| {
            let first = matches!(taking.known, Known::Key(_));
            let open = |s: &Standing| {
                let barred = s.limited || s.draining || (first && (s.paused || s.replay));
                !barred && (!first || s.turn == Turn::Open)
            };
            let free = standing.as_deref().filter(|s| open(s)).map_or(0, |s| (HELD_MAX - s.held).max(0));
            let room = taking.max.min(left).min(usize::try_from(free).unwrap_or_default());
            left -= room;
            Share { key: taking.key, standing, room, hints: taking.given.clone(), ranked: taking.ranked, looked: false }
        };
        Self { shares: takings.iter().zip(standings).map(share).collect() }
    }

    /// Pops for those who may be given something, one pop for each model; who came first is served first.
    async fn pop(&mut self, ctx: &Ctx) {
        let mut wanted: HashMap<Arc<str>, Vec<&mut Share>> = HashMap::new();
        for share in self.shares.iter_mut().filter(|share| share.room > share.hints.len() && !share.ranked) {
            let Some(standing) = &share.standing else { continue };
            wanted.entry(standing.model.as_str().into()).or_default().push(share);
        }
        let pops = wanted.into_iter().map(async |(model, shares)| {
            let count = shares.iter().map(|share| share.room - share.hints.len()).sum();
            match ctx.index.pop(&model, count).await {
                Popped::Hints(hints) => {
                    let mut hints = hints.into_iter();
                    for share in shares {
                        share.looked = true;
                        let room = share.room - share.hints.len();
                        share.hints.extend(hints.by_ref().take(room));
                    }
                }
                Popped::Untrusted => {
                    metrics::claim_fallback(&model);
                    shares.into_iter().for_each(|share| share.ranked = true);
                }
            }
        });
        join_all(pops).await;
    }

    fn hints(&self) -> Vec<Hinted> {
        let of = |share: &Share| {
            let key = share.key;
            share.hints.clone().into_iter().map(move |job| Hinted { job, session: key.session, claim: key.claim })
        };
        self.shares.iter().flat_map(of).collect()
    }

    /// Those that are to be served by rank: the index could not be asked, or proposed nothing but what was gone.
    fn unserved(&mut self, jobs: &[Claimed]) -> Vec<Asked> {
        let served: HashSet<ClaimKey> = jobs.iter().map(Claimed::key).collect();
        let mut asked = Vec::new();
        for share in self.shares.iter_mut().filter(|share| share.room > 0 && !served.contains(&share.key)) {
            if share.ranked || !share.hints.is_empty() {
                share.looked = true;
                asked.push(Asked { key: share.key, most: share.room as i32 });
            }
        }
        asked
    }

    fn answers(self, jobs: Vec<Claimed>) -> Vec<Taken> {
        let mut by_claim: HashMap<ClaimKey, Vec<Claimed>> = HashMap::new();
        for job in jobs {
            by_claim.entry(job.key()).or_default().push(job);
        }
        let answer = |share: Share| Taken {
            jobs: by_claim.remove(&share.key).unwrap_or_default(),
            standing: share.standing,
            looked: share.looked,
        };
        self.shares.into_iter().map(answer).collect()
    }
}

/// Takes out of the queues what was claimed past them.
fn forget_hints(ctx: &Arc<Ctx>, round: &Round, jobs: &[Claimed]) {
    for share in &round.shares {
        let Some(standing) = &share.standing else { continue };
        let ids: Vec<Uuid> = jobs.iter().filter(|job| job.key() == share.key).map(|job| job.id).collect();
        if !ids.is_empty() {
            let (ctx, model) = (Arc::clone(ctx), standing.model.clone());
            tokio::spawn(async move { ctx.index.remove(&model, &ids).await });
        }
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
    Ok(ctx.db.run(async |db| work::reclaim(db, ask.key()).await).await?)
}

/// Under a limit the model's row is locked first and the running jobs are counted in a second statement; by rank from
/// PostgreSQL, because what a pop brings might be more than there is room for. A suspect is one job more as well.
async fn take_counted(ctx: &Arc<Ctx>, ask: &Claim, queue: i32, suspect: bool) -> Result<Vec<Claimed>> {
    let counted = async |tx: &mut PgConnection| {
        let room = work::room_under_limit(tx, queue).await?.min(ask.max as i64);
        if room == 0 {
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
    Ok(ctx.db.write(counted).await?)
}

/// What a claim is to those who are told of it.
fn as_moved(job: &Claimed) -> Moved {
    Moved {
        id: job.id,
        image_id: job.image_id,
        queue_id: job.queue_id,
        lease_no: job.lease_no,
        session: Some(job.session_id),
        version: job.version,
        state: JobState::Running,
        reason: None,
        rank: 0,
        due: false,
        suspect: false,
    }
}

/// Gives back what nobody was there to take.
async fn give_back(ctx: &Ctx, jobs: &[Claimed]) {
    if jobs.is_empty() {
        return;
    }
    let released = ctx.db.write(async |tx| transition::release_taken(tx, jobs).await).await;
    match released {
        Ok(moved) => announce::moved(ctx, &moved).await,
        // Its next beat does not list them, and one lease later they are released.
        Err(error) => tracing::warn!(%error, "jobs of a claimer that hung up wait for its next beat"),
    }
}
