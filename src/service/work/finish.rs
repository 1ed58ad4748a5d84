//! What a worker says of its jobs, checked item by item before anything is asked of the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use serde_json::value::RawValue;
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::domain::fault::{Code, Fault};
use crate::domain::job::Outcome;
use crate::domain::json::check_text;
use crate::domain::judged_schema::JudgedSchema;
use crate::domain::key::Service;
use crate::domain::result::{self, Upright};
use crate::domain::ruling::Failure;
use crate::service::workers::lease_no as lease;
use crate::service::{Ctx, Error, Result};

/// The most of an error's type kept, in characters.
const ERROR_TYPE_CHARS: usize = 200;

/// The most of an error's message kept, in characters.
const ERROR_MESSAGE_CHARS: usize = 2_000;

/// The most of a traceback kept, in characters, from its end.
const TRACEBACK_CHARS: usize = 8_000;

/// The longest back-off that a worker may wish for, in seconds.
const RETRY_AFTER_MAX_S: f64 = 7.0 * 24.0 * 3600.0;
/// What the error of a result that does not hold is called, among those of models.
const INVALID_RESULT: &str = "InvalidResult";
/// How much is judged on the runtime's threads, as bytes of results × parts of their schema: it takes some ten milliseconds at most.
const JUDGED_HERE_MAX: usize = 2_000_000;
/// How many requests are judged apart from them at once.
const JUDGED_APART: usize = 2;
/// How long one waits for its turn.
const JUDGE_WAIT: Duration = Duration::from_secs(20);

/// What an item says, with its job and lease.
pub(super) type Checked = (Uuid, i64, std::result::Result<Finish, Fault>);

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

/// One item, already checked.
#[derive(Debug, Clone)]
pub(super) struct Finish {
    pub(super) id: Uuid,
    pub(super) lease_no: i32,
    pub(super) outcome: Outcome,
    /// The normalised result as JSON text; present exactly when the outcome is a success.
    pub(super) document: Option<String>,
    /// What is wrong with the result, which is why this is a rejection.
    pub(super) refused: Option<Fault>,
    pub(super) duration_s: Option<f32>,
    /// The worker's wish for the back-off, in seconds.
    pub(super) retry_after_s: Option<f64>,
    /// A random fraction 0…1 of the back-off.
    pub(super) jitter: f64,
    pub(super) failure: Failure,
}

/// Checks of what workers say.
pub(super) struct Checks {
    /// Turns for what takes long to judge.
    apart: Arc<Semaphore>,
}

impl Checks {
    pub(super) fn new() -> Self {
        Self { apart: Arc::new(Semaphore::new(JUDGED_APART)) }
    }

    /// What each item says, in order. Where it takes long to judge the results, a thread of its own does, and few requests at once.
    pub(super) async fn all(
        &self,
        ctx: &Arc<Ctx>,
        service: Service,
        items: Vec<Item>,
        upright: HashMap<Uuid, Upright>,
        schema: Option<Arc<JudgedSchema>>,
    ) -> Result<Vec<Checked>> {
        let bytes: usize = items.iter().filter_map(|item| Some(item.result.as_ref()?.get().len())).sum();
        let work = bytes.saturating_mul(schema.as_ref().map_or(0, |schema| schema.parts()));
        let ctx = Arc::clone(ctx);
        let check_each = move || {
            let one = |item: Item| {
                let (id, lease_no) = (item.id, item.lease_no);
                (id, lease_no, check(&ctx, service, item, upright.get(&id).copied(), schema.as_deref()))
            };
            items.into_iter().map(one).collect::<Vec<Checked>>()
        };
        if work <= JUDGED_HERE_MAX {
            return Ok(check_each());
        }
        let busy = || Fault::new(Code::TooManyRequests, "Too many large results are being judged.").retry_after(3);
        let turn = tokio::time::timeout(JUDGE_WAIT, Arc::clone(&self.apart).acquire_owned()).await;
        let turn = turn.map_err(|_| busy())?.map_err(|_| busy())?;
        let judge = move || {
            // Over when the work is, whoever hangs up.
            let _turn = turn;
            check_each()
        };
        tokio::task::spawn_blocking(judge).await.map_err(|error| Error::Internal(error.into()))
    }
}

/// What an item says, if it may be said; a fault tells its place within the item.
fn check(
    ctx: &Ctx,
    service: Service,
    mut item: Item,
    upright: Option<Upright>,
    schema: Option<&JudgedSchema>,
) -> std::result::Result<Finish, Fault> {
    let misplaced = |why: &str| Err(Fault::new(Code::InvalidResult, why).on("/result"));
    if service == Service::Train && item.outcome == Outcome::Succeeded {
        // What a run returned may be nothing.
        item.result.get_or_insert_with(|| RawValue::NULL.to_owned());
    }
    match (item.outcome, &item.result) {
        (Outcome::Succeeded, None) => return misplaced("The outcome is succeeded, but there is no result."),
        (Outcome::Retry | Outcome::Rejected, Some(_)) => {
            return misplaced("Only the outcome succeeded carries a result.");
        }
        _ => {}
    }
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
    let finish = Finish {
        id: item.id,
        lease_no: lease(item.lease_no),
        outcome: item.outcome,
        document: None,
        refused: None,
        #[expect(clippy::cast_possible_truncation, reason = "a duration needs no more than six digits")]
        duration_s: sane("duration_s", item.duration_s, 1e9)?.map(|s| s as f32),
        retry_after_s: sane("retry_after_s", item.retry_after_s, RETRY_AFTER_MAX_S)?,
        jitter: rand::rng().random(),
        failure: failure(item.error_type, item.error_message, item.traceback),
    };
    let bytes_max = ctx.limits.result_bytes_max;
    let read = item.result.map(|posted| match service {
        Service::Predict => {
            let document = result::normalise(&posted, bytes_max, upright)?;
            schema.map_or(Ok(()), |schema| schema.check_result(&document)).map(|()| document)
        }
        Service::Train => result::as_posted(&posted, bytes_max),
    });
    Ok(match read {
        None => finish,
        Some(Ok(document)) => Finish { document: Some(document), ..finish },
        Some(Err(fault)) => Finish {
            outcome: Outcome::Rejected,
            failure: failure(Some(INVALID_RESULT.to_owned()), Some(fault.detail.clone()), None),
            refused: Some(fault.under("/result")),
            ..finish
        },
    })
}

/// What is kept of an error.
fn failure(kind: Option<String>, message: Option<String>, traceback: Option<String>) -> Failure {
    Failure {
        kind: kind.map(|text| text.chars().take(ERROR_TYPE_CHARS).collect()),
        message: message.map(|text| text.chars().take(ERROR_MESSAGE_CHARS).collect()),
        traceback: traceback.map(|text| tail(&text, TRACEBACK_CHARS)),
    }
}

fn tail(text: &str, chars: usize) -> String {
    let skip = text.chars().count().saturating_sub(chars);
    text.chars().skip(skip).collect()
}
