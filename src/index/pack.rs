//! How a mirrored status is written: the fields of its HASH, each value under its seal and legible to those who read Redis by
//! hand.
//!
//! `s:` holds the whole status, so that nothing can be left out of it: per model the newest job and the newest success. `c:` names
//! the cases that hold the image: one field, however many they are, and however many who asks is a member of. `a:` holds the whole answer to a look-up, once all jobs have ended and if it is not large:
//! it is passed on unread.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::image::ContentMd5;
use crate::domain::job::{ImageStatus, JobState, JobView, ResultView};

/// The largest result mirrored, in bytes; a larger one is read from PostgreSQL.
const RESULT_BYTES_MAX: usize = 64 * 1024;
/// The most bytes of results mirrored of one image: many images are read at once.
const RESULTS_BYTES_MAX: usize = 256 * 1024;
/// The largest answer mirrored whole, in bytes; a larger one is put together from its parts.
const ANSWER_BYTES_MAX: usize = 16 * 1024;
/// The field of the status.
pub(super) const STATUS: &str = "s:";
/// The field of the whole answer.
pub(super) const ANSWER: &str = "a:";

/// A mirrored status.
#[derive(Debug, Default)]
pub struct Mirrored {
    pub status: ImageStatus,
    /// Whether one of the cases that were asked for holds the image.
    pub entitled: bool,
    /// A result was too large to be mirrored.
    pub partial: bool,
}

/// A whole status as the mirror takes it.
#[derive(Debug)]
pub struct Fill<'a> {
    pub md5: ContentMd5,
    pub status: &'a ImageStatus,
    pub cases: &'a [Uuid],
    /// Nothing of it is expected to change.
    pub finished: bool,
}

/// The field of the cases that hold the image.
pub(super) const CASES: &str = "c:";

/// Whether one of these cases, which are in order, is among those that the field of the cases names.
pub(super) fn is_held(value: &str, cases: &[Uuid]) -> bool {
    value.split(' ').filter_map(|case| Uuid::try_parse(case).ok()).any(|case| cases.binary_search(&case).is_ok())
}

/// What the field of the status says, by models. Their names need no escapes.
#[derive(Serialize, Deserialize)]
struct Packed<'p> {
    /// Job, its version, state and JSON.
    #[serde(borrow)]
    jobs: BTreeMap<&'p str, (Uuid, i64, JobState, &'p RawValue)>,
    /// Job and JSON, which is left out where it is too large.
    #[serde(borrow)]
    results: BTreeMap<&'p str, (Uuid, Option<&'p RawValue>)>,
}

/// The fields of a status and their values.
pub(super) fn pack(fill: &Fill<'_>) -> Vec<(String, String)> {
    let cases: Vec<String> = fill.cases.iter().map(|case| case.simple().to_string()).collect();
    let mut fields = vec![(CASES.to_owned(), cases.join(" "))];
    let mut room = RESULTS_BYTES_MAX;
    let mut small = |json: &&RawValue| {
        let fits = json.get().len() <= RESULT_BYTES_MAX.min(room);
        room -= if fits { json.get().len() } else { 0 };
        fits
    };
    let packed = Packed {
        jobs: fill.status.jobs.iter().map(|(m, j)| (m.as_str(), (j.id, j.version, j.state, &*j.json))).collect(),
        results: fill
            .status
            .results
            .iter()
            .map(|(m, r)| (m.as_str(), (r.job, Some(&*r.json).filter(&mut small))))
            .collect(),
    };
    if let Ok(packed) = serde_json::to_string(&packed) {
        fields.push((STATUS.to_owned(), packed));
    }
    if let Some(answer) = fill.status.finished_answer(fill.md5).filter(|answer| answer.len() <= ANSWER_BYTES_MAX) {
        fields.push((ANSWER.to_owned(), answer));
    }
    fields
}

/// The status that the field of that name says; nothing when it is not as [`pack`] writes it.
pub(super) fn unpack(value: &str, entitled: bool) -> Option<Mirrored> {
    let packed: Packed<'_> = serde_json::from_str(value).ok()?;
    let mut mirrored = Mirrored { entitled, ..Mirrored::default() };
    for (model, (id, version, state, json)) in packed.jobs {
        mirrored.status.jobs.insert(model.to_owned(), JobView { id, version, state, json: json.to_owned() });
    }
    for (model, (job, json)) in packed.results {
        if let Some(json) = json {
            mirrored.status.results.insert(model.to_owned(), ResultView { job, json: json.to_owned() });
        } else {
            mirrored.partial = true;
        }
    }
    Some(mirrored)
}
