//! How a mirrored status is written: the fields of its HASH, legible to those who read Redis by hand.
//!
//! Per model `j:` holds its newest job as `id version state JSON` and `r:` its newest success as `job JSON`; `u:` is there
//! for every entitled account. `a:` holds the whole answer to a look-up, once all jobs have ended and if it is not large: it is
//! passed on unread.

use redis::ScriptInvocation;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobState, JobView, ResultView};

/// The largest result mirrored, in bytes; a larger one is read from PostgreSQL.
const RESULT_BYTES_MAX: usize = 64 * 1024;
/// The largest answer mirrored whole, in bytes; a larger one is put together from its parts.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The field of the whole answer.
pub(super) const ANSWER: &str = "a:";

/// A mirrored status.
#[derive(Debug, Default)]
pub struct Mirrored {
    pub status: ImageStatus,
    pub accounts: Vec<Uuid>,
    /// A result was too large to be mirrored.
    pub partial: bool,
}

/// A whole status as the mirror takes it.
#[derive(Debug)]
pub struct Fill<'a> {
    pub md5: ContentMd5,
    pub status: &'a ImageStatus,
    pub accounts: &'a [Uuid],
    /// Nothing of it is expected to change.
    pub finished: bool,
}

/// The field of an entitled account.
pub(super) fn entitled(account: &Uuid) -> String {
    format!("u:{account}")
}

/// Adds the fields and values of a status to a call.
pub(super) fn pack(fill: &Fill<'_>, call: &mut ScriptInvocation<'_>) {
    for account in fill.accounts {
        call.arg(entitled(account)).arg("1");
    }
    for (model, job) in &fill.status.jobs {
        let (state, json) = (job.state.as_str(), job.json.get());
        call.arg(format!("j:{model}")).arg(format!("{} {} {state} {json}", job.id, job.version));
    }
    for (model, success) in &fill.status.results {
        // One that is too large leaves `-` in its place.
        let json = Some(success.json.get()).filter(|json| json.len() <= RESULT_BYTES_MAX).unwrap_or("-");
        call.arg(format!("r:{model}")).arg(format!("{} {json}", success.job));
    }
    if let Some(answer) = fill.status.finished_answer(fill.md5).filter(|answer| answer.len() <= ANSWER_BYTES_MAX) {
        call.arg(ANSWER).arg(answer);
    }
}

/// The status in the fields of a HASH; nothing when there are none, or they are not as [`pack`] writes them.
pub(super) fn unpack(fields: Vec<(String, String)>) -> Option<Mirrored> {
    if fields.is_empty() {
        return None;
    }
    let mut mirrored = Mirrored::default();
    for (field, value) in fields {
        let (kind, name) = field.split_once(':')?;
        match kind {
            "u" => mirrored.accounts.push(Uuid::parse_str(name).ok()?),
            "j" => drop(mirrored.status.jobs.insert(name.to_owned(), unpack_job(&value)?)),
            "r" if value.ends_with(" -") => mirrored.partial = true,
            "r" => drop(mirrored.status.results.insert(name.to_owned(), unpack_success(&value)?)),
            "a" => {}
            _ => return None,
        }
    }
    Some(mirrored)
}

fn unpack_job(value: &str) -> Option<JobView> {
    let mut parts = value.splitn(4, ' ');
    let id = Uuid::parse_str(parts.next()?).ok()?;
    let version = parts.next()?.parse().ok()?;
    let state = JobState::parse(parts.next()?)?;
    Some(JobView { id, version, state, json: raw(parts.next()?)? })
}

fn unpack_success(value: &str) -> Option<ResultView> {
    let (job, json) = value.split_once(' ')?;
    Some(ResultView { job: Uuid::parse_str(job).ok()?, json: raw(json)? })
}

fn raw(json: &str) -> Option<Box<RawValue>> {
    RawValue::from_string(json.to_owned()).ok()
}
