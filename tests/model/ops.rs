//! The operations, and at what each is aimed: an abstract step finds its concrete target in the model, so that a
//! list of steps stays meaningful when some are left out.

use std::fmt;
use std::str::FromStr;

use super::model::{End, How, Job, MAX_ATTEMPTS, MODELS, Model, SLOTS, State, USERS, WORKERS, image_of, model_of};

macro_rules! operations {
    ($($name:ident),* $(,)?) => {
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Op { $($name),* }
        impl Op {
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

operations! {
    Submit, SubmitKnown, Rerun, SubmitLater, Resend, Intrude, Cancel, CancelStranger, CancelAdmin, Retry, RetryEarlier,
    RetryStranger, Look, Claim, ClaimGone, ClaimForeign, Replay, Succeed, SucceedTwice, SucceedEmpty, Reject, TryAgain,
    TryAgainLate, Release, Repeat, LateSuccess, LateRelease, Invent, OtherSession, OtherKey, Beat, BeatEarlier, BeatOther,
    BeatWithout, BeatWithoutLater, BeatGone, BeatForeign, Leave, Silence, Rescue, Die, DieOverdue, Deadline, Outage, Expire,
    ComeDue, Flush, Sweep, Pause, Resume, Register,
}

/// An operation on a slot; `pick` chooses among whatever else there is to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    pub op: Op,
    pub slot: usize,
    pub pick: usize,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{}:{}", self.op, self.slot, self.pick)
    }
}

impl FromStr for Step {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut parts = text.split(':');
        let name = parts.next().unwrap_or_default();
        let op = Op::ALL.iter().find(|op| format!("{op:?}") == name).ok_or(format!("{text}: no such operation"))?;
        let mut number = || parts.next().and_then(|n| n.parse().ok()).ok_or(format!("{text}: not Operation:slot:pick"));
        Ok(Self { op: *op, slot: number()?, pick: number()? })
    }
}

/// What a step means in the present state of the model.
#[derive(Debug, Clone, Copy)]
pub struct Aim {
    /// The table's row that it belongs to, as far as the slot's newest job goes.
    pub row: &'static str,
    pub model: usize,
    /// The job; none is an invented id.
    pub job: Option<usize>,
    pub user: usize,
    pub session: usize,
    pub lease_no: i64,
}

/// Chooses one of some, or nothing of nothing.
fn one_of<T: Copy>(some: &[T], pick: usize) -> Option<T> {
    (!some.is_empty()).then(|| some[pick % some.len()])
}

/// Finds the target of a step; nothing when there is none.
pub fn aim(m: &Model, step: Step) -> Option<Aim> {
    let Step { op, slot, pick } = step;
    let job = m.newest(slot);
    let model = model_of(slot);
    let live = live_sessions(m, model);
    let base = Aim { row: "", model, job, user: pick % USERS, session: 0, lease_no: 0 };
    let session = one_of(&live, pick);
    let any = |row| session.map(|session| Aim { row, session, ..base });
    match op {
        Op::Submit => m.result(slot).is_none().then_some(Aim { row: "submit", ..base }),
        Op::SubmitKnown => m.result(slot).map(|_| Aim { row: "submit, a result is known", ..base }),
        Op::Rerun => Some(Aim { row: "rerun", ..base }),
        Op::SubmitLater => Some(Aim { row: "submit for later", ..base }),
        Op::Resend => {
            let user = m.submissions.iter().rfind(|s| Some(s.job) == job && s.slot == slot)?.user;
            Some(Aim { row: "same submission again", user, ..base })
        }
        Op::Intrude => {
            let owners: Vec<usize> = m.submissions.iter().map(|s| s.user).collect();
            Some(Aim { row: "another's submission", user: 1 - one_of(&owners, pick)?, ..base })
        }
        Op::Cancel | Op::CancelStranger | Op::CancelAdmin | Op::Retry | Op::RetryStranger | Op::RetryEarlier => {
            aim_at_request(m, step, base)
        }
        Op::Look => aim_look(m, step, base),
        Op::Claim => {
            let session = session?;
            Some(Aim { row: claim_row(m, session), session, ..base })
        }
        Op::ClaimForeign => any("claim with another's key"),
        Op::BeatForeign => any("beat with another's key"),
        Op::ClaimGone | Op::BeatGone => {
            let gone: Vec<usize> =
                (0..m.sessions.len()).filter(|&s| m.sessions[s].model == model && m.sessions[s].end.is_some()).collect();
            let session = one_of(&gone, pick)?;
            let row = match (op, m.sessions[session].end?) {
                (Op::ClaimGone, End::Lost) => "claim, session given up",
                (Op::ClaimGone, End::Left) => "claim, session left",
                (_, End::Lost) => "beat, session given up",
                (_, End::Left) => "beat, session left",
            };
            Some(Aim { row, session, ..base })
        }
        Op::Silence => any("silence"),
        Op::Register => any("register again").or(Some(Aim { row: "register again", ..base })),
        Op::Rescue | Op::Outage => Some(Aim { row: rescue_row(m, slot, op == Op::Outage), ..base }),
        Op::Expire => job.map(|_| Aim { row: "expire", ..base }),
        Op::ComeDue => job.map(|_| Aim { row: "come due", ..base }),
        Op::Flush => Some(Aim { row: "flush", ..base }),
        Op::Sweep => Some(Aim { row: "sweep", ..base }),
        Op::Pause => Some(Aim { row: "pause", ..base }),
        Op::Resume => Some(Aim { row: "resume", ..base }),
        Op::Leave => {
            let holder = job.and_then(|j| m.jobs[j].session).filter(|s| live.contains(s));
            let session = holder.or(session)?;
            Some(Aim { row: leave_row(m, slot, session), session, ..base })
        }
        _ => aim_at_lease(m, step, base, &live),
    }
}

