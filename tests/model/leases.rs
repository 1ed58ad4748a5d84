//! What workers may say of a slot's newest job: about a lease that is, was, or never was.

use super::ops::{Op, live_sessions};
use super::state::{How, MAX_ATTEMPTS, Model, State, model_of};

/// A row of the table, who speaks, and of which lease.
pub type Lease = (&'static str, usize, i64);

/// Everything that an operation may say of the slot.
pub fn leases(m: &Model, op: Op, slot: usize) -> Vec<Lease> {
    let live = live_sessions(m, model_of(slot));
    let by_any = |row, lease_no| live.iter().map(|&s| (row, s, lease_no)).collect::<Vec<_>>();
    let Some(at) = m.newest(slot) else {
        return match op {
            Op::Invent => by_any("success, invented lease", 1),
            Op::Beat => by_any("beat listing it", 1),
            _ => Vec::new(),
        };
    };
    let job = &m.jobs[at];
    let past = |row, wanted: fn(How) -> bool| {
        let past = job.past.iter().filter(|p| wanted(p.how));
        past.map(|p| (row, p.session, p.lease_no)).collect::<Vec<_>>()
    };
    let last = last_holder(m, at);
    match op {
        Op::Repeat => {
            let won = job.winner.map(|(session, lease_no)| ("repeat of the end", session, lease_no));
            let failed = past("repeat of a failure", |how| how == How::Retry);
            let released = past("repeat of a release", |how| how == How::Released);
            won.into_iter().chain(failed).chain(released).collect()
        }
        Op::LateSuccess => past("success, ended lease", |_| true),
        Op::LateRelease => past("release, ended lease", |how| how != How::Released),
        Op::Invent => by_any("success, invented lease", job.lease_no + 1),
        Op::OtherSession => others(m, at, "success by another session"),
        Op::OtherKey => last.iter().map(|&s| ("success with another's key", s, job.lease_no)).collect(),
        Op::Beat if !job.state.running() => by_any("beat listing it", job.lease_no),
        Op::BeatOther if job.state.running() => others(m, at, "beat by another session"),
        _ => present(m, op, at, &live),
    }
}

/// The present lease of a job, in the mouth of a session of its model that never had it.
pub fn others(m: &Model, at: usize, row: &'static str) -> Vec<Lease> {
    let (job, last) = (&m.jobs[at], last_holder(m, at));
    let live = live_sessions(m, model_of(job.slot)).into_iter();
    live.filter(|s| Some(*s) != last && job.lease_no > 0).map(|s| (row, s, job.lease_no)).collect()
}

/// Who has, or last had, the present lease number of a job.
pub fn last_holder(m: &Model, at: usize) -> Option<usize> {
    let job = &m.jobs[at];
    let past = job.past.iter().rfind(|p| p.lease_no == job.lease_no).map(|p| p.session);
    job.session.or(job.winner.map(|w| w.0)).or(past)
}

/// What the holder of a running job may say, or let happen.
fn present(m: &Model, op: Op, at: usize, live: &[usize]) -> Vec<Lease> {
    let job = &m.jobs[at];
    let Some(session) = job.session else { return Vec::new() };
    let alive = live.contains(&session);
    let last_try = job.attempt >= MAX_ATTEMPTS;
    let (row, can, lease_no) = match op {
        Op::Succeed => ("success", true, job.lease_no),
        Op::SucceedTwice => ("success, twice in one batch", true, job.lease_no),
        Op::SucceedEmpty => ("success without a result", true, job.lease_no),
        Op::Reject => ("rejection", true, job.lease_no),
        Op::TryAgain if last_try => ("failure, last try", true, job.lease_no),
        Op::TryAgain => ("failure", true, job.lease_no),
        Op::TryAgainLate => ("failure, past its time", true, job.lease_no),
        Op::Release => ("release", true, job.lease_no),
        Op::Beat => ("beat listing it", alive, job.lease_no),
        Op::BeatEarlier => ("beat listing an earlier lease", alive && job.lease_no > 1, job.lease_no - 1),
        Op::BeatWithout => ("beat without it", alive, job.lease_no),
        Op::BeatWithoutLater => ("beat without it, a lease later", alive, job.lease_no),
        Op::Die if job.state == State::Solo && job.deaths == 2 => ("rescue, third death alone", true, job.lease_no),
        Op::Die => ("rescue, its worker died", true, job.lease_no),
        Op::DieOverdue => ("rescue, died past its time", job.deaths < 2, job.lease_no),
        Op::Deadline if last_try => ("rescue, past its deadline, last try", alive, job.lease_no),
        Op::Deadline => ("rescue, past its deadline", alive, job.lease_no),
        _ => ("", false, 0),
    };
    if can { vec![(row, session, lease_no)] } else { Vec::new() }
}
