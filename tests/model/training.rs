//! What is beside a run's job: how it is started, what its worker writes, and who is given its model. All else is a job's as any
//! other, at most one of which runs at a time.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use uuid::Uuid;

use super::leases::{Lease, last_holder, others};
use super::ops::{Aim, Op, Step};
use super::state::{DATASET, Job, Model, State, Submission, USERS};
use super::world::{Check, World, class, same, text};
use crate::kit::client::{Answer, Client};

/// What a run has measured and saved, under which lease.
#[derive(Debug, Clone, Default)]
pub struct Work {
    /// By attempt and epoch.
    pub metrics: BTreeMap<(i16, i64), (i64, u64)>,
    pub checkpoint: Option<(i64, String)>,
    pub model: Option<(i64, String)>,
}

impl Work {
    /// What a run that tries this one again begins with.
    pub fn handed_on(&self) -> Self {
        Self { checkpoint: self.checkpoint.clone().map(|(_, bytes)| (0, bytes)), ..Self::default() }
    }
}

impl Job {
    /// The model that counts: that of the lease whose completion was taken.
    fn model(&self) -> Option<&str> {
        let (lease_no, bytes) = self.work.model.as_ref()?;
        (self.state == State::Succeeded && self.winner?.1 == *lease_no).then_some(bytes)
    }
}

/// Finds the target of a step that only a run can have.
pub fn aim(m: &Model, step: Step, base: Aim) -> Option<Aim> {
    let Some(at) = base.job else {
        return (step.op == Op::Start).then_some(Aim { row: "run, start", ..base });
    };
    let job = &m.jobs[at];
    let owner = (0..USERS).find(|user| job.asked[*user].is_some());
    let of = |row, user| Some(Aim { row, user, ..base });
    match step.op {
        Op::Start => job.state.ended().then_some(Aim { row: "run, start", ..base }),
        Op::StartAgain => {
            let user = m.starts.iter().find(|start| start.job == at)?.user;
            of("run, same submission again", user)
        }
        Op::Download if job.state.ended() && job.model().is_none() => of("run, download, none uploaded", owner?),
        Op::Download => of("run, download", owner?),
        Op::DownloadForeign => of("run, download by a stranger", 1 - owner?),
        _ => {
            let leases = leases(m, step.op, at);
            let (row, session, lease_no) = *leases.get(step.pick % leases.len().max(1))?;
            Some(Aim { row, session, lease_no, ..base })
        }
    }
}

/// Everything that a worker may write, or fetch, of a run.
fn leases(m: &Model, op: Op, at: usize) -> Vec<Lease> {
    let job = &m.jobs[at];
    let held = |row| -> Vec<Lease> { job.session.map(|session| (row, session, job.lease_no)).into_iter().collect() };
    match op {
        Op::Measure => held("run, metrics"),
        Op::Save => held("run, checkpoint"),
        Op::Deliver => held("run, model"),
        Op::Fetch if job.work.checkpoint.is_none() => held("run, fetch, none saved"),
        Op::Fetch => held("run, fetch the checkpoint"),
        Op::WriteLate => job.past.iter().map(|p| ("run, write of an ended lease", p.session, p.lease_no)).collect(),
        Op::WriteOther => others(m, at, "run, write by another session"),
        Op::WriteForeign => {
            last_holder(m, at).map(|s| ("run, write with another's key", s, job.lease_no)).into_iter().collect()
        }
        _ => Vec::new(),
    }
}

/// A word of a worker about its run.
#[derive(Debug, Clone, Copy)]
enum Word {
    Metrics,
    Checkpoint,
    Model,
    Fetch,
}