fn live_sessions(m: &Model, model: usize) -> Vec<usize> {
    (0..WORKERS).map(|worker| m.session_of(model, worker)).filter(|&s| m.sessions[s].end.is_none()).collect()
}

fn aim_at_request(m: &Model, step: Step, base: Aim) -> Option<Aim> {
    let Some(newest) = base.job else {
        let row = match step.op {
            Op::Cancel => "cancel",
            Op::CancelAdmin => "cancel by an admin",
            Op::Retry => "retry",
            _ => return None,
        };
        return Some(Aim { row, ..base });
    };
    if step.op == Op::CancelAdmin {
        return Some(Aim { row: "cancel by an admin", ..base });
    }
    let mut target = newest;
    if step.op == Op::RetryEarlier {
        let earlier: Vec<usize> = (0..newest).filter(|&j| m.jobs[j].slot == step.slot).collect();
        target = one_of(&earlier, step.pick / USERS)?;
    }
    let job: &Job = &m.jobs[target];
    let stranger = matches!(step.op, Op::CancelStranger | Op::RetryStranger);
    let users: Vec<usize> = (0..USERS).filter(|&u| job.asked[u].is_none() == stranger).collect();
    let user = one_of(&users, step.pick)?;
    let other_waits = (0..USERS).any(|u| u != user && job.asked[u] == Some(true));
    let row = match step.op {
        Op::Cancel if other_waits && job.state.live() => "cancel, another waits",
        Op::Cancel => "cancel",
        Op::CancelStranger => "cancel, never asked",
        Op::Retry => "retry",
        Op::RetryEarlier => "retry of an earlier job",
        _ => "retry, never asked",
    };
    Some(Aim { row, user, job: Some(target), ..base })
}

/// Look-ups are by image and show the newest job per model, of whichever params.
fn aim_look(m: &Model, step: Step, base: Aim) -> Option<Aim> {
    let newest = m.jobs.iter().rposition(|j| j.slot / 2 == step.slot / 2);
    let titled: Vec<usize> =
        (0..USERS).filter(|&u| m.titles[u][image_of(step.slot)] == base.job.is_some()).collect();
    let user = one_of(&titled, step.pick)?;
    (base.job.is_none() || newest == base.job).then_some(Aim { row: "look up", user, ..base })
}

