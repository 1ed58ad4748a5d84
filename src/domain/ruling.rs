//! The rule of what becomes of a job whose try ended without success: again, and when, or never.
//!
//! The back-off is exponential with full jitter
//! (<https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). `at` is the database's clock; `jitter` is a
//! random fraction 0…1.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::words::words;

/// So many deaths of workers that ran a job alone poison it.
pub const DEATHS_MAX: i16 = 3;
/// The back-off doubles no more often than this.
const DOUBLINGS_MAX: i16 = 20;

/// How failed attempts are tried again. PATCH takes the same fields beside `paused`, not under `retry`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema, sqlx::FromRow)]
pub struct RetryPolicy {
    pub max_attempts: i16,
    /// The most that the first back-off waits; it doubles with every attempt.
    pub backoff_base_s: f32,
    pub backoff_cap_s: f32,
    /// No retry starts later than this after the first claim; null is without limit.
    pub retry_budget_s: Option<f32>,
    /// How long one attempt may take.
    pub deadline_s: f32,
}

/// What is to change of a policy; what is absent stays.
#[derive(Debug, Clone, Default)]
pub struct PolicyChange {
    pub max_attempts: Option<i16>,
    pub backoff_base_s: Option<f32>,
    pub backoff_cap_s: Option<f32>,
    /// Nothing within is without limit.
    pub retry_budget_s: Option<Option<f32>>,
    pub deadline_s: Option<f32>,
}

/// What decides: the job's own counts and times, and its model's policy.
#[derive(Debug, Clone, sqlx::FromRow)]
pub struct Facts {
    pub attempt: i16,
    /// Deaths of workers that ran it alone.
    pub deaths: i16,
    /// Its worker died before: it is run alone.
    pub suspect: bool,
    pub run_at: DateTime<Utc>,
    pub finish_by: DateTime<Utc>,
    /// Its first claim.
    pub begun_at: Option<DateTime<Utc>>,
    pub max_attempts: i16,
    pub backoff_base_s: f32,
    pub backoff_cap_s: f32,
    /// No retry starts later than this after the first claim, in seconds.
    pub retry_budget_s: Option<f32>,
}

/// Why a job failed for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The worker said: never.
    Rejected,
    /// Out of attempts, or of time for them.
    Exhausted,
    /// It killed workers that ran it alone.
    Poisoned,
    /// Past `finish_by`.
    Expired,
}

words!(Reason { Rejected "rejected", Exhausted "exhausted", Poisoned "poisoned", Expired "expired" });

/// How a job goes back into line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Again {
    pub run_at: DateTime<Utc>,
    pub attempt: i16,
    pub deaths: i16,
    pub suspect: bool,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Ruling {
    Again(Again),
    /// It fails, with its attempts and deaths as they now count.
    Fails {
        reason: Reason,
        attempts: i16,
        deaths: i16,
    },
}

/// The words of an attempt that failed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    pub kind: Option<String>,
    pub message: Option<String>,
    pub traceback: Option<String>,
}

impl Facts {
    /// After a failure that its worker told of, which may wish for a back-off of `retry_after_s` seconds. A worker that lives
    /// to ask for another try has survived the job: it is no suspect any more.
    pub fn after_failure(&self, at: DateTime<Utc>, retry_after_s: Option<f64>, jitter: f64) -> Ruling {
        let wait_s = retry_after_s.unwrap_or_else(|| self.backoff_s(self.attempt - 1, jitter));
        let again = Again { run_at: later(at, wait_s), attempt: self.attempt, deaths: self.deaths, suspect: false };
        self.unless_out_of_tries(at, again)
    }

    /// After an attempt took longer than its deadline: a failed attempt.
    pub fn after_deadline(&self, at: DateTime<Utc>, jitter: f64) -> Ruling {
        let run_at = later(at, self.backoff_s(self.deaths + self.attempt - 1, jitter));
        let again = Again { run_at, attempt: self.attempt, deaths: self.deaths, suspect: self.suspect };
        self.unless_out_of_tries(at, again)
    }

    /// After its session died. That costs no attempt, but makes it a suspect; the death of a session that ran a suspect alone
    /// counts, and [`DEATHS_MAX`] of them poison.
    pub fn after_death(&self, at: DateTime<Utc>, jitter: f64) -> Ruling {
        let (attempt, deaths) = (self.attempt - 1, self.deaths + i16::from(self.suspect));
        let fails = |reason| Ruling::Fails { reason, attempts: attempt, deaths };
        if deaths > self.deaths && deaths >= DEATHS_MAX {
            return fails(Reason::Poisoned);
        }
        if self.finish_by <= at {
            return fails(Reason::Expired);
        }
        let backoff_s = self.backoff_s(deaths + attempt - 1, jitter);
        let run_at = if self.suspect { later(at, backoff_s) } else { self.run_at };
        Ruling::Again(Again { run_at, attempt, deaths, suspect: true })
    }

    /// Given back: the attempt is not counted, and the place in line is kept.
    pub fn released(&self) -> Again {
        Again { run_at: self.run_at, attempt: self.attempt - 1, deaths: self.deaths, suspect: self.suspect }
    }

