//! Chooses the next step: most often one that reaches, or leads to, what the table lacks the most; often one that
//! makes crowds or failures; now and then just any.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

use super::model::{Model, SLOTS, State, WORKERS, model_of};
use super::ops::{self, Op, Step};
use super::table::Hits;

/// How many steps a drive lasts.
const DRIVE: usize = 25;
/// So many slots are in the state that lacks the most before its pairs are sought.
const ENOUGH: usize = 2;

/// What is done again and again.
#[derive(Clone, Copy)]
enum Drive {
    /// To one slot's running job.
    One(Op, usize),
    /// In the slots of a model all workers come to hold something, and then one dies.
    Crowd(usize),
}

pub struct Chooser {
    rng: StdRng,
    drive: Drive,
    left: usize,
}

impl Chooser {
    pub fn new(seed: u64) -> Self {
        Self { rng: StdRng::seed_from_u64(seed), drive: Drive::Crowd(0), left: 0 }
    }

    /// A step that has a target.
    pub fn next(&mut self, m: &Model, hits: &Hits) -> Step {
        let pairs = Op::ALL.iter().flat_map(|op| (0..SLOTS).map(move |slot| (*op, slot)));
        let all: Vec<Step> = pairs.map(|(op, slot)| self.random(op, slot)).collect();
        let count = |step: &Step| hits.of(ops::aim(m, *step)?.row, m.state(step.slot));
        let possible: Vec<(u32, Step)> = all.iter().filter_map(|step| Some((count(step)?, *step))).collect();
        let step = match self.rng.random_range(0..100) {
            0..45 => {
                let goal = State::ALL.into_iter().map(|(state, _)| state).max_by_key(|state| hits.lacking(*state));
                let goal = goal.unwrap_or(State::Solo);
                let there = (0..SLOTS).filter(|slot| m.state(*slot) == goal).count();
                let lead = if there < ENOUGH { self.toward(m, goal) } else { None };
                lead.or_else(|| self.rarest(possible.iter().filter(|(_, step)| m.state(step.slot) == goal)))
            }
            45..70 => self.rarest(possible.iter()),
            70..95 => self.driven(m),
            _ => None,
        };
        let any = || possible.choose(&mut self.rng).map(|(_, step)| *step);
        step.or_else(any).expect("something can always be done")
    }

    fn random(&mut self, op: Op, slot: usize) -> Step {
        Step { op, slot, pick: self.rng.random_range(0..1_000) }
    }

    fn rarest<'a>(&mut self, possible: impl Iterator<Item = &'a (u32, Step)> + Clone) -> Option<Step> {
        let least = possible.clone().map(|(count, _)| *count).min()?;
        let rarest: Vec<Step> = possible.filter(|(count, _)| *count == least).map(|(_, step)| *step).collect();
        rarest.choose(&mut self.rng).copied()
    }

    /// A step on the way to a slot in that state, if there is a direct one.
    fn toward(&mut self, m: &Model, goal: State) -> Option<Step> {
        let ended = [State::Absent, State::Succeeded, State::Failed, State::Cancelled];
        let waits = [State::Queued, State::Suspect];
        let ways: &[(&[State], Op)] = match goal {
            State::Solo => &[(&[State::Suspect], Op::Claim), (&[State::Running], Op::Die), (&waits, Op::Claim)],
            State::Suspect => &[(&[State::Running], Op::Die), (&waits, Op::Claim)],
            State::Running => &[(&waits, Op::Claim)],
            State::Later => &[(&ended, Op::SubmitLater)],
            State::Succeeded => &[(&[State::Running, State::Solo], Op::Succeed), (&waits, Op::Claim)],
            State::Failed => &[(&waits, Op::Expire)],
            State::Cancelled => &[(&waits, Op::CancelAdmin)],
            State::Absent | State::Queued => &[],
        };
        for (from, op) in ways.iter().chain(&[(&ended[..], Op::Rerun)]) {
            let slots: Vec<usize> = (0..SLOTS).filter(|slot| from.contains(&m.state(*slot))).collect();
            if let Some(slot) = slots.choose(&mut self.rng) {
                return Some(if *op == Op::Claim { self.claim(m, *slot, true) } else { self.random(*op, *slot) });
            }
        }
        None
    }

    /// A claim of one job by a worker that holds nothing, or does, or what makes that possible.
    fn claim(&mut self, m: &Model, slot: usize, empty: bool) -> Step {
        let model = model_of(slot);
        let live = ops::live_sessions(m, model);
        let fit: Vec<usize> = (0..live.len()).filter(|at| m.held(live[*at]).is_empty() == empty).collect();
        let over = |worker: &usize| m.sessions[m.session_of(model, *worker)].end.is_some();
        let busy = ops::slots(Some(model)).find(|slot| m.state(*slot) == State::Running);
        if m.paused[model] {
            self.random(Op::Resume, slot)
        } else if let Some(at) = fit.choose(&mut self.rng) {
            Step { op: Op::Claim, slot, pick: *at }
        } else if let Some(worker) = (0..WORKERS).find(over) {
            Step { op: Op::Register, slot, pick: worker }
        } else {
            self.random(Op::Die, busy.unwrap_or(slot))
        }
    }

    /// The next step of the drive.
    fn driven(&mut self, m: &Model) -> Option<Step> {
        if self.left == 0 {
            self.left = DRIVE;
            let slot = self.rng.random_range(0..SLOTS);
            let often = [Op::Die, Op::TryAgain, Op::TryAgain, Op::Deadline].choose(&mut self.rng);
            let one = often.filter(|_| self.rng.random_bool(0.5));
            self.drive = one.map_or(Drive::Crowd(slot), |op| Drive::One(*op, slot));
        }
        self.left -= 1;
        match self.drive {
            Drive::One(op, slot) => Some(match m.state(slot) {
                State::Absent | State::Succeeded | State::Failed | State::Cancelled => self.random(Op::Rerun, slot),
                State::Later => self.random(Op::ComeDue, slot),
                State::Queued | State::Suspect => self.claim(m, slot, true),
                State::Running | State::Solo => self.random(op, slot),
            }),
            Drive::Crowd(of) => {
                let slots: Vec<usize> = ops::slots(Some(model_of(of))).collect();
                let state = |wanted: &[State]| slots.iter().copied().find(|slot| wanted.contains(&m.state(*slot)));
                if let Some(slot) = state(&[State::Suspect]) {
                    return Some(self.claim(m, slot, false));
                }
                let holding = ops::live_sessions(m, model_of(of)).iter().filter(|s| !m.held(**s).is_empty()).count();
                if holding == WORKERS {
                    return state(&[State::Running]).map(|slot| self.random(Op::Die, slot));
                }
                if let Some(slot) = state(&[State::Queued]) {
                    return Some(self.claim(m, slot, true));
                }
                state(&[State::Absent, State::Succeeded, State::Failed, State::Cancelled])
                    .map(|slot| self.random(Op::Rerun, slot))
            }
        }
    }
}
