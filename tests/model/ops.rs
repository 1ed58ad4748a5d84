//! The operations, and at what each is aimed: an abstract step finds its concrete target in the model, so that a
//! list of steps stays meaningful when some are left out.

use std::fmt;
use std::str::FromStr;

use super::leases::leases;
use super::state::{
    ALL_SLOTS, End, Job, MAX_ATTEMPTS, MODELS, Model, State, USERS, WORKERS, image_of, is_run, model_of,
};
use super::training;

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
    BeatWithout, BeatWithoutLater, BeatGone, BeatForeign, Leave, LeaveOther, Silence, Rescue, Die, DieOverdue, Deadline, Outage, Expire,
    ComeDue, Flush, Sweep, Pause, Resume, Limit, Unlimit, Redrive, Forget,
    Register, Start, StartAgain, Measure, Save, Deliver, Fetch, WriteLate, WriteOther, WriteForeign, Download, DownloadForeign,
}

impl Op {
    /// Whether only a run can be the target.
    pub fn is_of_runs(self) -> bool {
        self as usize >= Self::Start as usize
    }

    /// Whether a run cannot: it is not about an image, a user starts it, its limit is fixed, and it needs no result.
    fn is_of_images(self) -> bool {
        matches!(
            self,
            Self::Submit
                | Self::SubmitKnown
                | Self::Rerun
                | Self::SubmitLater
                | Self::Resend
                | Self::Intrude
                | Self::RetryEarlier
                | Self::Look
                | Self::SucceedEmpty
                | Self::Limit
                | Self::Unlimit
                | Self::Redrive
                | Self::Forget
        )
    }
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
    if is_run(slot) && op.is_of_images() || !is_run(slot) && op.is_of_runs() {
        return None;
    }
    if op.is_of_runs() {
        return training::aim(m, step, base);
    }
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
        Op::Replay => {
            // Any claim that holds jobs of the model; the slot's own if there is one.
            let runs = |j: &usize| m.jobs[*j].session.is_some_and(|s| live.contains(&s));
            let target = job.filter(runs).or_else(|| slots(Some(model)).filter_map(|s| m.newest(s)).find(runs))?;
            Some(Aim { row: "replay", job: Some(target), session: m.jobs[target].session?, ..base })
        }
        Op::ClaimForeign => any("claim with another's key"),
        Op::BeatForeign => any("beat with another's key"),
        Op::ClaimGone | Op::BeatGone => aim_gone(m, step, base),
        Op::Silence => any("silence"),
        Op::Register => any("register again").or(Some(Aim { row: "register again", ..base })),
        Op::Rescue | Op::Outage => Some(Aim { row: rescue_row(m, slot, op == Op::Outage), ..base }),
        Op::Expire => job.map(|_| Aim { row: "expire", ..base }),
        Op::ComeDue => job.map(|_| Aim { row: "come due", ..base }),
        Op::Flush | Op::Sweep | Op::Pause | Op::Resume | Op::Limit | Op::Unlimit | Op::Redrive | Op::Forget => {
            Some(Aim { row: row_of_all(op), ..base })
        }
        Op::Leave | Op::LeaveOther => {
            let holder = job.and_then(|j| m.jobs[j].session);
            let able: Vec<usize> = live.iter().copied().filter(|s| (Some(*s) == holder) == (op == Op::Leave)).collect();
            let session = one_of(&able, pick)?;
            Some(Aim { row: leave_row(m, slot, session), session, ..base })
        }
        _ => {
            let (row, session, lease_no) = one_of(&leases(m, op, slot), pick)?;
            Some(Aim { row, session, lease_no, ..base })
        }
    }
}

/// The row of what is done to all slots alike.
fn row_of_all(op: Op) -> &'static str {
    match op {
        Op::Flush => "flush",
        Op::Sweep => "sweep",
        Op::Pause => "pause",
        Op::Resume => "resume",
        Op::Limit => "limit",
        Op::Unlimit => "no limit",
        Op::Redrive => "redrive",
        _ => "forget what is old",
    }
}

pub fn live_sessions(m: &Model, model: usize) -> Vec<usize> {
    (0..WORKERS).map(|worker| m.session_of(model, worker)).filter(|&s| m.sessions[s].end.is_none()).collect()
}

/// A session that is over.
fn aim_gone(m: &Model, step: Step, base: Aim) -> Option<Aim> {
    let gone: Vec<usize> =
        (0..m.sessions.len()).filter(|&s| m.sessions[s].model == base.model && m.sessions[s].end.is_some()).collect();
    let session = one_of(&gone, step.pick)?;
    let row = match (step.op, m.sessions[session].end?) {
        (Op::ClaimGone, End::Lost) => "claim, session given up",
        (Op::ClaimGone, End::Left) => "claim, session left",
        (_, End::Lost) => "beat, session given up",
        (_, End::Left) => "beat, session left",
    };
    Some(Aim { row, session, ..base })
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
    let other_waits = job.redriven || (0..USERS).any(|u| u != user && job.asked[u] == Some(true));
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
    let users: Vec<usize> = (0..USERS).filter(|&user| shows(m, step.slot, user)).collect();
    one_of(&users, step.pick).map(|user| Aim { row: "look up", user, ..base })
}

/// Whether a user's look-up tells of this slot, if only that there is no such image.
pub fn shows(m: &Model, slot: usize, user: usize) -> bool {
    let job = m.newest(slot);
    let newest = m.jobs.iter().rposition(|j| j.slot / 2 == slot / 2 && !j.forgotten);
    !is_run(slot) && m.titles[user][image_of(slot)] == job.is_some() && (job.is_none() || newest == job)
}

/// The row of a claim by a live session, for every job of its model.
pub fn claim_row(m: &Model, session: usize) -> &'static str {
    let s = &m.sessions[session];
    let held = m.held(session);
    if m.paused[s.model] {
        "claim, paused"
    } else if held.iter().any(|&j| m.jobs[j].suspect) {
        "claim, holding a suspect"
    } else if m.room(s.model) == Some(0) {
        "claim, at its limit"
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
        job if !job.state.running() || !job.late => {
            if away {
                "rescue after an outage"
            } else {
                "rescue"
            }
        }
        job if job.attempt >= MAX_ATTEMPTS => "rescue, past its deadline, last try",
        _ => "rescue, past its deadline",
    }
}

/// Every slot of a model, of the dataset, or of all.
pub fn slots(model: Option<usize>) -> impl Iterator<Item = usize> {
    debug_assert!(model.is_none_or(|m| m <= MODELS.len()));
    (0..ALL_SLOTS).filter(move |&slot| model.is_none_or(|m| m == model_of(slot)))
}
