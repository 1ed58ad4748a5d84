//! Chooses the next step: by a plan that leads to a pair of the table that is lacking, or the rarest pair that can be
//! reached at once, or, now and then, just any.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::ops::{self, Op, Step};
use super::state::{ALL_SLOTS, How, Model, SLOTS, State, USERS, WORKERS, is_run, model_of};
use super::table::Hits;
use super::together::{self, Turn};

/// How many steps one plan is followed at most.
const PLAN: usize = 30;

const ENDED: [State; 4] = [State::Absent, State::Succeeded, State::Failed, State::Cancelled];
const WAITS: [State; 2] = [State::Queued, State::Suspect];
const RUNS: [State; 2] = [State::Running, State::Solo];

/// What the next steps are about.
#[derive(Clone, Copy)]
enum Plan {
    /// Any slots in this state.
    Seek(State),
    /// A job that was given back in this way, in this state.
    After(How, State),
    /// A job that fails in this way again and again.
    Again(Op),
    /// All workers of the slot's model come to hold something, and then one dies; the slot is in this state, if it can.
    Crowd(State),
    /// The slot's model is paused while it is in this state.
    Pause(State),
    /// As many jobs of the slot's model run as may, while it is in this state.
    Fill(State),
    /// Any run in this state.
    Run(State),
}

/// The plan that leads to a pair.
fn plan_for(row: &str, state: State) -> Plan {
    match row {
        "claim, paused" => Plan::Pause(state),
        "claim, at its limit" => Plan::Fill(state),
        "rescue, third death alone" => Plan::Again(Op::Die),
        "rescue, past its deadline, last try" => Plan::Again(Op::Deadline),
        "failure, last try" => Plan::Again(Op::TryAgain),
        "repeat of a failure" => Plan::After(How::Retry, state),
        "repeat of a release" => Plan::After(How::Released, state),
        "success, ended lease" | "release, ended lease" => Plan::After(How::Taken, state),
        row if row.starts_with("claim, a suspect waits") => Plan::Crowd(state),
        row if row.starts_with("run, ") => Plan::Run(state),
        _ => Plan::Seek(state),
    }
}

pub struct Chooser {
    rng: StdRng,
    plan: Plan,
    slot: usize,
    left: usize,
    /// The pair that the plan is for, and how often it had been reached before.
    pair: (&'static str, State, u32),
}

impl Chooser {
    pub fn new(seed: u64) -> Self {
        let pair = ("", State::Queued, 0);
        Self { rng: StdRng::seed_from_u64(seed), plan: Plan::Seek(State::Queued), slot: 0, left: 0, pair }
    }

    /// A step that has a target, or, now and then, two at once.
    pub fn next(&mut self, m: &Model, hits: &Hits) -> Turn {
        if self.left == 0 || hits.of(self.pair.0, self.pair.1) > Some(self.pair.2) {
            self.plan(hits);
        }
        self.left -= 1;
        let pairs = Op::ALL.iter().flat_map(|op| (0..ALL_SLOTS).map(move |slot| (*op, slot)));
        let all: Vec<Step> = pairs.map(|(op, slot)| self.random(op, slot)).collect();
        let count = |step: &Step| hits.of(ops::aim(m, *step)?.row, m.state(step.slot));
        let possible: Vec<(u32, Step)> = all.iter().filter_map(|step| Some((count(step)?, *step))).collect();
        let step = match self.rng.random_range(0..100) {
            0..70 => self.planned(m, &possible),
            70..96 => self.rarest(possible.iter()),
            _ => None,
        };
        let any = || possible.choose(&mut self.rng).map(|(_, step)| *step);
        let step = step.or_else(any).expect("something can always be done");
        let fit: Vec<Step> =
            possible.iter().map(|(_, other)| *other).filter(|other| together::may_go(step.op, other.op)).collect();
        // Whom a claim keeps free for a suspect, no answer says.
        let alone = m.is_anything_suspected() || self.rng.random_bool(0.75);
        let beside = fit.choose(&mut self.rng).copied().filter(|_| !alone);
        Turn { step, beside }
    }

    fn random(&mut self, op: Op, slot: usize) -> Step {
        Step { op, slot, pick: self.rng.random_range(0..1_000) }
    }

    fn rarest<'a>(&mut self, possible: impl Iterator<Item = &'a (u32, Step)> + Clone) -> Option<Step> {
        let least = possible.clone().map(|(count, _)| *count).min()?;
        let rarest: Vec<Step> = possible.filter(|(count, _)| *count == least).map(|(_, step)| *step).collect();
        rarest.choose(&mut self.rng).copied()
    }

