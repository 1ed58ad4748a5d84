//! What people do: submit, cancel, retry, look up.

use std::collections::BTreeMap;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::ops::{self, Aim, Op, Step};
use super::state::{IMAGES, MODELS, State, Submission, USERS, image_of, is_run, model_of, variant_of};
use super::world::{Check, World, class, same, text};
use crate::kit::client::Answer;
use crate::kit::form::Form;
use crate::kit::images::{md5_of, photo};

/// One request: for one slot, or for all images × models of one params.
struct Ask {
    user: usize,
    slots: Vec<usize>,
    submission: Uuid,
    rerun: bool,
    later: bool,
}

impl World<'_> {
    /// Submits for the slot, and half of the time for everything else that the user may name by its hash.
    pub async fn submit(&mut self, step: Step, aim: Aim) -> Check {
        let known = &self.m.submissions;
        let given = match step.op {
            Op::Resend => known.iter().rfind(|s| Some(s.job) == aim.job && s.slot == step.slot),
            Op::Intrude => known.iter().rfind(|s| s.user != aim.user),
            _ => None,
        };
        let mut ask = Ask {
            user: aim.user,
            slots: self.along(step, aim),
            submission: given.map_or_else(Uuid::new_v4, |s| s.id),
            rerun: !matches!(step.op, Op::Submit | Op::SubmitKnown),
            later: step.op == Op::SubmitLater,
        };
        let repeats = |slot: &usize| {
            let mut same = known.iter().filter(|s| (s.id, s.slot) == (ask.submission, *slot));
            same.any(|s| Some(s.job) == self.m.newest(*slot))
        };
        if step.op == Op::Resend && !ask.slots.iter().all(repeats) {
            ask.slots = vec![step.slot];
        }
        let answer = self.send(&ask).await;
        let was = self.states();
        if step.op == Op::Intrude {
            let told = class(&answer, |_| "taken".to_owned());
            for slot in &ask.slots {
                self.hit(aim.row, was[*slot], &told)?;
            }
            return same("another's submission", told.as_str(), "409 submission_conflict");
        }
        let body = answer.json();
        let images = images(&ask.slots);
        for &slot in &ask.slots {
            let image = images.iter().position(|image| *image == image_of(slot));
            let jobs = body["images"][image.unwrap_or(0)]["jobs"].as_array();
            let made = jobs.into_iter().flatten().find(|job| job["model"] == MODELS[model_of(slot)]);
            self.submitted(step, &ask, slot, &class(&answer, |_| String::new()), made.unwrap_or(&Value::Null))?;
        }
        Ok(())
    }

    /// One slot's part of a submission's answer.
    fn submitted(&mut self, step: Step, ask: &Ask, slot: usize, status: &str, made: &Value) -> Check {
        let was = self.m.state(slot);
        let row = match step.op {
            Op::Resend => "same submission again",
            Op::Rerun => "rerun",
            Op::SubmitLater => "submit for later",
            _ if self.m.result(slot).is_some() => "submit, a result is known",
            _ => "submit",
        };
        self.hit(row, was, &format!("{status}{}", text(&made["outcome"])))?;
        let (outcome, at) = match self.m.newest(slot) {
            Some(at) if step.op == Op::Resend => (if was.ended() { "finished" } else { "attached" }, at),
            _ => self.m.submit(ask.user, slot, ask.rerun, ask.later),
        };
        let job = &mut self.m.jobs[at];
        if outcome == "created" {
            job.id = Uuid::parse_str(&text(&made["id"])).map_err(|e| format!("{made}: {e}"))?;
        }
        let expected = json!([outcome, job.id, job.state.public()]);
        if step.op != Op::Resend {
            self.m.submissions.push(Submission { id: ask.submission, user: ask.user, slot, job: at });
        }
        same("a submission", json!([made["outcome"], made["id"], made["state"]]), expected)
    }

    /// The slots of one request.
    fn along(&self, step: Step, aim: Aim) -> Vec<usize> {
        let titled = |slot: usize| !is_run(slot) && self.m.titles[aim.user][image_of(slot)];
        if step.pick / USERS % 2 == 1 || !titled(step.slot) {
            return vec![step.slot];
        }
        ops::slots(None).filter(|slot| titled(*slot) && variant_of(*slot) == variant_of(step.slot)).collect()
    }

    /// Uploads an image that the user has no title to; names images by their hashes otherwise.
    async fn send(&self, ask: &Ask) -> Answer {
        let mut models: Vec<&str> = ask.slots.iter().map(|slot| MODELS[model_of(*slot)]).collect();
        models.sort_unstable();
        models.dedup();
        let variant = json!({ "variant": variant_of(ask.slots[0]) });
        let params: BTreeMap<&str, &Value> = models.iter().map(|model| (*model, &variant)).collect();
        let run_at = (Utc::now() + TimeDelta::hours(1)).to_rfc3339();
        let client = &self.users[ask.user];
        let image = |image: &usize| photo(*image as u64);
        let images = images(&ask.slots);
        if self.m.titles[ask.user][images[0]] {
            let hashes: Vec<String> = images.iter().map(|i| md5_of(&image(i))).collect();
            let run_at = ask.later.then_some(run_at);
            let body = json!({ "images": hashes, "models": models, "params": params, "rerun": ask.rerun, "run_at": run_at,
                               "submission": ask.submission });
            return client.post("/predict", body).await;
        }
        let form = Form::default().file("a.png", &image(&images[0])).text("models", models[0]);
        let form = form.text("params", &json!(params).to_string()).text("rerun", &ask.rerun.to_string());
        let form = form.text("submission", &ask.submission.to_string());
        client.upload(if ask.later { form.text("run_at", &run_at) } else { form }).await
    }

    pub async fn cancel(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.m.state(step.slot);
        let admin = step.op == Op::CancelAdmin;
        let client = if admin { &self.admin } else { &self.users[aim.user] };
        let answer = self.call(client, &format!("/jobs/{}/cancel", self.id(aim.job)), Value::Null).await;
        let told = class(&answer, |body| text(&body["state"]));
        self.hit(aim.row, was, &told)?;
        let (Some(job), true) = (aim.job, step.op != Op::CancelStranger) else {
            return same("a cancel", told.as_str(), "404 not_found");
        };
        self.m.cancel(job, (!admin).then_some(aim.user));
        same("a cancel", told, format!("200 {}", self.m.jobs[job].state.public()))
    }

    pub async fn retry(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.m.state(step.slot);
        let answer = self.users[aim.user].post(&format!("/jobs/{}/retry", self.id(aim.job)), Value::Null).await;
        let made = Uuid::parse_str(&text(&answer.json()["id"])).ok();
        let known = self.m.jobs.iter().any(|job| Some(job.id) == made);
        let told = class(&answer, |_| if known { "attached" } else { "created" }.to_owned());
        self.hit(aim.row, was, &told)?;
        let (Some(job), true) = (aim.job, step.op != Op::RetryStranger) else {
            return same("a retry", told.as_str(), "404 not_found");
        };
        if self.m.jobs[job].state.live() {
            return same("a retry", told.as_str(), "409 not_ended");
        }
        let (outcome, at) = self.m.enqueue(aim.user, step.slot, false, Some(job));
        if outcome == "created" {
            self.m.jobs[at].id = made.ok_or_else(|| format!("a retry: {told} without an id"))?;
        }
        same("a retry", (told, made), (format!("201 {outcome}"), Some(self.m.jobs[at].id)))
    }

    /// An administrator has what failed, or was cancelled, of a model tried again.
    pub async fn redrive(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.states();
        let state = if step.pick.is_multiple_of(2) { State::Failed } else { State::Cancelled };
        let body = json!({ "model": MODELS[aim.model], "state": state.public(), "dry_run": false });
        let answer = self.admin.post("/jobs/redrive", body).await;
        same("a redrive", answer.status.as_u16(), 200)?;
        let last = self.m.last_words(aim.model, state);
        let mut made: BTreeMap<Uuid, Uuid> = BTreeMap::new();
        for item in answer.json()["items"].as_array().into_iter().flatten() {
            let id = |field: &str| Uuid::parse_str(&text(&item[field])).map_err(|e| format!("{item}: {e}"));
            made.insert(id("retry_of")?, id("id")?);
        }
        let expected: Vec<Uuid> = last.iter().map(|job| self.m.jobs[*job].id).collect();
        let got = expected.iter().filter(|id| made.contains_key(id)).count();
        same("what is tried again", (made.len(), got), (expected.len(), expected.len()))?;
        for slot in ops::slots(Some(aim.model)) {
            let newest = self.m.newest(slot);
            let told = if newest.is_some_and(|job| last.contains(&job)) { "created" } else { "left alone" };
            if told == "created" || !matches!(was[slot], State::Failed | State::Cancelled) {
                self.hit(aim.row, was[slot], told)?;
            }
        }
        // In the order of their ids, as the rows are.
        let mut pairs: Vec<(Uuid, usize)> = last.iter().map(|job| (made[&self.m.jobs[*job].id], *job)).collect();
        pairs.sort();
        for (id, of) in pairs {
            self.m.redrive(of, id);
        }
        Ok(())
    }

    /// Asks about all images at once.
    pub async fn look(&mut self, aim: Aim) -> Check {
        let was = self.states();
        let images: Vec<String> = (0..IMAGES).map(|image| md5_of(&photo(image as u64))).collect();
        let answer = self.users[aim.user].post("/predict/status", json!({ "images": images, "results": false })).await;
        let body = answer.json();
        same("a look-up", answer.status.as_u16(), 200)?;
        for slot in ops::slots(None).filter(|&slot| ops::shows(&self.m, slot, aim.user)).collect::<Vec<_>>() {
            let item = &body["items"][image_of(slot)];
            let shown = &item["jobs"][MODELS[model_of(slot)]];
            let told = match item["problem"]["status"].as_u64() {
                Some(status) => format!("{status} {}", text(&item["problem"]["code"])),
                None => format!("200 {}", text(&shown["state"])),
            };
            self.hit(aim.row, was[slot], &told)?;
            let expected = self.m.newest(slot).map(|job| &self.m.jobs[job]);
            let expected = expected.map_or(json!([null, null]), |job| json!([job.state.public(), job.id]));
            same("a look-up", json!([shown["state"], shown["id"]]), expected)?;
        }
        Ok(())
    }
}

/// The images of slots, each once.
fn images(slots: &[usize]) -> Vec<usize> {
    let mut images: Vec<usize> = slots.iter().map(|slot| image_of(*slot)).collect();
    images.dedup();
    images
}
