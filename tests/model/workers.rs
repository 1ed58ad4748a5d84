//! What workers do: claim, beat, complete, release, leave.

use serde_json::{Value, json};
use uuid::Uuid;

use super::grants::Grant;
use super::leases::leases;
use super::ops::{self, Aim, Op, Step};
use super::rules::Said;
use super::state::{State, model_of};
use super::world::{Check, World, class, same, text};
use crate::kit::client::{Answer, Client};

impl World<'_> {
    pub async fn claim(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.states();
        let session = &self.m.sessions[aim.session];
        let (id, model) = (session.id, session.model);
        let fresh = || Uuid::from_u64_pair(self.steps, self.steps << 32 | (step.pick << 8 | step.slot) as u64);
        let idle = |claim: &Uuid| self.m.held(aim.session).iter().all(|&j| self.m.jobs[j].claim != Some(*claim));
        let claim = match (step.op, aim.job.and_then(|job| self.m.jobs[job].claim)) {
            (Op::Replay, Some(claim)) => claim,
            // A claim that holds nothing any more may be sent again like a new one.
            _ => session.last_claim.filter(|c| step.pick / 10 % 7 == 3 && idle(c)).unwrap_or_else(fresh),
        };
        let max = if step.op == Op::Claim { [1, 2, 20][(step.pick / 100).min(2)] } else { 20 };
        let key = if step.op == Op::ClaimForeign { self.other_key(aim.session) } else { self.key(aim.session) };
        let body = json!({ "worker": id, "claim_id": claim, "max": max, "wait_s": 0 });
        let answer = self.call(key, "/jobs/claim", body).await;
        let free = self.m.claimable(model).len();
        let most = max.min(self.m.room(model).unwrap_or(max));
        let grant = if step.op == Op::ClaimForeign { Grant::Gone } else { self.m.grant(aim.session, claim, max) };
        if matches!(grant, Grant::Gone) {
            for slot in ops::slots(None).filter(|&slot| was[slot] != State::Absent) {
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
                State::Queued => 0 < most && most < free,
                // One of several suspects is tried.
                State::Suspect => {
                    was.iter()
                        .zip(ops::slots(None))
                        .filter(|(s, o)| **s == State::Suspect && model_of(*o) == model)
                        .count()
                        > 1
                }
                _ => false,
            };
            // Of the replayed claim's jobs only the target is sure to be the row's.
            if chance && !got.contains(&job) || (step.op == Op::Replay && was[slot].running() && Some(job) != aim.job) {
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
        let find = |job: &Value| {
            self.m.jobs.iter().position(|j| json!(j.id) == job["id"]).ok_or(format!("claimed an unknown job: {job}"))
        };
        let got = body["jobs"].as_array().into_iter().flatten().map(find).collect::<Result<Vec<_>, _>>()?;
        let mut sorted = got.clone();
        sorted.sort_unstable();
        sorted.dedup();
        let within = |free: &[usize], count: usize| {
            sorted.len() == count && got.len() == count && got.iter().all(|j| free.contains(j))
        };
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
            same(
                "a lease's number, attempt and solo",
                lease,
                json!([job.lease_no, job.attempt, job.state == State::Solo]),
            )?;
        }
        Ok(())
    }

    /// Completes or releases. What changes nothing is said of every slot at once that it can be said of.
    pub async fn complete(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.states();
        if step.op == Op::TryAgainLate {
            self.pass_finish(aim).await?;
        }
        let said = match (step.op, aim.row) {
            (Op::Reject, _) => Said::Rejected,
            (Op::TryAgain | Op::TryAgainLate, _) => Said::Retry([None, Some(false), Some(true)][step.pick % 3]),
            (Op::Repeat, "repeat of a failure") => Said::Retry(None),
            (Op::Release | Op::LateRelease, _) | (Op::Repeat, "repeat of a release") => Said::Released,
            _ => Said::Succeeded,
        };
        let refused = [Op::Repeat, Op::LateSuccess, Op::LateRelease, Op::Invent, Op::OtherSession, Op::OtherKey];
        let mut items = vec![(step.slot, aim.lease_no); if step.op == Op::SucceedTwice { 2 } else { 1 }];
        for slot in ops::slots(None).filter(|&slot| slot != step.slot && refused.contains(&step.op)) {
            let lease = leases(&self.m, step.op, slot).into_iter().find(|l| (l.0, l.1) == (aim.row, aim.session));
            items.extend(lease.map(|(_, _, lease_no)| (slot, lease_no)));
        }
        let sent: Vec<Value> = items.iter().map(|(slot, lease)| self.item(step.op, *slot, *lease, said)).collect();
        let path = if said == Said::Released { "/jobs/release" } else { "/jobs/complete" };
        let key = if step.op == Op::OtherKey { self.other_key(aim.session) } else { self.key(aim.session) };
        let body = json!({ "worker": self.m.sessions[aim.session].id, "items": sent });
        let answer = self.call(key, path, body).await;
        let body = answer.json();
        let told: Vec<(String, Value)> =
            body["items"].as_array().into_iter().flatten().map(|i| (item_class(i), i["state"].clone())).collect();
        let expected: Vec<(String, Value)> =
            items.iter().map(|(slot, lease)| self.judge(step.op, aim.session, *slot, *lease, said)).collect();
        if step.op == Op::SucceedTwice {
            let classes: Vec<&str> = told.iter().map(|(class, _)| class.as_str()).collect();
            self.hit(aim.row, was[step.slot], &classes.join(", "))?;
        } else {
            for ((slot, _), (class, _)) in items.iter().zip(&told) {
                self.hit(aim.row, was[*slot], class)?;
            }
        }
        same("a completion", told, expected)
    }

    fn item(&self, op: Op, slot: usize, lease_no: i64, said: Said) -> Value {
        let mut item = json!({ "id": self.id(self.m.newest(slot)), "lease_no": lease_no });
        item["outcome"] = match said {
            Said::Succeeded => json!("succeeded"),
            Said::Rejected => json!("rejected"),
            Said::Retry(_) => json!("retry"),
            Said::Released => return item,
        };
        match said {
            Said::Succeeded if op != Op::SucceedEmpty => item["result"] = json!({ "fields": { "lease": lease_no } }),
            Said::Retry(Some(pause)) => item["retry_after_s"] = json!(if pause { 3600 } else { 0 }),
            _ => {}
        }
        item
    }

    /// What the model says to one item.
    fn judge(&mut self, op: Op, session: usize, slot: usize, lease_no: i64, said: Said) -> (String, Value) {
        if op != Op::OtherKey {
            self.m.touch(session);
        }
        if op == Op::SucceedEmpty {
            return ("422 invalid_result".to_owned(), Value::Null);
        }
        let job = self.m.newest(slot).filter(|_| op != Op::OtherKey);
        match job.and_then(|job| self.m.settle(job, session, lease_no, said)) {
            Some((state, true)) => ("200 repeat".to_owned(), json!(state)),
            Some((state, false)) => (format!("200 {state}"), json!(state)),
            None => ("409 stale_lease".to_owned(), Value::Null),
        }
    }

    /// A beat that lists every slot's newest job, held or not, with its present lease or, of one, another.
    pub async fn beat(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.states();
        let lease = |slot: usize| match self.m.newest(slot) {
            Some(_) if slot == step.slot && step.op == Op::BeatEarlier => aim.lease_no,
            job => job.map_or(1, |job| self.m.jobs[job].lease_no),
        };
        let listed: Vec<(Uuid, i64)> =
            ops::slots(None).map(|slot| (self.id(self.m.newest(slot)), lease(slot))).collect();
        let key = if step.op == Op::BeatForeign { self.other_key(aim.session) } else { self.key(aim.session) };
        let answer = self.send_beat(key, aim.session, listed.clone()).await;
        let body = answer.json();
        let gone = matches!(step.op, Op::BeatGone | Op::BeatForeign);
        if !gone {
            self.m.touch(aim.session);
        }
        for slot in ops::slots(None) {
            let job = self.m.newest(slot).map(|job| &self.m.jobs[job]);
            let (mine, running) =
                job.map_or((false, false), |job| (job.session == Some(aim.session), job.state.running()));
            let stopped = |stop: &Vec<Value>| if stop.contains(&json!(listed[slot].0)) { "stop" } else { "kept" };
            let told =
                body["stop"].as_array().map(stopped).map_or_else(|| class(&answer, |_| String::new()), str::to_owned);
            let (row, expected) = match step.op {
                _ if gone => (aim.row, "410 unknown_worker"),
                Op::BeatEarlier if slot == step.slot => (aim.row, "stop"),
                _ if running && mine => ("beat listing it", "kept"),
                _ if running => ("beat by another session", "stop"),
                _ => ("beat listing it", "stop"),
            };
            if !gone || was[slot] != State::Absent {
                self.hit(row, was[slot], &told)?;
            }
            same("a beat", told.as_str(), expected)?;
        }
        Ok(())
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
