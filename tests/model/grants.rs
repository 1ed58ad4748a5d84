//! What the model gives to a claim.

use uuid::Uuid;

use super::state::{How, Model, Past, State};

/// What a claim may be answered with.
#[derive(Debug)]
pub enum Grant {
    Gone,
    Nothing,
    /// Exactly these, under new leases.
    Again(Vec<usize>),
    /// Exactly one of these, alone.
    Alone(Vec<usize>),
    /// So many of these.
    Some(Vec<usize>, usize),
}

impl Model {
    /// Judges a claim of a live session, and keeps the session free if that is the answer.
    pub fn grant(&mut self, session: usize, claim: Uuid, max: usize) -> Grant {
        if self.sessions[session].end.is_some() {
            return Grant::Gone;
        }
        self.touch(session);
        let held = self.held(session);
        let model = self.sessions[session].model;
        let suspects = self.suspects(model);
        let alone = held.iter().any(|&j| self.jobs[j].suspect);
        let mut waits = alone;
        if !alone && !suspects.is_empty() && !held.is_empty() {
            waits = self.sessions[session].reserved || !self.other_reserved(session);
            self.sessions[session].reserved |= waits;
        }
        let again: Vec<usize> = held.iter().copied().filter(|&j| self.jobs[j].claim == Some(claim)).collect();
        if !again.is_empty() {
            return Grant::Again(again);
        }
        let room = self.room(model).unwrap_or(usize::MAX);
        if self.paused[model] || waits || room == 0 {
            return Grant::Nothing;
        }
        if !suspects.is_empty() && held.is_empty() {
            return Grant::Alone(suspects);
        }
        let free = self.claimable(model);
        let count = max.min(room).min(free.len());
        Grant::Some(free, count)
    }

    /// Whether another session of the same model is kept free.
    pub fn other_reserved(&self, session: usize) -> bool {
        let model = self.sessions[session].model;
        let mut others = self.sessions.iter().enumerate().filter(|(at, _)| *at != session);
        others.any(|(_, other)| other.model == model && other.end.is_none() && other.reserved)
    }

    /// Gives a job to a session.
    pub fn take(&mut self, at: usize, session: usize, claim: Uuid) {
        let job = &mut self.jobs[at];
        if job.state.running() {
            job.past.push(Past { session, lease_no: job.lease_no, how: How::Taken });
        } else {
            job.attempt += 1;
        }
        job.lease_no += 1;
        (job.session, job.claim) = (Some(session), Some(claim));
        job.state = if job.suspect { State::Solo } else { State::Running };
        if job.suspect {
            self.sessions[session].reserved = false;
        }
    }
}
