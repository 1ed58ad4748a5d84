//! Completions, guarded by the fence (job, lease_no, session of the calling key, running).

use super::verdict::{Accepted, Done, answer, judge, stale};
use crate::domain::fault::{Code, Fault};
use crate::domain::job::Outcome;
use crate::domain::json::check_text;
use crate::domain::result;
use crate::metrics;
use crate::service::batch::{Answers, Batcher, Capacity};
use crate::service::workers::Workers;
use crate::service::{Ctx, Error, Result, announce};
use crate::store::keys::ApiKey;
use crate::store::work::{self, Fence, Finish, Moved};
use crate::store::workers::{Holder, Touch, touch};
use rand::Rng;
use serde_json::value::RawValue;
use sqlx::PgConnection;
use std::collections::HashSet;
use std::sync::Arc;
use uuid::Uuid;

/// The most of an error's type kept, in characters.
const ERROR_TYPE_CHARS: usize = 200;
/// The most of an error's message kept, in characters.
const ERROR_MESSAGE_CHARS: usize = 2_000;
/// The most of a traceback kept, in characters, from its end.
const TRACEBACK_CHARS: usize = 8_000;
/// The longest back-off that a worker may wish for, in seconds.
const RETRY_AFTER_MAX_S: f64 = 7.0 * 24.0 * 3600.0;
/// The line of completions; the same lease ends once.
const LINE: Capacity = Capacity { repeatable: true, ..Capacity::USUAL };

/// One item as the worker sent it.
#[derive(Debug, Clone)]
pub struct Item {
    pub id: Uuid,
    pub lease_no: i64,
    pub outcome: Outcome,
    pub result: Option<Box<RawValue>>,
    pub duration_s: Option<f64>,
    pub retry_after_s: Option<f64>,
    pub error_type: Option<String>,
    pub error_message: Option<String>,
    pub traceback: Option<String>,
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

/// The completions of all workers.
pub struct Completions {
    ctx: Arc<Ctx>,
    workers: Arc<Workers>,
    line: Arc<Batcher<Completion, Vec<Option<Accepted>>>>,
}

impl Completions {
    /// The connections that its line uses at once.
    pub const CONNECTIONS: u32 = LINE.at_once;

    pub fn new(ctx: &Arc<Ctx>, workers: &Arc<Workers>) -> Self {
        let own = Arc::clone(ctx);
        let line = Batcher::new(LINE, move |calls| complete_together(Arc::clone(&own), calls), |_, _| {});
        Self { ctx: Arc::clone(ctx), workers: Arc::clone(workers), line }
    }

    /// Ends or requeues what the session holds; answers every item in order.
    pub async fn complete(&self, key: &ApiKey, worker: Uuid, items: Vec<Item>) -> Result<Vec<Done>> {
        let holder = Holder { session: worker, key: key.id.clone() };
        let mut completion = Completion { fences: Vec::new(), finishes: Vec::new() };
        let mut first = HashSet::new();
        let mut done = Vec::with_capacity(items.len());
        for (place, item) in items.into_iter().enumerate() {
            let (id, lease_no) = (item.id, item.lease_no);
            match check(&self.ctx, item) {
                Err(fault) => done.push(Done { id, outcome: Err(fault.under(&format!("/items/{place}"))) }),
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
        if completion.finishes.is_empty() {
            // Nothing to say is a sign of life as well; that of a session that is over is none.
            self.workers.touch(&holder, None).await?;
            return Ok(done);
        }
        let verdicts = self.line.call(completion, weight).await?;
        Ok(answer(done, verdicts))
    }
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
        .hot
        .run(async |db| {
            let moved = move_all(db, finishes, ctx.limits.lease_s).await?;
            let verdicts = judge(db, &moved, &fences).await?;
            Ok::<_, Error>((moved, verdicts))
        })
        .await?;
    metrics::retried(&moved);
    Ok(Answers { each: verdicts, then: announce::soon(&ctx, moved) })
}

async fn move_all(db: &mut PgConnection, finishes: Vec<(Holder, Finish)>, lease_s: f64) -> Result<Vec<Moved>> {
    let (good, mut left): (Vec<_>, Vec<_>) = finishes.into_iter().partition(|(_, f)| f.outcome == Outcome::Succeeded);
    let succeeded = if good.is_empty() { Vec::new() } else { work::succeed(db, &good, lease_s).await? };
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
        moved.extend(work::complete(db, &left).await?);
        heard.extend(left.into_iter().map(|(holder, _)| holder));
    }
    if !heard.is_empty() {
        let signs: Vec<Touch> = heard.into_iter().map(|holder| Touch { holder, claim: None }).collect();
        touch(db, &signs, lease_s).await?;
    }
    Ok(moved)
}

/// What an item says, if it may be said; a fault tells its place within the item.
fn check(ctx: &Ctx, item: Item) -> std::result::Result<Finish, Fault> {
    let misplaced = |why: &str| Err(Fault::new(Code::InvalidResult, why).on("/result"));
    let document = match (item.outcome, &item.result) {
        (Outcome::Succeeded, Some(posted)) => {
            Some(result::normalise(posted, ctx.limits.result_bytes_max).map_err(|fault| fault.under("/result"))?)
        }
        (Outcome::Succeeded, None) => return misplaced("The outcome is succeeded, but there is no result."),
        (Outcome::Retry | Outcome::Rejected, Some(_)) => {
            return misplaced("Only the outcome succeeded carries a result.");
        }
        (Outcome::Retry | Outcome::Rejected, None) => None,
    };
    let sane = |what: &str, value: Option<f64>, max: f64| match value {
        Some(v) if !(0.0..=max).contains(&v) => {
            let detail = format!("{what} is {v}; it is seconds from 0 to {max}.");
            Err(Fault::new(Code::InvalidField, detail).on(format!("/{what}")))
        }
        value => Ok(value),
    };
    let texts = [("type", &item.error_type), ("message", &item.error_message), ("traceback", &item.traceback)];
    for (what, text) in texts {
        check_text(text.as_deref().unwrap_or_default()).map_err(|fault| fault.on(format!("/error/{what}")))?;
    }
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

fn tail(text: &str, chars: usize) -> String {
    let skip = text.chars().count().saturating_sub(chars);
    text.chars().skip(skip).collect()
}
