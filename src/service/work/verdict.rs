//! What became of the items of a completion or release, each by its lease.

use std::collections::HashMap;

use sqlx::PgConnection;
use uuid::Uuid;

use crate::domain::fault::{Code, Fault};
use crate::domain::job::JobState;
use crate::metrics;
use crate::service::Result;
use crate::store::work::{self, Fence, Holder};

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
    pub state: JobState,
    /// It had been accepted before, and nothing changed now.
    pub repeat: bool,
}

/// Puts the verdicts in the places of the items that were judged.
pub(super) fn answer(mut done: Vec<Done>, verdicts: Vec<Option<Accepted>>) -> Vec<Done> {
    let judged = done.iter_mut().filter(|d| matches!(&d.outcome, Err(fault) if fault.code == Code::StaleLease));
    for (done, verdict) in judged.zip(verdicts) {
        match verdict {
            Some(accepted) => done.outcome = Ok(accepted),
            None => metrics::stale_lease(),
        }
    }
    done
}

pub(super) fn stale(id: Uuid, lease_no: i64) -> Fault {
    Fault::new(Code::StaleLease, format!("Job {id} is not running under lease {lease_no} of this worker."))
}

/// The leases that were just ended, by who held them, and the state that each led to.
pub(super) type Ended<'a> = HashMap<(&'a Holder, Uuid, i32), JobState>;

/// Says of every lease named by every call whether it was accepted: once by what has just ended; all others are looked
/// up by a second statement, whose fresh snapshot recognises what was accepted before.
pub(super) async fn judge(
    db: &mut PgConnection,
    mut ended: Ended<'_>,
    calls: &[&[Fence]],
) -> Result<Vec<Vec<Option<Accepted>>>> {
    let mut refused: Vec<(usize, usize, &Fence)> = Vec::new();
    let mut verdicts: Vec<Vec<Option<Accepted>>> = Vec::with_capacity(calls.len());
    for (call, fences) in calls.iter().enumerate() {
        let mut verdict = Vec::with_capacity(fences.len());
        for (place, fence) in fences.iter().enumerate() {
            let state = ended.remove(&(&fence.holder, fence.id, fence.lease_no));
            if state.is_none() {
                refused.push((call, place, fence));
            }
            verdict.push(state.map(|state| Accepted { state, repeat: false }));
        }
        verdicts.push(verdict);
    }
    if !refused.is_empty() {
        let fences: Vec<&Fence> = refused.iter().map(|(_, _, fence)| *fence).collect();
        for ((call, place, _), state) in refused.iter().zip(work::settled(db, &fences).await?) {
            verdicts[*call][*place] = state.map(|state| Accepted { state, repeat: true });
        }
    }
    Ok(verdicts)
}
