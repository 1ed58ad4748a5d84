//! Several live versions of one model: which of them is given work, and how much each served.
//!
//! Work is the newest version's; older ones get what it has no room for. What is known of it is read about each second, and decides who
//! is woken and what a first look is given. It is never what a job waits for: one that nobody took in [`TAKEN_WITHIN`], although a
//! newer session has room, is given to whoever waits, unless such a session was seen to claim meanwhile.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use sqlx::PgConnection;

use super::Result;
use crate::store::Db;
use crate::store::versions::{self, First};

/// How long a job is left to newer versions that have room. With the second until the next probe it stays under the two in which a job
/// that may be claimed is.
const TAKEN_WITHIN: Duration = Duration::from_millis(750);

/// What this process knows of versions.
#[derive(Default)]
pub struct Versions {
    /// By model; only of those of which several versions live.
    firsts: RwLock<HashMap<String, First>>,
    /// Jobs that succeeded by each version and are not written down yet.
    served: Mutex<HashMap<i32, i64>>,
}

impl Versions {
    /// The least version of a model that is given jobs whose time has just come.
    pub fn first(&self, model: &str) -> i32 {
        self.firsts.read().get(model).map_or(0, |first| first.for_new)
    }

    /// The same where the oldest job has been due for so long.
    pub fn first_for(&self, model: &str, oldest_s: f64) -> i32 {
        let old = oldest_s >= TAKEN_WITHIN.as_secs_f64();
        self.firsts.read().get(model).map_or(0, |first| if old { first.for_old } else { first.for_new })
    }

    /// Counts jobs that succeeded, each by its version.
    pub fn served(&self, versions: &[i32]) {
        let mut served = self.served.lock();
        for version in versions {
            *served.entry(*version).or_default() += 1;
        }
    }

    /// Reads anew which versions are given work.
    pub async fn refresh(&self, db: &mut PgConnection) -> sqlx::Result<()> {
        let firsts = versions::firsts(db, TAKEN_WITHIN.as_secs_f64()).await?;
        *self.firsts.write() = firsts.into_iter().map(|first| (first.model.clone(), first)).collect();
        Ok(())
    }

    /// Writes down how much each version served since the last time.
    pub async fn write(&self, db: &Db) -> Result<()> {
        let served: Vec<(i32, i64)> = self.served.lock().drain().collect();
        if served.is_empty() {
            return Ok(());
        }
        let written = db.run(async |db| versions::add_served(db, &served).await).await;
        if written.is_err() {
            let mut kept = self.served.lock();
            served.into_iter().for_each(|(version, jobs)| *kept.entry(version).or_default() += jobs);
        }
        Ok(written?)
    }
}