/// Completions and beats: about a lease that is, was, or never was.
fn aim_at_lease(m: &Model, step: Step, base: Aim, live: &[usize]) -> Option<Aim> {
    let Step { op, pick, .. } = step;
    let Some(at) = base.job else {
        let session = one_of(live, pick)?;
        return match op {
            Op::Invent => Some(Aim { row: "success, invented lease", session, lease_no: 1, ..base }),
            Op::Beat => Some(Aim { row: "beat listing it", session, lease_no: 1, ..base }),
            _ => None,
        };
    };
    let job = &m.jobs[at];
    let lease_no = job.lease_no;
    let holder = job.session.filter(|_| job.state.running());
    let alive = holder.filter(|s| live.contains(s));
    let held = |row| holder.map(|session| Aim { row, session, lease_no, ..base });
    let beaten = |row| alive.map(|session| Aim { row, session, lease_no, ..base });
    // Whoever has, or last had, the present lease number.
    let last = holder.or(job.winner.map(|w| w.0)).or(job.past.iter().rfind(|p| p.lease_no == lease_no).map(|p| p.session));
    let others: Vec<usize> = live.iter().copied().filter(|&s| Some(s) != last).collect();
    let other = one_of(&others, pick);
    let past = |wanted: fn(How) -> bool| {
        let past: Vec<(usize, i64)> =
            job.past.iter().filter(|p| wanted(p.how)).map(|p| (p.session, p.lease_no)).collect();
        one_of(&past, pick)
    };
    let late = |row, lease: Option<(usize, i64)>| lease.map(|(session, lease_no)| Aim { row, session, lease_no, ..base });
    match op {
        Op::Replay => beaten("replay"),
        Op::Succeed => held("success"),
        Op::SucceedTwice => held("success, twice in one batch"),
        Op::SucceedEmpty => held("success without a result"),
        Op::Reject => held("rejection"),
        Op::TryAgain if job.attempt >= MAX_ATTEMPTS => held("failure, last try"),
        Op::TryAgain => held("failure"),
        Op::TryAgainLate => held("failure, past its time"),
        Op::Release => held("release"),
        Op::Repeat => match (job.winner, pick % 2) {
            (Some(winner), 0) => late("repeat of the end", Some(winner)),
            (_, 0) => late("repeat of a failure", past(|how| how == How::Retry)),
            _ => late("repeat of a release", past(|how| how == How::Released)),
        },
        Op::LateSuccess => late("success, ended lease", past(|_| true)),
        Op::LateRelease => late("release, ended lease", past(|how| how != How::Released)),
        Op::Invent => late("success, invented lease", Some((alive.or(one_of(live, pick))?, lease_no + 1))),
        Op::OtherSession if lease_no > 0 => late("success by another session", Some((other?, lease_no))),
        Op::OtherKey => last.and_then(|session| late("success with another's key", Some((session, lease_no)))),
        Op::Beat if holder.is_some() => beaten("beat listing it"),
        Op::Beat => late("beat listing it", Some((one_of(live, pick)?, lease_no))),
        Op::BeatEarlier if lease_no > 1 => beaten("beat listing an earlier lease").map(|a| Aim { lease_no: lease_no - 1, ..a }),
        Op::BeatOther if holder.is_some() => late("beat by another session", Some((other?, lease_no))),
        Op::BeatWithout => beaten("beat without it"),
        Op::BeatWithoutLater => beaten("beat without it, a lease later"),
        Op::Die => held(if job.state == State::Solo && job.deaths == 2 { "rescue, third death alone" } else { "rescue, its worker died" }),
        Op::DieOverdue if job.deaths < 2 => held("rescue, died past its time"),
        Op::Deadline if job.attempt >= MAX_ATTEMPTS => beaten("rescue, past its deadline, last try"),
        Op::Deadline => beaten("rescue, past its deadline"),
        _ => None,
    }
}

/// The row of a claim by a live session, for every job of its model.
pub fn claim_row(m: &Model, session: usize) -> &'static str {
    let s = &m.sessions[session];
    let held = m.held(session);
    if m.paused[s.model] {
        "claim, paused"
    } else if held.iter().any(|&j| m.jobs[j].suspect) {
        "claim, holding a suspect"
    } else if m.suspects(s.model).is_empty() {
        "claim"
    } else if held.is_empty() {
        "claim, a suspect waits, holding nothing"
    } else if s.reserved {
        "claim, a suspect waits, kept free for it"
    } else if m.other_reserved(session) {
        "claim, a suspect waits, another kept free"
    } else {
        "claim, a suspect waits, none kept free"
    }
}

pub fn leave_row(m: &Model, slot: usize, session: usize) -> &'static str {
    let holds = m.newest(slot).is_some_and(|j| m.jobs[j].state.running() && m.jobs[j].session == Some(session));
    if holds { "leave" } else { "leave of another session" }
}

/// The row of a rescue tick for a slot's newest job.
pub fn rescue_row(m: &Model, slot: usize, away: bool) -> &'static str {
    let Some(at) = m.newest(slot) else { return "rescue" };
    let job = &m.jobs[at];
    if m.dies(at, away) {
        return match job {
            job if job.state == State::Solo && job.deaths == 2 => "rescue, third death alone",
            job if job.overdue => "rescue, died past its time",
            _ => "rescue, its worker died",
        };
    }
    match job {
        job if job.late && job.attempt >= MAX_ATTEMPTS => "rescue, past its deadline, last try",
        job if job.late => "rescue, past its deadline",
        _ if away => "rescue after an outage",
        _ => "rescue",
    }
}

/// Every slot of a model, or of all.
pub fn slots(model: Option<usize>) -> impl Iterator<Item = usize> {
    debug_assert!(model.is_none_or(|m| m < MODELS.len()));
    (0..SLOTS).filter(move |&slot| model.is_none_or(|m| m == model_of(slot)))
}
