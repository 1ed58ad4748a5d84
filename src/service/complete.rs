//! Completions, releases and beats: everything that the fence (job, lease_no, session of the calling key,
//! running) guards.

use std::collections::{HashMap, HashSet};

use rand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::claim::unknown_worker;
use super::{Ctx, Result, announce};
use crate::domain::fault::{Code, Fault};
use crate::domain::job::Outcome;
use crate::domain::result;
use crate::metrics;
use crate::store::keys::ApiKey;
use crate::store::moves::{Finish, Moved};
use crate::store::{jobs, moves, workers};

/// The most of an error's type kept, in characters.
const ERROR_TYPE_CHARS: usize = 200;
/// The most of an error's message kept, in characters.
const ERROR_MESSAGE_CHARS: usize = 2_000;
/// The most of a traceback kept, in characters, from its end.
const TRACEBACK_CHARS: usize = 8_000;
/// The longest back-off that a worker may wish for, in seconds.
const RETRY_AFTER_MAX_S: f64 = 7.0 * 24.0 * 3600.0;

/// One item as the worker sent it.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: Uuid,
    pub lease_no: i64,
    pub outcome: Outcome,
    pub result: Option<Value>,
    pub duration_s: Option<f64>,
    pub retry_after_s: Option<f64>,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    pub traceback: Option<String>,
}

/// What became of one item.
#[derive(Debug, Clone)]
pub struct Done {
    pub id: Uuid,
    /// The job's state after it, or what was wrong.
    pub outcome: std::result::Result<Accepted, Fault>,
}

/// An accepted item.
#[derive(Debug, Clone)]
pub struct Accepted {
    pub state: String,
    /// It had been accepted before, and nothing changed now.
    pub repeat: bool,
}

/// Ends or requeues what the session holds; answers every item in order.
pub async fn complete(ctx: &Ctx, key: &ApiKey, worker: Uuid, items: Vec<Item>) -> Result<Vec<Done>> {
    let checked: Vec<(Uuid, i64, std::result::Result<Finish, Fault>)> =
        items.into_iter().map(|item| (item.id, item.lease_no, check(ctx, item))).collect();
    let mut first = HashSet::new();
    let good: Vec<Finish> =
        checked.iter().filter_map(|(_, _, c)| c.as_ref().ok()).filter(|f| first.insert(f.id)).cloned().collect();
    let fences: Vec<Fence> =
        checked.iter().filter_map(|c| Some((c.0, c.1, c.2.as_ref().ok()?.outcome.as_str()))).collect();
    let mut settled = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            if !workers::belongs_to(&mut db, worker, &key.id).await? {
                return Ok(Settlement::default());
            }
            workers::touch(&mut db, worker, &key.id, ctx.limits.lease_s, None).await?;
            let moved = moves::complete(&mut db, worker, &good).await?;
            let accepted = good.iter().map(|f| (f.id, f.lease_no));
            settle(&mut db, worker, moved, accepted, &fences).await
        })
        .await?;
    announce::moved(ctx, &settled.moved).await;
    metrics::retried(&settled.moved);
    Ok(checked
        .into_iter()
        .map(|(id, lease_no, check)| Done { id, outcome: check.and_then(|_| settled.answer(id, lease_no)) })
        .collect())
}

/// Gives back what the session holds, at no cost; answers every item in order.
pub async fn release(ctx: &Ctx, key: &ApiKey, worker: Uuid, items: &[(Uuid, i64)]) -> Result<Vec<Done>> {
    let mut first = HashSet::new();
    let once: Vec<(Uuid, i64)> = items.iter().copied().filter(|(id, _)| first.insert(*id)).collect();
    let fences: Vec<Fence> = items.iter().map(|(id, lease_no)| (*id, *lease_no, "released")).collect();
    let mut settled = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            if !workers::belongs_to(&mut db, worker, &key.id).await? {
                return Ok(Settlement::default());
            }
            workers::touch(&mut db, worker, &key.id, ctx.limits.lease_s, None).await?;
            let moved = moves::release(&mut db, worker, &once).await?;
            settle(&mut db, worker, moved, once.iter().copied(), &fences).await
        })
        .await?;
    announce::moved(ctx, &settled.moved).await;
    Ok(items.iter().map(|(id, lease_no)| Done { id: *id, outcome: settled.answer(*id, *lease_no) }).collect())
}

