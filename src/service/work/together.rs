//! Many claims served together: their sessions are kept alive, hints are popped, and one statement decides.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use futures_util::future::join_all;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::job::JobState;
use crate::index::queue::Popped;
use crate::metrics;
use crate::service::batch::Answers;
use crate::service::{Ctx, Error, Result, announce};
use crate::store::work::{self, Asked, ClaimKey, Claimed, Hinted, Holder, Moved};
use crate::store::workers::{self, Standing, Touch, Turn};

/// The most jobs that one session holds: as many as its beat may list.
pub(super) const HELD_MAX: i64 = 1_000;

/// The most jobs taken for one batch of claims.
pub(super) const TAKEN_AT_ONCE: usize = 1_000;

/// One claim's share of a batch.
#[derive(Debug, Clone)]
pub struct ClaimShare {
    pub(super) key: ClaimKey,
    pub(super) max: usize,
    /// What is known of its session; nothing at the first look of a claim, which then keeps the session alive by this key.
    pub(super) known: Known,
    /// Jobs that were given to it.
    pub(super) given: Vec<Uuid>,
    /// To be served by rank, whatever the index says.
    pub(super) ranked: bool,
}

#[derive(Debug, Clone)]
pub(super) enum Known {
    Key(Arc<str>),
    Standing(Arc<Standing>),
}

/// What it comes to.
#[derive(Debug, Default)]
pub struct Granted {
    /// What the session may do; nothing when it is not alive.
    pub(super) standing: Option<Arc<Standing>>,
    pub(super) jobs: Vec<Claimed>,
    /// Its queue was looked into, and it was given what there was.
    pub(super) looked: bool,
}

pub(super) async fn take_all(ctx: Arc<Ctx>, takings: Vec<ClaimShare>) -> Result<Answers<Granted>> {
    let mut round = Round::default();
    let done = ctx
        .hot
        .run(async |db| {
            let standings = standings(db, &takings, ctx.limits.lease_s).await?;
            round = Round::new(&ctx, &takings, standings);
            round.pop(&ctx).await;
            let hints = round.hints();
            let mut jobs = if hints.is_empty() { Vec::new() } else { work::claim(db, &hints).await? };
            let asked = round.unserved(&jobs);
            if !asked.is_empty() {
                match work::claim_ranked(db, &asked, TAKEN_AT_ONCE as i64, false).await {
                    Ok(ranked) => {
                        forget_hints(&ctx, &round, &ranked);
                        jobs.extend(ranked);
                    }
                    // What the hints gave is committed, and goes to those who have it; the others look again.
                    Err(error) if !jobs.is_empty() => tracing::warn!(%error, "a claim by rank failed beside others"),
                    Err(error) => return Err(error.into()),
                }
            }
            Ok::<_, Error>(jobs)
        })
        .await;
    let taken: HashSet<Uuid> = done.iter().flatten().map(|job| job.id).collect();
    // Whatever was popped and not taken belongs into its queue, also when this failed.
    let popped = round.hints().into_iter().map(|hint| hint.job);
    let given = takings.iter().flat_map(|taking| taking.given.iter().copied());
    let popped: HashSet<Uuid> = popped.chain(given).collect();
    put_back(&ctx, popped.difference(&taken).copied().collect());
    let jobs = done?;
    let moved = jobs.iter().map(as_moved).collect();
    Ok(Answers { each: round.answers(jobs), then: announce::soon(&ctx, moved) })
}

/// Touches the sessions whose claims look for the first time; of the others it is known what they may do.
async fn standings(db: &mut PgConnection, takings: &[ClaimShare], lease_s: f64) -> Result<Vec<Option<Arc<Standing>>>> {
    let touch = |taking: &ClaimShare| match &taking.known {
        Known::Key(key) => {
            let holder = Holder { session: taking.key.session, key: key.to_string() };
            Some(Touch { holder, claim: Some(taking.key.claim) })
        }
        Known::Standing(_) => None,
    };
    let touches: Vec<Touch> = takings.iter().filter_map(touch).collect();
    let read = if touches.is_empty() { Vec::new() } else { workers::touch(db, &touches, lease_s).await? };
    let mut read = read.into_iter();
    let standing = |taking: &ClaimShare| match &taking.known {
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
    fn new(ctx: &Ctx, takings: &[ClaimShare], standings: Vec<Option<Arc<Standing>>>) -> Self {
        let mut left = TAKEN_AT_ONCE;
        // What each session is given here counts at once: its claims may come together.
        let mut given: HashMap<Uuid, i64> = HashMap::new();
        let share = |(taking, standing): (&ClaimShare, Option<Arc<Standing>>)| {
            let first = matches!(taking.known, Known::Key(_));
            let open = |s: &Standing| {
                let passed_over = s.version_id < ctx.versions.first(&s.model);
                let barred = s.limited || s.draining || (first && (s.paused || s.replay || passed_over));
                !barred && (!first || s.turn == Turn::Open)
            };
            let given = given.entry(taking.key.session).or_default();
            let free = standing.as_deref().filter(|s| open(s)).map_or(0, |s| (HELD_MAX - s.held - *given).max(0));
            let room = taking.max.min(left).min(usize::try_from(free).unwrap_or_default());
            left -= room;
            *given += room as i64;
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
                    // One that has not met Redis yet has nothing to fall back from.
                    if ctx.index.has_been_live() {
                        metrics::claim_fallback(&model);
                    }
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

    fn answers(self, jobs: Vec<Claimed>) -> Vec<Granted> {
        let mut by_claim: HashMap<ClaimKey, Vec<Claimed>> = HashMap::new();
        for job in jobs {
            by_claim.entry(job.key()).or_default().push(job);
        }
        let answer = |share: Share| Granted {
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

/// What a claim is to those who are told of it.
pub(super) fn as_moved(job: &Claimed) -> Moved {
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

/// Puts popped jobs back into their queues that could not be used; nobody is woken, who could not either.
pub(super) fn put_back(ctx: &Arc<Ctx>, popped: Vec<Uuid>) {
    if popped.is_empty() {
        return;
    }
    let ctx = Arc::clone(ctx);
    tokio::spawn(async move {
        if let Err(error) = announce::put_back(&ctx, &popped).await {
            tracing::debug!(%error, "jobs that were popped in vain wait for the sweep");
        }
    });
}
