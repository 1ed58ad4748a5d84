//! The database's clock, between two readings.

use std::time::Instant;

use chrono::{DateTime, Utc};
use parking_lot::RwLock;

/// The database's clock as last read, carried forward by the monotonic one of this machine.
#[derive(Default)]
pub struct DbClock(RwLock<Option<(DateTime<Utc>, Instant)>>);

impl DbClock {
    /// Notes a time that the database just told.
    pub fn anchor(&self, now: DateTime<Utc>) {
        *self.0.write() = Some((now, Instant::now()));
    }

    /// The database's time by now; nothing before the first reading.
    pub fn now(&self) -> Option<DateTime<Utc>> {
        let (told, at) = (*self.0.read())?;
        told.checked_add_signed(chrono::TimeDelta::from_std(at.elapsed()).ok()?)
    }
}