/// A job, a lease of it, and what was said of it: `succeeded`, `retry`, `rejected` or `released`.
type Fence = (Uuid, i64, &'static str);

/// What the two statements found: the first accepts, the second, with a fresh snapshot, recognises repeats.
#[derive(Default)]
struct Settlement {
    moved: Vec<Moved>,
    accepted: HashMap<(Uuid, i64), String>,
    before: HashMap<(Uuid, i64), String>,
}

async fn settle(
    db: &mut sqlx::PgConnection,
    worker: Uuid,
    moved: Vec<Moved>,
    sent: impl Iterator<Item = (Uuid, i64)>,
    fences: &[Fence],
) -> Result<Settlement> {
    let states: HashMap<Uuid, String> =
        moved.iter().map(|m| (m.status.id, m.status.state.as_str().to_owned())).collect();
    let accepted: HashMap<(Uuid, i64), String> =
        sent.filter_map(|fence| Some((fence, states.get(&fence.0)?.clone()))).collect();
    let refused = fences.len() > accepted.len();
    let before = if refused { jobs::settled(db, worker, fences).await? } else { Vec::new() };
    Ok(Settlement { moved, accepted, before: before.into_iter().map(|s| ((s.id, s.lease_no), s.state)).collect() })
}

impl Settlement {
    fn answer(&mut self, id: Uuid, lease_no: i64) -> std::result::Result<Accepted, Fault> {
        if let Some(state) = self.accepted.remove(&(id, lease_no)) {
            return Ok(Accepted { state, repeat: false });
        }
        if let Some(state) = self.before.get(&(id, lease_no)) {
            return Ok(Accepted { state: state.clone(), repeat: true });
        }
        metrics::stale_lease();
        let detail = format!("Job {id} is not running under lease {lease_no} of this worker.");
        Err(Fault::new(Code::StaleLease, detail))
    }
}

fn check(ctx: &Ctx, item: Item) -> std::result::Result<Finish, Fault> {
    let document = match (item.outcome, item.result) {
        (Outcome::Succeeded, Some(posted)) => Some(check_result(ctx, posted)?),
        (Outcome::Succeeded, None) => {
            return Err(Fault::new(Code::InvalidResult, "The outcome is succeeded, but there is no result."));
        }
        (Outcome::Retry | Outcome::Rejected, Some(_)) => {
            return Err(Fault::new(Code::InvalidResult, "Only the outcome succeeded carries a result."));
        }
        (Outcome::Retry | Outcome::Rejected, None) => None,
    };
    let sane = |what: &str, value: Option<f64>, max: f64| match value {
        Some(v) if !(0.0..=max).contains(&v) => {
            Err(Fault::new(Code::InvalidField, format!("{what} is {v}; it is seconds from 0 to {max}.")))
        }
        value => Ok(value),
    };
    Ok(Finish {
        id: item.id,
        lease_no: item.lease_no,
        outcome: item.outcome,
        document,
        #[expect(clippy::cast_possible_truncation, reason = "a duration needs no more than six digits")]
        duration_s: sane("duration_s", item.duration_s, 1e9)?.map(|s| s as f32),
        retry_after_s: sane("retry_after_s", item.retry_after_s, RETRY_AFTER_MAX_S)?,
        jitter: rand::rng().random(),
        error_type: item.error_type.map(|text| text.chars().take(ERROR_TYPE_CHARS).collect()),
        error_message: item.error_message.map(|text| text.chars().take(ERROR_MESSAGE_CHARS).collect()),
        traceback: item.traceback.map(|text| tail(&text, TRACEBACK_CHARS)),
    })
}

fn check_result(ctx: &Ctx, posted: Value) -> std::result::Result<String, Fault> {
    let document = result::normalise(posted).map_err(|why| Fault::new(Code::InvalidResult, why))?.to_string();
    let max = ctx.limits.result_bytes_max;
    if document.len() > max {
        let detail = format!("The result has {} bytes of JSON; the limit is {max}.", document.len());
        return Err(Fault::new(Code::ResultTooLarge, detail));
    }
    Ok(document)
}

fn tail(text: &str, chars: usize) -> String {
    let skip = text.chars().count().saturating_sub(chars);
    text.chars().skip(skip).collect()
}

/// A job that a worker says it holds.
#[derive(Debug, Clone)]
pub struct Held {
    pub id: Uuid,
    pub lease_no: i64,
    pub progress: Option<f64>,
    pub note: Option<String>,
}

/// What a worker is told by its beat.
#[derive(Debug)]
pub struct Beaten {
    /// Listed jobs that it does not hold (any more).
    pub stop: Vec<Uuid>,
    /// It is to take no more.
    pub drain: bool,
}

/// One beat: keeps the session alive, and answers which of the listed jobs it does not hold (any more). What it
/// holds by our books but did not list, one lease after its claim, goes back at no cost.
pub async fn beat(ctx: &Ctx, key: &ApiKey, worker: Uuid, draining: bool, listed: &[Held]) -> Result<Beaten> {
    let holds: Value = listed
        .iter()
        .map(|h| json!({ "id": h.id, "lease_no": h.lease_no, "progress": h.progress, "note": h.note }))
        .collect();
    let fences: Vec<(Uuid, i64)> = listed.iter().map(|h| (h.id, h.lease_no)).collect();
    let lease_s = ctx.limits.lease_s;
    let (beaten, moved) = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            let alive = workers::beat(&mut db, worker, &key.id, lease_s, draining, &holds).await?;
            let alive = alive.ok_or_else(unknown_worker)?;
            let held: HashSet<(Uuid, i64)> = alive.held.into_iter().collect();
            let stop = fences.iter().filter(|fence| !held.contains(fence)).map(|(id, _)| *id).collect();
            let unlisted = held.iter().any(|fence| !fences.contains(fence));
            let moved =
                if unlisted { moves::release_unlisted(&mut db, worker, &fences, lease_s).await? } else { Vec::new() };
            Ok::<_, super::Error>((Beaten { stop, drain: alive.draining }, moved))
        })
        .await?;
    announce::moved(ctx, &moved).await;
    Ok(beaten)
}

/// Ends a session by its own wish: what it still holds goes back at no cost.
pub async fn leave(ctx: &Ctx, key: &ApiKey, worker: Uuid) -> Result<()> {
    let moved = ctx
        .db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            let held = workers::leave(&mut tx, worker, &key.id).await?.ok_or_else(unknown_worker)?;
            let moved = moves::release(&mut tx, worker, &held).await?;
            tx.commit().await?;
            Ok::<_, super::Error>(moved)
        })
        .await?;
    announce::moved(ctx, &moved).await;
    Ok(())
}
