//! Two steps at once, one on each replica: the model accepts what either order of them would be answered, and leave behind.

use std::fmt;
use std::mem;
use std::str::FromStr;

use axum::http::{HeaderMap, StatusCode};
use serde_json::Value;

use super::ops::{self, Op, Step};
use super::world::{Check, World};
use crate::kit::client::{Answer, Client};

/// What may go beside what: each is one call, whose words do not depend on what the other does.
const ABLE: [Op; 6] = [Op::Cancel, Op::CancelAdmin, Op::Succeed, Op::Reject, Op::TryAgain, Op::Release];

/// A step, or two at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    pub step: Step,
    pub beside: Option<Step>,
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.beside {
            Some(beside) => write!(f, "{}+{beside}", self.step),
            None => write!(f, "{}", self.step),
        }
    }
}

impl FromStr for Turn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('+') {
            Some((step, beside)) => Ok(Self { step: step.parse()?, beside: Some(beside.parse()?) }),
            None => Ok(Self { step: text.parse()?, beside: None }),
        }
    }
}

/// Whether these may go together. What a claim is given hangs on what others have locked at that moment, which no order of answers
/// tells: tests/interleave has claims beside everything, in every order of their statements.
pub fn may_go(first: Op, second: Op) -> bool {
    [first, second].iter().all(|op| ABLE.contains(op))
}

/// What becomes of a step's call.
pub enum Wire {
    Open,
    /// It is noted, and answered with nothing.
    Noting(Option<(Client, String, Value)>),
    /// It was sent before, and answered so.
    Answered(Answer),
}

impl World<'_> {
    /// Sends what a step says, unless it goes together with another.
    pub async fn call(&self, client: &Client, path: &str, body: Value) -> Answer {
        match &mut *self.wire.lock() {
            Wire::Open => {}
            Wire::Noting(call) => {
                *call = Some((client.clone(), path.to_owned(), body));
                return Answer { status: StatusCode::OK, headers: HeaderMap::new(), bytes: Vec::new() };
            }
            Wire::Answered(answer) => return answer.clone(),
        }
        client.post(path, body).await
    }

    /// Whether the step that is judged was carried out at the same time as another.
    pub fn is_beside_another(&self) -> bool {
        !matches!(*self.wire.lock(), Wire::Open)
    }

    /// Carries two steps out at once, and compares; one alone where the other has no target.
    pub async fn together(&mut self, steps: [Step; 2]) -> Check {
        let aims = steps.map(|step| ops::aim(&self.m, step));
        let [Some(first), Some(second)] = aims else {
            return self.step(if aims[0].is_some() { steps[0] } else { steps[1] }).await;
        };
        self.steps += 1;
        let pair = [(steps[0], first), (steps[1], second)];
        let before = self.m.clone();
        let mut calls = Vec::new();
        for (step, aim) in pair {
            *self.wire.lock() = Wire::Noting(None);
            // What it makes of no answer does not count.
            let _ = self.carry_out(step, aim).await;
            if let Wire::Noting(Some(call)) = mem::replace(&mut *self.wire.lock(), Wire::Open) {
                calls.push(call);
            }
            self.m = before.clone();
        }
        let sent = calls.iter().map(|(client, path, body)| client.post(path, body.clone()));
        let answers = futures_util::future::join_all(sent).await;
        let mut wrong = Vec::new();
        for order in [[0, 1], [1, 0]] {
            self.m = before.clone();
            let mut fits = Ok(());
            for at in order {
                *self.wire.lock() = Wire::Answered(answers[at].clone());
                if fits.is_ok() {
                    fits = self.carry_out(pair[at].0, pair[at].1).await;
                }
            }
            *self.wire.lock() = Wire::Open;
            if fits.is_ok() {
                fits = self.compare().await;
            }
            match fits {
                Ok(()) => return Ok(()),
                Err(why) => wrong.push(why),
            }
        }
        Err(format!("wrong in either order:\n{}\nor\n{}", wrong[0], wrong[1]))
    }
}
