//! What workers do: claim, beat, complete, release, leave.

use serde_json::{Value, json};
use uuid::Uuid;

use super::model::State;
use super::ops::{self, Aim, Op, Step};
use super::rules::{Grant, Said};
use super::world::{Check, World, class, same, text};
use crate::support::{Answer, Client};

impl World<'_> {
    pub async fn claim(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.states();
        let session = &self.m.sessions[aim.session];
        let (id, model) = (session.id, session.model);
        let idle = |claim: &Uuid| self.m.held(aim.session).iter().all(|&j| self.m.jobs[j].claim != Some(*claim));
        let claim = match (step.op, aim.job.and_then(|job| self.m.jobs[job].claim)) {
            (Op::Replay, Some(claim)) => claim,
            // A claim that holds nothing any more may be sent again like a new one.
            _ => session.last_claim.filter(|c| step.pick % 7 == 0 && idle(c)).unwrap_or_else(Uuid::new_v4),
        };
        let max = if step.op == Op::Claim { [20, 1, 2, 20, 20][step.pick / 3 % 5] } else { 20 };
        let key = if step.op == Op::ClaimForeign { self.other_key(aim.session) } else { self.key(aim.session) };
        let body = json!({ "worker": id, "claim_id": claim, "max": max, "wait_s": 0 });
        let answer = key.post("/jobs/claim", body).await;
        let free = self.m.claimable(model).len();
        let grant = if step.op == Op::ClaimForeign { Grant::Gone } else { self.m.grant(aim.session, claim, max) };
        if matches!(grant, Grant::Gone) {
            for slot in ops::slots(Some(model)).filter(|&slot| was[slot] != State::Absent) {
                self.hit(aim.row, was[slot], &class(&answer, |_| "jobs".to_owned()))?;
            }
            return same("a claim", class(&answer, |_| "jobs".to_owned()).as_str(), "410 unknown_worker");
        }
        self.m.sessions[aim.session].last_claim = Some(claim);
        let got = self.allowed(&answer, grant)?;
        for &job in &got {
            self.m.take(job, aim.session, claim);
        }
        self.check_leases(&answer, &got)?;
        for slot in ops::slots(Some(model)) {
            let Some(job) = self.m.newest(slot) else { continue };
            let chance = match was[slot] {
                State::Queued => max < free,
                // One of several suspects is tried.
                State::Suspect => was.iter().zip(ops::slots(None)).filter(|(s, o)| **s == State::Suspect && super::model::model_of(*o) == model).count() > 1,
                _ => false,
            };
            // Of the replayed claim's jobs only the target is sure to be the row's.
            if chance && !got.contains(&job) || (step.op == Op::Replay && was[slot].running() && slot != step.slot) {
                continue;
            }
            let told = match (got.contains(&job), was[slot].running(), self.m.jobs[job].suspect) {
                (false, ..) => "not claimed",
                (true, true, _) => "claimed again",
                (true, false, true) => "claimed alone",
                (true, false, false) => "claimed",
            };
            self.hit(aim.row, was[slot], told)?;
        }
        Ok(())
    }

    /// The jobs of a claim's answer, if the model allows them.
    fn allowed(&self, answer: &Answer, grant: Grant) -> Check<Vec<usize>> {
        let body = answer.json();
        same("a claim", answer.status.as_u16(), 200)?;
        let find = |job: &Value| self.m.jobs.iter().position(|j| json!(j.id) == job["id"]).ok_or(format!("claimed an unknown job: {job}"));
        let got = body["jobs"].as_array().into_iter().flatten().map(find).collect::<Result<Vec<_>, _>>()?;
        let mut sorted = got.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let within = |free: &[usize], count: usize| sorted.len() == count && got.len() == count && got.iter().all(|j| free.contains(j));
        let fine = match &grant {
            Grant::Gone | Grant::Nothing => got.is_empty(),
            Grant::Again(all) => within(all, all.len()),
            Grant::Alone(some) => within(some, 1),
            Grant::Some(free, count) => within(free, *count),
        };
        if fine { Ok(got) } else { Err(format!("a claim got the jobs {got:?}, the model says {grant:?}")) }
    }

    fn check_leases(&self, answer: &Answer, got: &[usize]) -> Check {
        let body = answer.json();
        for (at, job) in got.iter().enumerate() {
            let (told, job) = (&body["jobs"][at], &self.m.jobs[*job]);
            let lease = json!([told["lease_no"], told["attempt"], told["solo"]]);
            same("a lease's number, attempt and solo", lease, json!([job.lease_no, job.attempt, job.state == State::Solo]))?;
        }
        Ok(())
    }

    pub async fn complete(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.m.state(step.slot);
        if step.op == Op::TryAgainLate {
            self.pass_finish(aim).await?;
        }
        let said = match step.op {
            Op::Reject => Said::Rejected,
            Op::TryAgain | Op::TryAgainLate => Said::Retry([None, Some(false), Some(true)][step.pick % 3]),
            Op::Release | Op::LateRelease => Said::Released,
            Op::Repeat if aim.row == "repeat of a failure" => Said::Retry(None),
            Op::Repeat if aim.row == "repeat of a release" => Said::Released,
            _ => Said::Succeeded,
        };
        let id = self.id(aim.job);
        let mut item = json!({ "id": id, "lease_no": aim.lease_no });
        let path = if said == Said::Released { "/jobs/release" } else { "/jobs/complete" };
        match said {
            Said::Succeeded if step.op != Op::SucceedEmpty => item["result"] = json!({ "fields": { "lease": aim.lease_no } }),
            Said::Retry(Some(pause)) => item["retry_after_s"] = json!(if pause { 3600 } else { 0 }),
            _ => {}
        }
        if said != Said::Released {
            item["outcome"] = json!(match said {
                Said::Rejected => "rejected",
                Said::Retry(_) => "retry",
                _ => "succeeded",
            });
        }
        let items = vec![item; if step.op == Op::SucceedTwice { 2 } else { 1 }];
        let key = if step.op == Op::OtherKey { self.other_key(aim.session) } else { self.key(aim.session) };
        let answer = key.post(path, json!({ "worker": self.m.sessions[aim.session].id, "items": items })).await;
        let body = answer.json();
        let told: Vec<String> = body["items"].as_array().into_iter().flatten().map(item_class).collect();
        self.hit(aim.row, was, &told.join(", "))?;
        let mut expected = Vec::new();
        for _ in &items {
            expected.push(self.judge(step.op, aim, said));
        }
        let states = body["items"].as_array().into_iter().flatten().map(|i| (item_class(i), i["state"].clone()));
        same("a completion", states.collect::<Vec<_>>(), expected)
    }

    /// What the model says to one item.
    fn judge(&mut self, op: Op, aim: Aim, said: Said) -> (String, Value) {
        if op == Op::SucceedEmpty {
            self.m.touch(aim.session);
            return ("422 invalid_result".to_owned(), Value::Null);
        }
        let settled = match aim.job {
            Some(job) if op != Op::OtherKey => self.m.settle(job, aim.session, aim.lease_no, said),
            Some(_) => None,
            None => {
                self.m.touch(aim.session);
                None
            }
        };
        match settled {
            Some((state, true)) => ("200 repeat".to_owned(), json!(state)),
            Some((state, false)) => (format!("200 {state}"), json!(state)),
            None => ("409 stale_lease".to_owned(), Value::Null),
        }
    }

    /// A beat that lists a lease besides what the session holds.
    pub async fn beat(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.states();
        let target = (self.id(aim.job), aim.lease_no);
        let mut listed: Vec<(Uuid, i64)> =
            self.m.held(aim.session).iter().map(|&j| (self.m.jobs[j].id, self.m.jobs[j].lease_no)).collect();
        let holds = listed.contains(&target);
        listed.retain(|(id, _)| *id != target.0);
        listed.push(target);
        let key = if step.op == Op::BeatForeign { self.other_key(aim.session) } else { self.key(aim.session) };
        let answer = self.send_beat(key, aim.session, listed).await;
        let told = match answer.json()["stop"].as_array() {
            Some(stop) if stop.is_empty() => "kept".to_owned(),
            Some(stop) if *stop == [json!(target.0)] => "stop".to_owned(),
            _ => class(&answer, |body| body["stop"].to_string()),
        };
        if matches!(step.op, Op::BeatGone | Op::BeatForeign) {
            for slot in ops::slots(Some(aim.model)).filter(|&slot| was[slot] != State::Absent) {
                self.hit(aim.row, was[slot], &told)?;
            }
            return same("a beat", told.as_str(), "410 unknown_worker");
        }
        self.hit(aim.row, was[step.slot], &told)?;
        self.m.touch(aim.session);
        same("a beat", told.as_str(), if holds { "kept" } else { "stop" })
    }

    pub async fn send_beat(&self, key: &Client, session: usize, listed: Vec<(Uuid, i64)>) -> Answer {
        let jobs: Vec<Value> = listed.iter().map(|(id, lease_no)| json!({ "id": id, "lease_no": lease_no })).collect();
        key.post(&format!("/workers/{}/heartbeat", self.m.sessions[session].id), json!({ "jobs": jobs })).await
    }

    pub async fn leave(&mut self, aim: Aim) -> Check {
        let answer = self.key(aim.session).delete(&format!("/workers/{}", self.m.sessions[aim.session].id)).await;
        same("leaving", answer.status.as_u16(), 204)?;
        self.m.leave(aim.session);
        Ok(())
    }
}

fn item_class(item: &Value) -> String {
    match (item["status"].as_u64(), item["repeat"].as_bool()) {
        (Some(200), Some(true)) => "200 repeat".to_owned(),
        (Some(200), _) => format!("200 {}", text(&item["state"])),
        (status, _) => format!("{} {}", status.unwrap_or(0), text(&item["problem"]["code"])),
    }
}
