//! What each operation does to the model.

use uuid::Uuid;

use super::state::{DEATHS_MAX, End, How, Job, MAX_ATTEMPTS, Model, Past, State, USERS, image_of, model_of};

/// What a worker says of a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    Succeeded,
    Rejected,
    /// With the wish for a pause: none (the model's policy decides), no time, or an hour.
    Retry(Option<bool>),
    Released,
}

impl Model {
    /// Answers a submission: how, and with which job, perhaps a new one.
    pub fn submit(&mut self, user: usize, slot: usize, rerun: bool, later: bool) -> (&'static str, usize) {
        self.titles[user][image_of(slot)] = true;
        match self.result(slot).filter(|_| !rerun) {
            Some(job) => {
                self.jobs[job].asked[user] = Some(true);
                ("finished", job)
            }
            None => self.enqueue(user, slot, later, None),
        }
    }

    /// Makes a job, or attaches to the live one of the slot.
    pub fn enqueue(&mut self, user: usize, slot: usize, later: bool, retry_of: Option<usize>) -> (&'static str, usize) {
        if let Some(at) = self.newest(slot).filter(|&job| self.jobs[job].state.live()) {
            let job = &mut self.jobs[at];
            job.asked[user] = Some(true);
            if job.state == State::Later && !job.backing_off && !later {
                job.state = State::Queued;
            }
            return ("attached", at);
        }
        let mut asked = [None; USERS];
        asked[user] = Some(true);
        self.jobs.push(Job {
            id: Uuid::nil(),
            slot,
            state: if later { State::Later } else { State::Queued },
            reason: None,
            suspect: false,
            backing_off: false,
            overdue: false,
            late: false,
            attempt: 0,
            deaths: 0,
            lease_no: 0,
            session: None,
            claim: None,
            retry_of,
            asked,
            redriven: false,
            forgotten: false,
            past: Vec::new(),
            work: retry_of.map(|of| self.jobs[of].work.handed_on()).unwrap_or_default(),
            winner: None,
        });
        ("created", self.jobs.len() - 1)
    }

    /// Cancels for an administrator (no user), or withdraws a user's request.
    pub fn cancel(&mut self, at: usize, user: Option<usize>) {
        let job = &mut self.jobs[at];
        if job.state.ended() {
            return;
        }
        if let Some(user) = user {
            job.asked[user] = Some(false);
        }
        if user.is_none() || !(job.redriven || job.asked.contains(&Some(true))) {
            self.end(at, State::Cancelled, None, None);
        }
    }

    /// The jobs of a model that a redrive of this state tries again: the last word on their image, of whichever params, and nothing
    /// of their slot is under way.
    pub fn last_words(&self, model: usize, state: State) -> Vec<usize> {
        let ended = |job: &Job| job.state.ended() && !job.forgotten;
        let is_last = |at: &usize| {
            let job = &self.jobs[*at];
            let later = |other: &Job| other.slot / 2 == job.slot / 2 && ended(other);
            job.state == state
                && ended(job)
                && !self.jobs[*at + 1..].iter().any(later)
                && !self.jobs.iter().any(|other| other.slot == job.slot && other.state.live())
        };
        (0..self.jobs.len()).filter(|at| model_of(self.jobs[*at].slot) == model).filter(is_last).collect()
    }

    /// An administrator has a job tried again.
    pub fn redrive(&mut self, of: usize, id: Uuid) {
        let (_, at) = self.enqueue(0, self.jobs[of].slot, false, Some(of));
        self.jobs[at].asked = [None; USERS];
        (self.jobs[at].id, self.jobs[at].redriven) = (id, true);
    }

    /// What jobs came to is kept no longer.
    pub fn forget(&mut self) {
        for job in self.jobs.iter_mut().filter(|job| job.state.ended()) {
            job.forgotten = true;
        }
    }

    /// A sign of life.
    pub fn touch(&mut self, session: usize) {
        if self.sessions[session].end.is_none() {
            self.sessions[session].late = false;
        }
    }

    /// Judges what a session says of a lease: the state it is answered with and whether that is a repeat, or
    /// nothing when it is stale.
    pub fn settle(&mut self, at: usize, session: usize, lease_no: i64, said: Said) -> Option<(&'static str, bool)> {
        self.touch(session);
        let job = &mut self.jobs[at];
        if job.state.running() && job.session == Some(session) && job.lease_no == lease_no {
            match said {
                Said::Succeeded => self.end(at, State::Succeeded, None, Some((session, lease_no))),
                Said::Rejected => self.end(at, State::Failed, Some("rejected"), Some((session, lease_no))),
                Said::Released => self.give_back(at, How::Released, false),
                Said::Retry(pause) => {
                    let last = job.attempt >= MAX_ATTEMPTS;
                    let reason = if job.overdue { Some("expired") } else { last.then_some("exhausted") };
                    match reason {
                        Some(_) => self.end(at, State::Failed, reason, Some((session, lease_no))),
                        None => {
                            job.suspect = false;
                            self.put_off(at, How::Retry, pause);
                        }
                    }
                }
            }
            return Some((self.jobs[at].state.public(), false));
        }
        if job.winner == Some((session, lease_no)) {
            return Some((job.state.public(), true));
        }
        let how = match said {
            Said::Retry(_) => How::Retry,
            Said::Released => How::Released,
            Said::Succeeded | Said::Rejected => return None,
        };
        let mut past = job.past.iter();
        past.any(|p| (p.session, p.lease_no, p.how) == (session, lease_no, how)).then_some(("queued", true))
    }

