//! The rule of two seconds, judged: no job that may be claimed waits longer while a session of its model waits. The
//! workers write down when they waited, the database knows since when each job could be claimed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::installation::Installation;
use crate::report::Row;

/// The rule.
const MAX_S: f64 = 2.0;

/// When workers waited for jobs.
pub struct Ledger {
    /// By this machine's clock, which is the database's too.
    since: DateTime<Utc>,
    waits: Mutex<Vec<Wait>>,
}

#[derive(Clone, Copy)]
struct Wait {
    model: &'static str,
    from: DateTime<Utc>,
    /// None while it lasts.
    to: Option<DateTime<Utc>>,
}

/// A wait that goes on.
pub struct Waiting(usize);

impl Ledger {
    pub fn open() -> Self {
        Self { since: Utc::now(), waits: Mutex::new(Vec::new()) }
    }

    /// A session of this model asks for a job, and waits.
    pub fn wait(&self, model: &'static str) -> Waiting {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.push(Wait { model, from: Utc::now(), to: None });
        Waiting(waits.len() - 1)
    }

    /// It was answered.
    pub fn answered(&self, waiting: Waiting) {
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits[waiting.0].to = Some(Utc::now());
    }

    /// Nobody waits any more: the workers are gone.
    pub fn close(&self) {
        let now = Utc::now();
        let mut waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner);
        waits.iter_mut().for_each(|wait| wait.to = wait.to.or(Some(now)));
    }

    /// The longest time that a job could be claimed while one and the same session waited, against the rule.
    pub async fn verdict(&self, on: &Installation) -> anyhow::Result<Row> {
        self.close();
        let jobs: Vec<(String, DateTime<Utc>, DateTime<Utc>)> =
            sqlx::query_as(include_str!("sql/claimable.sql")).bind(self.since).fetch_all(&on.pool).await?;
        let mut by_model: HashMap<String, Vec<Claimable>> = HashMap::new();
        for (model, from, to) in jobs {
            by_model.entry(model).or_default().push(Claimable { from, to });
        }
        let waits = self.waits.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let longest = longest_overlap(waits, &by_model);
        let what = "longest time that a job could be claimed while a session of its model waited";
        Ok(Row::new(what, "s", longest.as_seconds_f64()).at_most(MAX_S))
    }
}

/// From when a job could be claimed until it was.
struct Claimable {
    from: DateTime<Utc>,
    to: DateTime<Utc>,
}

fn longest_overlap(waits: Vec<Wait>, jobs: &HashMap<String, Vec<Claimable>>) -> TimeDelta {
    let mut waits: Vec<_> = waits.into_iter().filter_map(|w| Some((w.model, w.from, w.to?))).collect();
    waits.sort_by_key(|(_, from, to)| *from - *to);
    let mut longest = TimeDelta::zero();
    for (model, from, to) in waits {
        // The longest waits come first: no later one can hold a longer overlap.
        if to - from <= longest {
            break;
        }
        for job in jobs.get(model).into_iter().flatten() {
            longest = longest.max(job.to.min(to) - job.from.max(from));
        }
    }
    longest
}