    /// Makes a plan for some pair that is lacking.
    fn plan(&mut self, hits: &Hits) {
        self.slot = self.rng.random_range(0..SLOTS);
        self.left = PLAN;
        let lacking = hits.lacking();
        // What takes many steps is sought first; the rest comes by the way.
        let hard: Vec<_> = lacking
            .iter()
            .filter(|(row, state)| !matches!(plan_for(row, *state), Plan::Seek(_) | Plan::Run(_)))
            .collect();
        let hard = hard.choose(&mut self.rng).copied().filter(|_| self.rng.random_bool(0.6));
        let any = || lacking.choose(&mut self.rng).copied();
        let (row, state) = hard.copied().or_else(any).unwrap_or(("claim, a suspect waits", State::Queued));
        self.plan = plan_for(row, state);
        self.pair = (row, state, hits.of(row, state).unwrap_or(0));
    }

    fn planned(&mut self, m: &Model, possible: &[(u32, Step)]) -> Option<Step> {
        let slot = self.slot;
        let now = m.state(slot);
        match self.plan {
            Plan::Seek(goal) => {
                let there = (0..SLOTS).any(|slot| m.state(slot) == goal);
                let lead = if there { None } else { self.toward(m, goal, &(0..SLOTS).collect::<Vec<_>>()) };
                lead.or_else(|| self.rarest(possible.iter().filter(|(_, step)| m.state(step.slot) == goal)))
            }
            Plan::Run(goal) => self.run(m, goal, possible),
            Plan::After(how, goal) => {
                let back = m.newest(slot).is_some_and(|job| m.jobs[job].past.iter().any(|past| past.how == how));
                let op = match how {
                    How::Retry => Op::TryAgain,
                    How::Released => Op::Release,
                    How::Taken => Op::Die,
                };
                match (back, RUNS.contains(&now)) {
                    (true, _) if now == goal => self.rarest(possible.iter().filter(|(_, step)| step.slot == slot)),
                    (true, _) => self.toward(m, goal, &[slot]),
                    (false, true) => Some(self.random(op, slot)),
                    (false, false) => self.toward(m, State::Running, &[slot]),
                }
            }
            Plan::Again(op) if RUNS.contains(&now) => Some(self.random(op, slot)),
            Plan::Again(_) => self.toward(m, State::Running, &[slot]),
            Plan::Crowd(goal) if now != goal && (goal.ended() || goal == State::Later) => self.toward(m, goal, &[slot]),
            Plan::Crowd(_) => self.crowd(m),
            Plan::Pause(goal) if now != goal && !m.paused[model_of(slot)] => self.toward(m, goal, &[slot]),
            Plan::Pause(_) if m.paused[model_of(slot)] => Some(self.random(Op::Claim, slot)),
            Plan::Pause(_) => Some(self.random(Op::Pause, slot)),
            Plan::Fill(goal) => self.fill(m, goal),
        }
    }

    /// The pair itself where it can be; else what brings a run into the state. One that waits may have had no lease yet of which a
    /// worker could speak: it is claimed and given back, while another worker lives.
    fn run(&mut self, m: &Model, goal: State, possible: &[(u32, Step)]) -> Option<Step> {
        let is_there = |slot: usize| is_run(slot) && m.state(slot) == goal;
        let is_pair = |step: &Step| is_there(step.slot) && ops::aim(m, *step).is_some_and(|aim| aim.row == self.pair.0);
        let pair: Vec<Step> = possible.iter().map(|(_, step)| *step).filter(is_pair).collect();
        if let Some(step) = pair.choose(&mut self.rng) {
            return Some(*step);
        }
        let runs: Vec<usize> = (SLOTS..ALL_SLOTS).collect();
        let lead = match runs.iter().copied().find(|slot| is_there(*slot)) {
            None => self.toward(m, goal, &runs),
            Some(slot) if goal == State::Queued => match over(m, model_of(slot)) {
                Some(worker) => Some(Step { op: Op::Register, slot, pick: worker }),
                None => self.toward(m, State::Running, &runs),
            },
            Some(_) => None,
        };
        lead.or_else(|| self.rarest(possible.iter().filter(|(_, step)| is_there(step.slot))))
    }

    /// The limit comes last: it would keep the slot from its state.
    fn fill(&mut self, m: &Model, goal: State) -> Option<Step> {
        let (slot, model) = (self.slot, model_of(self.slot));
        let others: Vec<usize> = ops::slots(Some(model)).filter(|other| *other != slot).collect();
        let there = m.state(slot) == goal;
        if there && m.room(model) == Some(0) {
            Some(self.random(Op::Claim, slot))
        } else if !others.iter().any(|other| RUNS.contains(&m.state(*other))) {
            self.toward(m, State::Running, &others)
        } else if there {
            Some(Step { op: Op::Limit, slot, pick: 0 })
        } else {
            self.toward(m, goal, &[slot])
        }
    }

