//! Completions, releases and beats: everything that the fence (job, lease_no, session of the calling key,
//! running) guards.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use rand::Rng;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch::Answers;
use super::claim::{self, unknown_worker};
use super::{Ctx, Result, announce};
use crate::domain::fault::{Code, Fault};
use crate::domain::job::{JobState, Outcome};
use crate::domain::result;
use crate::metrics;
use crate::store::jobs::Fence;
use crate::store::keys::ApiKey;
use crate::store::moves::{Finish, Moved};
use crate::store::workers::{Holder, Touch};
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

/// What one request says of its jobs: for the batch that carries out several such.
#[derive(Clone)]
pub struct Completion {
    fences: Vec<Fence>,
    /// What is good of it, each lease once.
    finishes: Vec<(Holder, Finish)>,
}

impl Completion {
    /// How much it is of a batch: as many as its items, more if they are large.
    fn weight(&self) -> usize {
        const WEIGHED_BYTES: usize = 16 * 1024;
        let bytes: usize = self.finishes.iter().map(|(_, f)| f.document.as_ref().map_or(0, String::len)).sum();
        self.fences.len().max(bytes / WEIGHED_BYTES)
    }
}

/// Ends or requeues what the session holds; answers every item in order.
pub async fn complete(ctx: &Arc<Ctx>, key: &ApiKey, worker: Uuid, items: Vec<Item>) -> Result<Vec<Done>> {
    let holder = Holder { session: worker, key: key.id.clone() };
    let mut completion = Completion { fences: Vec::new(), finishes: Vec::new() };
    let mut first = HashSet::new();
    let mut done = Vec::with_capacity(items.len());
    for item in items {
        let (id, lease_no) = (item.id, item.lease_no);
        match check(ctx, item) {
            Err(fault) => done.push(Done { id, outcome: Err(fault) }),
            Ok(finish) => {
                let fence = Fence { holder: holder.clone(), id, lease_no, said: finish.outcome.as_str() };
                completion.fences.push(fence);
                if first.insert((id, lease_no)) {
                    completion.finishes.push((holder.clone(), finish));
                }
                done.push(Done { id, outcome: Err(stale(id, lease_no)) });
            }
        }
    }
    let weight = completion.weight();
    let run = {
        let ctx = Arc::clone(ctx);
        move |calls| complete_together(Arc::clone(&ctx), calls)
    };
    if completion.finishes.is_empty() {
        // Nothing to say is a sign of life as well; that of a session that is over is none.
        claim::touch(ctx, &holder, None).await?;
        return Ok(done);
    }
    let verdicts = ctx.db.within(ctx.batches.completions.call(completion, weight, run, |_, _| {})).await?;
    Ok(answer(done, verdicts))
}

/// Puts the verdicts in the places of the items that were judged.
fn answer(mut done: Vec<Done>, verdicts: Vec<Option<Accepted>>) -> Vec<Done> {
    let judged = done.iter_mut().filter(|d| matches!(&d.outcome, Err(fault) if fault.code == Code::StaleLease));
    for (done, verdict) in judged.zip(verdicts) {
        match verdict {
            Some(accepted) => done.outcome = Ok(accepted),
            None => metrics::stale_lease(),
        }
    }
    done
}

fn stale(id: Uuid, lease_no: i64) -> Fault {
    Fault::new(Code::StaleLease, format!("Job {id} is not running under lease {lease_no} of this worker."))
}

/// Carries out the completions of several requests together: first what succeeded, then whatever that left.
async fn complete_together(ctx: Arc<Ctx>, calls: Vec<Completion>) -> Result<Answers<Vec<Option<Accepted>>>> {
    let mut first = HashSet::new();
    let finishes: Vec<(Holder, Finish)> = calls
        .iter()
        .flat_map(|call| &call.finishes)
        .filter(|(holder, finish)| first.insert((holder.session, finish.id, finish.lease_no)))
        .cloned()
        .collect();
    let fences = calls.iter().map(|call| call.fences.as_slice()).collect::<Vec<_>>();
    let (moved, verdicts) = ctx
        .db
        .within(async {
            let mut db = ctx.db.hot().acquire().await?;
            let moved = move_all(&mut db, finishes, ctx.limits.lease_s).await?;
            let verdicts = judge(&mut db, &moved, &fences).await?;
            Ok::<_, super::Error>((moved, verdicts))
        })
        .await?;
    metrics::retried(&moved);
    Ok(Answers { each: verdicts, then: announce::soon(&ctx, moved) })
}

