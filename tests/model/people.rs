//! What people do: submit, cancel, retry, look up.

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};
use uuid::Uuid;

use super::model::{MODELS, Submission, image_of, variant_of};
use super::ops::{Aim, Op, Step};
use super::world::{Check, World, class, same, text};
use crate::support::images::{md5_of, photo};
use crate::support::{Answer, Form};

/// One request for a slot.
struct Ask {
    user: usize,
    slot: usize,
    submission: Uuid,
    rerun: bool,
    later: bool,
}

impl World<'_> {
    pub async fn submit(&mut self, step: Step, aim: Aim) -> Check {
        let slot = step.slot;
        let given = match step.op {
            Op::Resend => self.m.submissions.iter().rfind(|s| Some(s.job) == aim.job && s.slot == slot),
            Op::Intrude => self.m.submissions.iter().rfind(|s| s.user != aim.user),
            _ => None,
        };
        let ask = Ask {
            user: aim.user,
            slot,
            submission: given.map_or_else(Uuid::new_v4, |s| s.id),
            rerun: !matches!(step.op, Op::Submit | Op::SubmitKnown),
            later: step.op == Op::SubmitLater,
        };
        let was = self.m.state(slot);
        let answer = self.send(&ask).await;
        let job = |body: &Value| body["images"][0]["jobs"][0].clone();
        let told = class(&answer, |body| text(&job(body)["outcome"]));
        self.hit(aim.row, was, &told)?;
        if step.op == Op::Intrude {
            return same("another's submission", told.as_str(), "409 submission_conflict");
        }
        let made = job(&answer.json());
        let (outcome, at) = match (step.op, aim.job) {
            (Op::Resend, Some(at)) => (if was.ended() { "finished" } else { "attached" }, at),
            _ => self.m.submit(ask.user, slot, ask.rerun, ask.later),
        };
        let job = &mut self.m.jobs[at];
        if outcome == "created" {
            job.id = Uuid::parse_str(&text(&made["id"])).map_err(|e| format!("{told}: {e}"))?;
        }
        let expected = json!([outcome, job.id, job.state.public()]);
        if step.op != Op::Resend {
            self.m.submissions.push(Submission { id: ask.submission, user: ask.user, slot, job: at });
        }
        same("a submission", json!([made["outcome"], made["id"], made["state"]]), expected)
    }

    /// Uploads an image that the user has no title to; names it by its hash otherwise.
    async fn send(&self, ask: &Ask) -> Answer {
        let image = photo(image_of(ask.slot) as u64);
        let model = MODELS[super::model::model_of(ask.slot)];
        let params = json!({ model: { "variant": variant_of(ask.slot) } });
        let run_at = (Utc::now() + TimeDelta::hours(1)).to_rfc3339();
        if self.m.titles[ask.user][image_of(ask.slot)] {
            let mut body = json!({ "images": [md5_of(&image)], "models": [model], "params": params, "rerun": ask.rerun,
                                   "submission": ask.submission });
            if ask.later {
                body["run_at"] = json!(run_at);
            }
            return self.users[ask.user].post("/predict", body).await;
        }
        let form = Form::default().file("a.png", &image).text("models", model).text("params", &params.to_string());
        let form = form.text("submission", &ask.submission.to_string()).text("rerun", &ask.rerun.to_string());
        let form = if ask.later { form.text("run_at", &run_at) } else { form };
        self.users[ask.user].upload(form).await
    }

    pub async fn cancel(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.m.state(step.slot);
        let admin = step.op == Op::CancelAdmin;
        let client = if admin { &self.admin } else { &self.users[aim.user] };
        let answer = client.post(&format!("/jobs/{}/cancel", self.id(aim.job)), Value::Null).await;
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

    pub async fn look(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.m.state(step.slot);
        let model = MODELS[aim.model];
        let answer = self.users[aim.user].get(&format!("/predict/{}", md5_of(&photo(image_of(step.slot) as u64)))).await;
        let told = class(&answer, |body| text(&body["jobs"][model]["state"]));
        self.hit(aim.row, was, &told)?;
        match aim.job {
            None => same("a look-up", told.as_str(), "404 not_found"),
            Some(job) => {
                let job = &self.m.jobs[job];
                let shown = answer.json()["jobs"][model]["id"].clone();
                same("a look-up", (told, shown), (format!("200 {}", job.state.public()), json!(job.id)))
            }
        }
    }
}