    /// A step that brings one of these slots nearer to that state.
    fn toward(&mut self, m: &Model, goal: State, among: &[usize]) -> Option<Step> {
        let ways: &[(&[State], Op)] = match goal {
            State::Solo => &[(&[State::Suspect], Op::Claim), (&[State::Running], Op::Die), (&WAITS, Op::Claim)],
            State::Suspect => &[(&[State::Running], Op::Die), (&[State::Solo], Op::Release), (&WAITS, Op::Claim)],
            State::Running => &[(&WAITS, Op::Claim)],
            State::Queued => &[(&[State::Running], Op::Release)],
            State::Later => &[(&RUNS, Op::TryAgain), (&ENDED, Op::SubmitLater), (&WAITS, Op::Claim)],
            State::Succeeded => &[(&RUNS, Op::Succeed), (&WAITS, Op::Claim)],
            State::Failed => &[(&RUNS, Op::Reject), (&WAITS, Op::Expire)],
            State::Cancelled => &[(&RUNS, Op::CancelAdmin), (&WAITS, Op::CancelAdmin)],
            State::Absent => &[],
        };
        for (from, op) in ways.iter().chain(&[(&ENDED[..], Op::Rerun), (&[State::Later], Op::ComeDue)]) {
            let slots: Vec<usize> = among.iter().copied().filter(|slot| from.contains(&m.state(*slot))).collect();
            let Some(slot) = slots.choose(&mut self.rng).copied() else { continue };
            return Some(match op {
                Op::Rerun | Op::SubmitLater if is_run(slot) => self.random(Op::Start, slot),
                Op::Claim => self.claim(m, slot, true),
                Op::Rerun if among.len() == 1 => self.alone(Op::Rerun, slot),
                op => self.random(*op, slot),
            });
        }
        None
    }

    /// A submission for this slot alone.
    fn alone(&mut self, op: Op, slot: usize) -> Step {
        Step { op, slot, pick: USERS + self.rng.random_range(0..USERS) }
    }

    /// A claim of one job, two or all by a worker that holds nothing, or does, or what makes that possible.
    fn claim(&mut self, m: &Model, slot: usize, empty: bool) -> Step {
        let model = model_of(slot);
        let live = ops::live_sessions(m, model);
        let fit: Vec<usize> = (0..live.len()).filter(|at| m.held(live[*at]).is_empty() == empty).collect();
        let busy = ops::slots(Some(model)).find(|slot| m.state(*slot) == State::Running);
        if m.paused[model] {
            self.random(Op::Resume, slot)
        } else if m.room(model) == Some(0) && is_run(slot) {
            // One at a time: another has to go first.
            let runs = ops::slots(Some(model)).find(|slot| m.state(*slot).running());
            self.random(Op::Release, runs.unwrap_or(slot))
        } else if m.room(model) == Some(0) {
            self.random(Op::Unlimit, slot)
        } else if let Some(at) = fit.choose(&mut self.rng) {
            Step { op: Op::Claim, slot, pick: *at + 2 * live.len() * self.rng.random_range(0..40) }
        } else if let Some(worker) = over(m, model) {
            Step { op: Op::Register, slot, pick: worker }
        } else {
            self.random(Op::Die, busy.unwrap_or(slot))
        }
    }

    fn crowd(&mut self, m: &Model) -> Option<Step> {
        let model = model_of(self.slot);
        let live = ops::live_sessions(m, model);
        let state = |wanted: &[State]| {
            ops::slots(Some(model)).find(|slot| *slot != self.slot && wanted.contains(&m.state(*slot)))
        };
        if let Some(slot) = state(&[State::Suspect]) {
            let second = |s: &usize| !m.held(*s).is_empty() && !m.sessions[*s].reserved && m.other_reserved(*s);
            return match (self.rng.random_range(0..10), live.iter().position(second)) {
                (0..5, Some(pick)) => Some(Step { op: Op::Claim, slot, pick }),
                (0..7, _) if m.suspects(model).len() > 1 => Some(self.claim(m, slot, true)),
                (7, _) => state(&ENDED).map(|slot| self.alone(Op::Rerun, slot)),
                _ => Some(self.claim(m, slot, false)),
            };
        }
        let most = live.iter().copied().max_by_key(|s| m.held(*s).len());
        if live.iter().filter(|s| !m.held(**s).is_empty()).count() == WORKERS {
            // Who dies leaves as many suspects as can be.
            let slot = most.and_then(|s| m.held(s).first().map(|job| m.jobs[*job].slot));
            return slot.map(|slot| self.random(Op::Die, slot));
        }
        let busy = ops::slots(Some(model)).filter(|slot| m.state(*slot).live()).count();
        match (state(&[State::Queued]), state(&ENDED)) {
            (_, Some(slot)) if busy <= WORKERS => Some(self.alone(Op::Rerun, slot)),
            (Some(slot), _) => Some(self.claim(m, slot, true)),
            (None, Some(slot)) => Some(self.alone(Op::Rerun, slot)),
            (None, None) => None,
        }
    }
}

/// A worker of the model whose session has ended.
fn over(m: &Model, model: usize) -> Option<usize> {
    (0..WORKERS).find(|worker| m.sessions[m.session_of(model, *worker)].end.is_some())
}