impl World<'_> {
    pub async fn start(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.m.state(step.slot);
        let known = self.m.starts.iter().find(|start| Some(start.job) == aim.job && step.op == Op::StartAgain);
        let (submission, known) = known.map_or((Uuid::new_v4(), None), |start| (start.id, Some(start.job)));
        let body = json!({ "dataset": DATASET, "submission": submission, "slot": step.slot });
        let answer = self.users[aim.user].post("/training/train", body).await;
        let told = class(&answer, |body| text(&body["state"]));
        self.hit(aim.row, was, &told)?;
        let id = Uuid::parse_str(&text(&answer.json()["id"])).map_err(|e| format!("{told}: {e}"))?;
        let at = known.unwrap_or_else(|| self.m.enqueue(aim.user, step.slot, false, None).1);
        if known.is_none() {
            self.m.jobs[at].id = id;
            self.m.starts.push(Submission { id: submission, user: aim.user, slot: step.slot, job: at });
        }
        let job = &self.m.jobs[at];
        same("a start", (told, id), (format!("202 {}", job.state.public()), job.id))
    }

    /// Writes, or fetches, under the lease that is held.
    pub async fn write(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.m.state(step.slot);
        let at = aim.job.ok_or("no run")?;
        let word = match step.op {
            Op::Measure => Word::Metrics,
            Op::Save => Word::Checkpoint,
            Op::Deliver => Word::Model,
            _ => Word::Fetch,
        };
        let (mark, epoch) = (self.steps, step.pick as i64 % 3);
        let bytes = format!("{} {mark}", self.m.jobs[at].id);
        let answer = self.say(word, self.key(aim.session), aim, epoch, &bytes).await;
        let job = &mut self.m.jobs[at];
        let (attempt, lease_no) = (job.attempt, job.lease_no);
        match word {
            Word::Metrics => {
                job.work.metrics.insert((attempt, epoch), (lease_no, mark));
            }
            Word::Checkpoint => job.work.checkpoint = Some((lease_no, bytes)),
            Word::Model => job.work.model = Some((lease_no, bytes)),
            Word::Fetch => {
                let expected = job.work.checkpoint.as_ref().map(|(_, bytes)| bytes.as_bytes());
                if let Some(expected) = expected {
                    same("a checkpoint", answer.bytes.as_slice(), expected)?;
                }
            }
        }
        let told = class_of_bytes(&answer);
        self.hit(aim.row, was, &told)?;
        let expected = if aim.row == "run, fetch, none saved" { "404 no_checkpoint" } else { "200" };
        same("a write", told.as_str(), expected)
    }

    /// Says everything under a lease that is not the speaker's: nothing of it may be taken.
    pub async fn write_stale(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.m.state(step.slot);
        let mut told = Vec::new();
        for word in [Word::Metrics, Word::Checkpoint, Word::Model, Word::Fetch] {
            let foreign = step.op == Op::WriteForeign;
            let key = if foreign { self.other_key(aim.session) } else { self.key(aim.session) };
            told.push(class_of_bytes(&self.say(word, key, aim, 0, "stale").await));
        }
        told.dedup();
        let told = told.join(", ");
        self.hit(aim.row, was, &told)?;
        same("a stale write", told.as_str(), "409 stale_lease")
    }

    async fn say(&self, word: Word, key: &Client, aim: Aim, epoch: i64, bytes: &str) -> Answer {
        let run = format!("/training/results/{}", self.id(aim.job));
        let session = self.m.sessions[aim.session].id;
        let lease = format!("worker={session}&lease_no={}", aim.lease_no);
        let put = |path: String| Request::put(path).body(Body::from(bytes.to_owned())).expect("a request");
        match word {
            Word::Metrics => {
                let points = json!([{ "epoch": epoch, "values": { "mark": self.steps } }]);
                let body = json!({ "worker": session, "lease_no": aim.lease_no, "points": points });
                key.post(&format!("{run}/metrics"), body).await
            }
            Word::Checkpoint => key.send(put(format!("{run}/checkpoint?{lease}&epoch={epoch}"))).await,
            Word::Model => key.send(put(format!("{run}/model?{lease}&name=m.bin"))).await,
            Word::Fetch => key.get(&format!("{run}/checkpoint?{lease}")).await,
        }
    }

    pub async fn download(&mut self, step: Step, aim: Aim) -> Check {
        let was = self.m.state(step.slot);
        let path = format!("/training/results/{}/model", self.id(aim.job));
        let answer = self.users[aim.user].call(Method::GET, &path, None).await;
        let told = class_of_bytes(&answer);
        self.hit(aim.row, was, &told)?;
        let model = aim.job.and_then(|job| self.m.jobs[job].model());
        let expected = match (aim.row, model) {
            ("run, download by a stranger", _) => "404 not_found",
            (_, Some(_)) => "200",
            _ if was.ended() => "404 no_model_file",
            _ => "409 run_not_finished",
        };
        same("a download", told.as_str(), expected)?;
        match model.filter(|_| expected == "200") {
            Some(bytes) => same("a model", answer.bytes.as_slice(), bytes.as_bytes()),
            None => Ok(()),
        }
    }

    /// Compares all that runs measured and saved.
    pub async fn compare_runs(&self) -> Check {
        let read = "SELECT job_id, format('%s %s %s %s', attempt, epoch, lease_no, (metrics ->> 'mark')::float8) FROM training_metric
                    UNION ALL
                    SELECT job_id, format('%s %s %s', kind, lease_no, encode(sha256, 'hex')) FROM training_file";
        let rows = sqlx::query_as(read).fetch_all(self.app.ctx.db.pool()).await;
        let mut rows: Vec<(Uuid, String)> = rows.map_err(|e| e.to_string())?;
        let mut expected = Vec::new();
        for Job { id, work, .. } in &self.m.jobs {
            let metrics = work.metrics.iter();
            expected.extend(
                metrics
                    .map(|((attempt, epoch), (lease_no, mark))| (*id, format!("{attempt} {epoch} {lease_no} {mark}"))),
            );
            for (kind, file) in [("checkpoint", &work.checkpoint), ("model", &work.model)] {
                let line = |(lease_no, bytes): &(i64, String)| {
                    (*id, format!("{kind} {lease_no} {}", crate::training::sha256(bytes.as_bytes())))
                };
                expected.extend(file.as_ref().map(line));
            }
        }
        rows.sort();
        expected.sort();
        same("what runs measured and saved", rows, expected)
    }
}

/// The class of an answer that may be no JSON.
fn class_of_bytes(answer: &Answer) -> String {
    if answer.status.is_success() {
        return answer.status.as_u16().to_string();
    }
    class(answer, |_: &Value| String::new())
}