    /// The same when its session left, or could not take the answer: late, it expires.
    pub fn after_release(&self, at: DateTime<Utc>) -> Ruling {
        if self.finish_by <= at {
            let Again { attempt, deaths, .. } = self.released();
            return Ruling::Fails { reason: Reason::Expired, attempts: attempt, deaths };
        }
        Ruling::Again(self.released())
    }

    fn unless_out_of_tries(&self, at: DateTime<Utc>, again: Again) -> Ruling {
        let fails = |reason| Ruling::Fails { reason, attempts: again.attempt, deaths: again.deaths };
        let over_budget = || {
            let end = later(self.begun_at?, f64::from(self.retry_budget_s?));
            (again.run_at > end).then_some(())
        };
        if self.finish_by <= at {
            fails(Reason::Expired)
        } else if self.attempt >= self.max_attempts || over_budget().is_some() {
            fails(Reason::Exhausted)
        } else {
            Ruling::Again(again)
        }
    }

    /// The pause after so many failures before the last one, in seconds.
    fn backoff_s(&self, failures: i16, jitter: f64) -> f64 {
        let doubled = f64::from(self.backoff_base_s) * 2f64.powi(i32::from(failures.clamp(0, DOUBLINGS_MAX)));
        jitter * doubled.min(f64::from(self.backoff_cap_s))
    }
}

/// So many seconds later.
fn later(at: DateTime<Utc>, seconds: f64) -> DateTime<Utc> {
    #[expect(clippy::cast_possible_truncation, reason = "at most weeks, in microseconds")]
    let wait = TimeDelta::microseconds((seconds * 1e6) as i64);
    at + wait
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(1_000_000 + second, 0).expect("a time")
    }

    fn facts() -> Facts {
        Facts {
            attempt: 1,
            deaths: 0,
            suspect: false,
            run_at: at(0),
            finish_by: at(1_000),
            begun_at: Some(at(1)),
            max_attempts: 5,
            backoff_base_s: 8.0,
            backoff_cap_s: 20.0,
            retry_budget_s: None,
        }
    }

    fn run_at(ruling: Ruling) -> DateTime<Utc> {
        match ruling {
            Ruling::Again(again) => again.run_at,
            Ruling::Fails { reason, .. } => panic!("it fails: {reason:?}"),
        }
    }

    fn reason(ruling: Ruling) -> Option<Reason> {
        match ruling {
            Ruling::Again(_) => None,
            Ruling::Fails { reason, .. } => Some(reason),
        }
    }

    #[test]
    fn the_back_off_doubles_up_to_its_cap_and_the_worker_may_wish() {
        assert_eq!(run_at(facts().after_failure(at(10), None, 1.0)), at(18));
        assert_eq!(run_at(Facts { attempt: 2, ..facts() }.after_failure(at(10), None, 1.0)), at(26));
        assert_eq!(run_at(Facts { attempt: 4, ..facts() }.after_failure(at(10), None, 1.0)), at(30), "the cap");
        assert_eq!(run_at(facts().after_failure(at(10), None, 0.5)), at(14), "the jitter");
        assert_eq!(run_at(facts().after_failure(at(10), Some(100.0), 1.0)), at(110));
    }

    #[test]
    fn tries_time_and_budget_run_out() {
        assert_eq!(reason(Facts { attempt: 5, ..facts() }.after_failure(at(10), None, 1.0)), Some(Reason::Exhausted));
        assert_eq!(reason(facts().after_failure(at(1_000), None, 1.0)), Some(Reason::Expired));
        let short = Facts { retry_budget_s: Some(16.0), ..facts() };
        assert_eq!(reason(short.after_failure(at(9), None, 1.0)), None, "at its end");
        assert_eq!(reason(short.after_failure(at(10), None, 1.0)), Some(Reason::Exhausted));
    }

    #[test]
    fn a_death_costs_no_attempt_and_three_alone_poison() {
        let first = facts().after_death(at(10), 1.0);
        assert_eq!(first, Ruling::Again(Again { run_at: at(0), attempt: 0, deaths: 0, suspect: true }));
        let alone = Facts { suspect: true, deaths: 1, ..facts() }.after_death(at(10), 1.0);
        assert_eq!(alone, Ruling::Again(Again { run_at: at(26), attempt: 0, deaths: 2, suspect: true }));
        let third = Facts { suspect: true, deaths: 2, ..facts() }.after_death(at(10), 1.0);
        assert_eq!(third, Ruling::Fails { reason: Reason::Poisoned, attempts: 0, deaths: 3 });
    }

    #[test]
    fn a_survivor_is_no_suspect_and_a_release_keeps_the_place() {
        let Ruling::Again(again) = Facts { suspect: true, ..facts() }.after_failure(at(10), None, 1.0) else {
            panic!("it fails")
        };
        assert!(!again.suspect);
        let kept = Again { run_at: at(0), attempt: 0, deaths: 0, suspect: false };
        assert_eq!(facts().after_release(at(10)), Ruling::Again(kept));
    }
}