async fn move_all(db: &mut PgConnection, finishes: Vec<(Holder, Finish)>, lease_s: f64) -> Result<Vec<Moved>> {
    let (good, mut left): (Vec<_>, Vec<_>) = finishes.into_iter().partition(|(_, f)| f.outcome == Outcome::Succeeded);
    let succeeded = if good.is_empty() { Vec::new() } else { moves::succeed(db, &good, lease_s).await? };
    let overdue: HashSet<Uuid> = succeeded.iter().filter(|s| s.overdue).filter_map(|s| s.moved.session).collect();
    let mut moved: Vec<Moved> = succeeded.into_iter().map(|s| s.moved).collect();
    let mut heard: HashSet<Holder> = HashSet::new();
    let done: HashSet<Uuid> = moved.iter().map(|m| m.status.id).collect();
    for (holder, finish) in good {
        if overdue.contains(&holder.session) {
            heard.insert(holder.clone());
        }
        if !done.contains(&finish.id) {
            left.push((holder, finish));
        }
    }
    if !left.is_empty() {
        moved.extend(moves::complete(db, &left).await?);
        heard.extend(left.into_iter().map(|(holder, _)| holder));
    }
    if !heard.is_empty() {
        let signs: Vec<Touch> = heard.into_iter().map(|holder| Touch { holder, claim: None }).collect();
        workers::touch(db, &signs, lease_s).await?;
    }
    Ok(moved)
}

/// Gives back what the session holds, at no cost; answers every item in order.
pub async fn release(ctx: &Arc<Ctx>, key: &ApiKey, worker: Uuid, items: &[(Uuid, i64)]) -> Result<Vec<Done>> {
    let holder = Holder { session: worker, key: key.id.clone() };
    let fence =
        |(id, lease_no): &(Uuid, i64)| Fence { holder: holder.clone(), id: *id, lease_no: *lease_no, said: "released" };
    let fences: Vec<Fence> = items.iter().map(fence).collect();
    let mut first = HashSet::new();
    let once: Vec<(Uuid, i64)> = items.iter().copied().filter(|lease| first.insert(*lease)).collect();
    claim::touch(ctx, &holder, None).await?;
    let (moved, verdicts) = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            let mine = workers::belongs_to(&mut db, worker, &key.id).await?;
            let moved = if mine { moves::release(&mut db, worker, &once).await? } else { Vec::new() };
            let verdicts = judge(&mut db, &moved, &[&fences]).await?;
            Ok::<_, super::Error>((moved, verdicts))
        })
        .await?;
    announce::moved(ctx, &moved).await;
    let done = items.iter().map(|(id, lease_no)| Done { id: *id, outcome: Err(stale(*id, *lease_no)) }).collect();
    Ok(answer(done, verdicts.into_iter().flatten().collect()))
}

