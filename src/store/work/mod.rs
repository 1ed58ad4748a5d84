//! What happens to live jobs: they are claimed, and they end or go back into line.
//!
//! Successes go by one statement ([`succeed`]). Whatever else moves a job goes in three steps of one transaction: its row is
//! locked with all that decides ([`Held`]), the rule decides ([`crate::domain::ruling`]), and the decision is written
//! ([`requeue`], [`end`]).

mod claim;
mod end;
mod hold;
mod requeue;
mod settled;
mod succeed;

pub use claim::{
    Asked, ClaimKey, Claimed, Hinted, claim, claim_ranked, claim_suspect, lock_free_session, reclaim, room_under_limit,
};
pub use end::{Ending, end};
pub use hold::{
    Cause, Held, Lease, hold_jobs, hold_late, hold_leases, hold_orphans, hold_retired, hold_unlisted, lock_orphans,
};
pub use requeue::{Requeued, requeue};
pub use settled::{Fence, settled};
pub use succeed::{LeasedResult, Succeeded, succeed};

use sqlx::FromRow;
use uuid::Uuid;

use crate::domain::job::JobState;

/// A session, and the key that its caller sent: only together do they open anything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Holder {
    pub session: Uuid,
    pub key: String,
}

/// A job after a transition: what the queues, the mirror and the waiting are told.
#[derive(Debug, Clone, FromRow)]
pub struct Moved {
    pub id: Uuid,
    /// Nothing of a run.
    pub image_id: Option<i64>,
    pub queue_id: i32,
    /// The lease that it was moved under, or that it now has; 0 before the first.
    pub lease_no: i32,
    /// The session that the lease is of, if there is one.
    #[sqlx(rename = "session_id")]
    pub session: Option<Uuid>,
    /// The job's version: +1 with each transition.
    pub version: i32,
    #[sqlx(try_from = "String")]
    pub state: JobState,
    /// Of a failure: `rejected`, `exhausted`, `poisoned` or `expired`.
    pub reason: Option<String>,
    pub rank: i64,
    /// Its time has come.
    pub due: bool,
    /// Waits to be claimed alone, and is never in the index.
    pub suspect: bool,
}
