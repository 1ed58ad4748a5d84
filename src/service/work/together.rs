//! Claims that come at the same time: one statement decides for all of them.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::future::join_all;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::index::queue::Popped;
use crate::service::batch::Answers;
use crate::service::{Ctx, Error, Result, announce};
use crate::store::work::{self, ClaimKey, Claimed, Moved};
use crate::store::workers::{self, Holder, Standing, Touch, Turn};

/// The most jobs popped for one batch of claims.
const POPPED_AT_ONCE: usize = 1_000;

/// One claim's share of a batch.
#[derive(Debug, Clone)]
pub(super) struct ClaimShare {
    pub(super) key: ClaimKey,
    /// Jobs that were popped for it, or given to it.
    pub(super) hints: Vec<Uuid>,
    /// With the first look of a claim: nothing is known of its session yet.
    pub(super) first: Option<First>,
}

/// Who asks, and for how much.
#[derive(Debug, Clone)]
pub(super) struct First {
    pub(super) key: String,
    /// Pops at most so many for it.
    pub(super) max: usize,
}

/// What a share comes to.
#[derive(Debug, Default)]
pub(super) struct Granted {
    /// What the session may do; nothing when it is not alive, or this was no first look.
    pub(super) standing: Option<Standing>,
    pub(super) jobs: Vec<Claimed>,
    /// Its queue was looked into, and it was given what there was.
    pub(super) looked: bool,
}

/// Looks after the sessions that come for the first time, pops for them, and claims for all what was popped or given.
pub(super) async fn take_all(ctx: Arc<Ctx>, mut shares: Vec<ClaimShare>) -> Result<Answers<Granted>> {
    let (mut all, taken) = ctx
        .hot
        .run(async |db| {
            let mut all = first_standings(db, &shares, ctx.limits.lease_s).await?;
            pop_for_all(&ctx, &mut shares, &mut all).await;
            let hints: Vec<(ClaimKey, Uuid)> =
                shares.iter().flat_map(|t| t.hints.iter().map(|job| (t.key, *job))).collect();
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
    for (share, taken) in shares.into_iter().zip(&mut all) {
        taken.jobs = by_claim.remove(&share.key).unwrap_or_default();
        if share.first.is_some() && taken.jobs.len() < share.hints.len() {
            taken.looked = false;
            let is_left = |id: &Uuid| !taken.jobs.iter().any(|j| j.moved.status.id == *id);
            in_vain.extend(share.hints.into_iter().filter(is_left));
        }
    }
    announce::put_back_soon(&ctx, in_vain);
    Ok(Answers { each: all, then: announce::soon(&ctx, moved) })
}

/// Touches the sessions whose claims are looked at for the first time.
async fn first_standings(db: &mut PgConnection, shares: &[ClaimShare], lease_s: f64) -> Result<Vec<Granted>> {
    let touch = |share: &ClaimShare| {
        let holder = Holder { session: share.key.session, key: share.first.as_ref()?.key.clone() };
        Some(Touch { holder, claim: Some(share.key.claim) })
    };
    let touches: Vec<Touch> = shares.iter().filter_map(touch).collect();
    let standings = if touches.is_empty() { Vec::new() } else { workers::touch(db, &touches, lease_s).await? };
    let mut standings = standings.into_iter();
    let standing = |share: &ClaimShare| share.first.as_ref().and_then(|_| standings.next().flatten());
    Ok(shares.iter().map(standing).map(|standing| Granted { standing, ..Granted::default() }).collect())
}

/// Pops for the claims that are looked at for the first time, one pop for each model; who came first is served first.
async fn pop_for_all(ctx: &Ctx, shares: &mut [ClaimShare], all: &mut [Granted]) {
    let mut wanted: HashMap<String, Vec<(&mut ClaimShare, &mut Granted, usize)>> = HashMap::new();
    let mut room = POPPED_AT_ONCE;
    for (share, taken) in shares.iter_mut().zip(all) {
        let Some(standing) = &taken.standing else { continue };
        let bars = standing.paused || standing.limited || standing.draining || standing.replay;
        let max = share.first.as_ref().map_or(0, |first| first.max);
        if bars || standing.turn != Turn::Open || max == 0 || max > room {
            continue;
        }
        room -= max;
        wanted.entry(standing.model.clone()).or_default().push((share, taken, max));
    }
    let pops = wanted.into_iter().map(async |(model, claims)| {
        let count = claims.iter().map(|(_, _, max)| max).sum();
        if let Popped::Hints(hints) = ctx.index.pop(&model, count).await {
            let mut hints = hints.into_iter();
            for (share, taken, max) in claims {
                taken.looked = true;
                share.hints.extend(hints.by_ref().take(max));
            }
        }
    });
    join_all(pops).await;
}