/// Says of every lease named by every call whether it was accepted: once by what was moved just now; all others are looked
/// up by a second statement, whose fresh snapshot recognises what was accepted before.
async fn judge(db: &mut sqlx::PgConnection, moved: &[Moved], calls: &[&[Fence]]) -> Result<Vec<Vec<Option<Accepted>>>> {
    let mut accepted: HashMap<(Option<Uuid>, Uuid, i64), JobState> =
        moved.iter().map(|m| ((m.session, m.status.id, m.lease_no), m.status.state)).collect();
    let mut refused = Vec::new();
    let mut verdicts: Vec<Vec<Option<Accepted>>> = Vec::new();
    for (call, fences) in calls.iter().enumerate() {
        let mut verdict = Vec::new();
        for (place, fence) in fences.iter().enumerate() {
            let state = accepted.remove(&(Some(fence.holder.session), fence.id, fence.lease_no));
            if state.is_none() {
                refused.push((call, place, fence.clone()));
            }
            verdict.push(state.map(|state| Accepted { state: state.as_str().to_owned(), repeat: false }));
        }
        verdicts.push(verdict);
    }
    if !refused.is_empty() {
        let fences: Vec<Fence> = refused.iter().map(|(_, _, fence)| fence.clone()).collect();
        for ((call, place, _), state) in refused.iter().zip(jobs::settled(db, &fences).await?) {
            verdicts[*call][*place] = state.map(|state| Accepted { state, repeat: true });
        }
    }
    Ok(verdicts)
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
pub async fn beat(ctx: &Arc<Ctx>, key: &ApiKey, worker: Uuid, draining: bool, listed: &[Held]) -> Result<Beaten> {
    let holds: Value = listed
        .iter()
        .map(|h| json!({ "id": h.id, "lease_no": h.lease_no, "progress": h.progress, "note": h.note }))
        .collect();
    let beat = workers::Beat { holder: Holder { session: worker, key: key.id.clone() }, draining, holds };
    let run = {
        let ctx = Arc::clone(ctx);
        move |beats| beat_together(Arc::clone(&ctx), beats)
    };
    let alive = ctx.db.within(ctx.batches.beats.call(beat, 1, run, |_, _| {})).await?.ok_or_else(unknown_worker)?;
    let fences: Vec<(Uuid, i64)> = listed.iter().map(|h| (h.id, h.lease_no)).collect();
    let held: HashSet<(Uuid, i64)> = alive.held.into_iter().collect();
    let stop = fences.iter().filter(|fence| !held.contains(fence)).map(|(id, _)| *id).collect();
    if held.iter().any(|fence| !fences.contains(fence)) {
        let moved = ctx
            .db
            .within(async {
                let mut db = ctx.db.hot().acquire().await?;
                let released = moves::release_unlisted(&mut db, worker, &fences, ctx.limits.lease_s).await?;
                Ok::<_, super::Error>(released)
            })
            .await?;
        announce::moved(ctx, &moved).await;
    }
    Ok(Beaten { stop, drain: alive.draining })
}

/// Carries out several beats in one statement; of one session's the last counts.
async fn beat_together(ctx: Arc<Ctx>, beats: Vec<workers::Beat>) -> Result<Answers<Option<workers::Beaten>>> {
    let mut last: HashMap<&Holder, &workers::Beat> = HashMap::new();
    for beat in &beats {
        last.insert(&beat.holder, beat);
    }
    let distinct: Vec<workers::Beat> = last.into_values().cloned().collect();
    let beaten = ctx
        .db
        .within(async {
            let mut db = ctx.db.hot().acquire().await?;
            Ok::<_, super::Error>(workers::beat(&mut db, &distinct, ctx.limits.lease_s).await?)
        })
        .await?;
    let by_holder: HashMap<&Holder, &Option<workers::Beaten>> =
        distinct.iter().map(|beat| &beat.holder).zip(&beaten).collect();
    let of = |beat: &workers::Beat| by_holder.get(&beat.holder).and_then(|beaten| (*beaten).clone());
    Ok(beats.iter().map(of).collect::<Vec<_>>().into())
}

/// Ends a session by its own wish: what it still holds goes back at no cost.
pub async fn leave(ctx: &Ctx, key: &ApiKey, worker: Uuid) -> Result<()> {
    let moved = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            // Two commits: a job's end may take its session's row, so that one is not held while jobs are waited for.
            // What is cut off in between is given back by the rescue.
            let held = workers::leave(&mut db, worker, &key.id).await?.ok_or_else(unknown_worker)?;
            let moved = moves::release(&mut db, worker, &held).await?;
            Ok::<_, super::Error>(moved)
        })
        .await?;
    announce::moved(ctx, &moved).await;
    Ok(())
}