    fn end(&mut self, at: usize, state: State, reason: Option<&'static str>, winner: Option<(usize, i64)>) {
        let job = &mut self.jobs[at];
        if let (Some(session), None) = (job.session, winner) {
            job.past.push(Past { session, lease_no: job.lease_no, how: How::Taken });
        }
        (job.state, job.reason, job.winner) = (state, reason, winner);
        (job.session, job.claim) = (None, None);
    }

    /// Queues a running job again at its old place; only a failed try is counted.
    pub fn give_back(&mut self, at: usize, how: How, counted: bool) {
        let job = &mut self.jobs[at];
        let session = job.session.take().expect("only running jobs are given back");
        job.past.push(Past { session, lease_no: job.lease_no, how });
        job.claim = None;
        job.late = false;
        job.attempt -= i16::from(!counted);
        job.state = if job.suspect { State::Suspect } else { State::Queued };
    }

    /// Queues a running job again after a pause of the worker's wish, or of the model's policy.
    fn put_off(&mut self, at: usize, how: How, pause: Option<bool>) {
        self.give_back(at, how, true);
        let jitter = pause.is_none() && model_of(self.jobs[at].slot) == 1;
        if pause.unwrap_or(jitter) {
            self.jobs[at].state = State::Later;
            self.jobs[at].backing_off = true;
            self.jittered |= jitter;
        }
    }

    /// Makes a job due whose time has come.
    pub fn come_due(&mut self, at: usize) {
        let job = &mut self.jobs[at];
        if job.state == State::Later {
            job.state = if job.suspect { State::Suspect } else { State::Queued };
            job.backing_off = false;
        }
    }

    /// Ends a queued job that is past its time.
    pub fn expire(&mut self, at: usize) {
        if self.jobs[at].state.public() == "queued" {
            self.end(at, State::Failed, Some("expired"), None);
        }
    }

    /// The deadline of a running job's claim passes, and so that of every job that it holds.
    pub fn pass_deadline(&mut self, at: usize) {
        let claim = (self.jobs[at].session, self.jobs[at].claim);
        for job in self.jobs.iter_mut().filter(|job| job.state.running() && (job.session, job.claim) == claim) {
            job.late = true;
        }
    }

    /// A session ends by its own wish, and gives back.
    pub fn leave(&mut self, session: usize) {
        self.sessions[session].end = Some(End::Left);
        for job in self.held(session) {
            self.give_back(job, How::Released, false);
        }
    }

    /// Whether a running job's session is over once this tick has looked.
    pub fn dies(&self, at: usize, away: bool) -> bool {
        let session = self.jobs[at].session.map(|s| &self.sessions[s]);
        self.jobs[at].state.running() && session.is_some_and(|s| s.end.is_some() || (s.late && !away))
    }

    /// One tick of the rescue; `away` when the one before is long ago.
    pub fn rescue(&mut self, away: bool) {
        for session in self.sessions.iter_mut().filter(|s| s.end.is_none() && s.late) {
            session.late = false;
            session.end = (!away).then_some(End::Lost);
        }
        for at in 0..self.jobs.len() {
            if self.dies(at, away) {
                self.bury(at);
            } else if self.jobs[at].state.running() && self.jobs[at].late {
                let last = self.jobs[at].attempt >= MAX_ATTEMPTS;
                match last {
                    true => self.end(at, State::Failed, Some("exhausted"), None),
                    false => self.put_off(at, How::Taken, None),
                }
            }
        }
    }

    fn bury(&mut self, at: usize) {
        let job = &mut self.jobs[at];
        let alone = job.suspect;
        job.deaths += i16::from(alone);
        job.suspect = true;
        job.attempt -= 1;
        if alone && job.deaths >= DEATHS_MAX {
            self.end(at, State::Failed, Some("poisoned"), None);
        } else if job.overdue {
            self.end(at, State::Failed, Some("expired"), None);
        } else if alone {
            self.put_off(at, How::Taken, None);
        } else {
            self.give_back(at, How::Taken, true);
        }
    }
}
