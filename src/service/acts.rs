//! What is done often is counted in memory and written down in sums: by a tick, when there are many, and at the end. A server that is
//! killed loses what it counted since the last tick.

use std::collections::{HashMap, HashSet};
use std::mem;
use std::time::Instant;

use parking_lot::Mutex;
use uuid::Uuid;

use super::Result;
use crate::domain::act::FrequentAct;
use crate::store::acts::{self, ActSum};
use crate::store::{Db, keys};

/// The most sums held, some 2 MB: who adds one more writes all of them first.
const SUMS_MAX: usize = 10_000;

/// Who did what to which image.
type Doer = (FrequentAct, Option<Uuid>, Option<i64>);

/// What was counted and is not written yet.
pub struct FrequentActs {
    db: Db,
    untold: Mutex<Untold>,
}

#[derive(Default)]
struct Untold {
    sums: HashMap<Doer, Sum>,
    /// API keys that were used.
    keys: HashSet<String>,
}

#[derive(Clone, Copy)]
struct Sum {
    count: i32,
    first: Instant,
    last: Instant,
}

impl FrequentActs {
    pub fn new(db: &Db) -> Self {
        Self { db: db.clone(), untold: Mutex::default() }
    }

    /// Notes that a key was used: a request costs no row for it.
    pub fn key_used(&self, id: &str) {
        let keys = &mut self.untold.lock().keys;
        if !keys.contains(id) {
            keys.insert(id.to_owned());
        }
    }

    /// Counts an image's bytes sent to a person. Fails where nothing more can be written down: then they are not to be sent.
    pub async fn viewed(&self, account: Uuid, image: i64) -> Result<()> {
        self.count((FrequentAct::ImageViewed, Some(account), Some(image))).await
    }

    /// Counts a log-in that failed, and at whom it was aimed if there is such an account.
    pub async fn log_in_failed(&self, account: Option<Uuid>) -> Result<()> {
        self.count((FrequentAct::LogInFailed, account, None)).await
    }

    async fn count(&self, doer: Doer) -> Result<()> {
        while !self.add(doer) {
            self.write().await?;
        }
        Ok(())
    }

    fn add(&self, doer: Doer) -> bool {
        let (now, sums) = (Instant::now(), &mut self.untold.lock().sums);
        if sums.len() >= SUMS_MAX && !sums.contains_key(&doer) {
            return false;
        }
        let sum = sums.entry(doer).or_insert(Sum { count: 0, first: now, last: now });
        (sum.count, sum.last) = (sum.count.saturating_add(1), now);
        true
    }

    /// Writes down what was counted. What cannot be written is kept; where it may have been written after all, it is told twice rather
    /// than not at all.
    pub async fn write(&self) -> Result<()> {
        let mut taken = Taken { from: self, untold: mem::take(&mut *self.untold.lock()) };
        let Untold { sums, keys: used } = &mut taken.untold;
        if !used.is_empty() {
            let ids: Vec<&str> = used.iter().map(String::as_str).collect();
            self.db.run(async |db| keys::write_uses(db, &ids).await).await?;
            used.clear();
        }
        if !sums.is_empty() {
            let told: Vec<ActSum> = sums.iter().map(|(doer, sum)| sum.of(*doer)).collect();
            self.db.run(async |db| acts::tell(db, &told).await).await?;
            sums.clear();
        }
        Ok(())
    }
}

/// What is on its way to be written: what is left of it when it is dropped, however that comes, is counted again.
struct Taken<'a> {
    from: &'a FrequentActs,
    untold: Untold,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut untold = self.from.untold.lock();
        untold.keys.extend(self.untold.keys.drain());
        for (doer, before) in self.untold.sums.drain() {
            let sum = untold.sums.entry(doer).or_insert(Sum { count: 0, ..before });
            sum.count = sum.count.saturating_add(before.count);
            sum.first = before.first;
        }
    }
}

impl Sum {
    fn of(self, (act, account, image): Doer) -> ActSum {
        let last = self.last.elapsed();
        // From one look at the clock, or the first would be told after the last.
        ActSum { act, account, image, count: self.count, first: last + self.last.duration_since(self.first), last }
    }
}
