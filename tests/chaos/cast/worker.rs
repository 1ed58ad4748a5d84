//! A microservice: claims, beats, completes; mostly well, sometimes not, and now and then told to misbehave.

mod misbehave;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::api::{Api, Body};
use super::part::Role;
use super::session::{Gone, Session, beat, lock, orders, settle};
use crate::judge::ledger::{Fact, Ledger};
use crate::setting;

/// How long it waits for an answer that does not itself wait.
const WAIT: Duration = Duration::from_secs(6);
/// How long it waits for jobs, when it does, in seconds.
const CLAIM_WAIT_S: f64 = 8.0;
/// A claimed job: its id and `lease_no`.
type Lease = (String, i64);

struct Worker {
    name: String,
    model: String,
    lease_s: f64,
    api: Api,
    ledger: Ledger,
    dice: StdRng,
    now: Arc<Mutex<Session>>,
}

pub async fn main() -> anyhow::Result<()> {
    let role = Role::of_this_process()?;
    let lease_s = setting("CHAOS_LEASE_S", 2.0)?;
    let model = setting("CHAOS_MODEL", String::new())?;
    let now = Arc::new(Mutex::new(Session::default()));
    // Beats go their own way: a claim that hangs must not hold them up.
    let beats = role.api.with_token(setting("CHAOS_TOKEN", String::new())?);
    tokio::spawn(beat(beats, Arc::clone(&now), lease_s));
    let dice = StdRng::seed_from_u64(role.seed ^ u64::from(std::process::id()));
    let mut worker = Worker { name: role.name, model, lease_s, api: role.api, ledger: role.ledger, dice, now };
    let mut orders = orders();
    loop {
        worker.register().await?;
        worker.work(&mut orders).await?;
    }
}

impl Worker {
    async fn register(&mut self) -> anyhow::Result<()> {
        let body = json!({
            "service": "predict", "model": self.model, "version": "v1", "instance": Uuid::new_v4(), "batch_max": 100,
            "host": self.name
        });
        let (status, answer) = self.api.post("/workers/register", body, WAIT).await;
        anyhow::ensure!(matches!(status, 200 | 201), "register answered {status}: {answer}");
        let id = Uuid::parse_str(answer["worker"].as_str().unwrap_or_default())?;
        *lock(&self.now) = Session { id, ..Session::default() };
        Ok(())
    }

    /// Works until the session is over.
    async fn work(&mut self, orders: &mut mpsc::UnboundedReceiver<String>) -> anyhow::Result<()> {
        let mut jobs = Vec::new();
        loop {
            let done = match orders.try_recv().as_deref() {
                Ok("hoard") => self.hoard(&jobs).await?,
                Ok("dawdle") => self.dawdle().await?,
                Ok("replay") => self.replay_against_release(&mut jobs).await?,
                _ => Ok(()),
            };
            if done.is_err() || lock(&self.now).over {
                return Ok(());
            }
            if jobs.is_empty() {
                let wait_s = if self.dice.random_bool(0.4) { 0.0 } else { CLAIM_WAIT_S };
                let max = self.dice.random_range(20..=100);
                match self.claim(Uuid::new_v4(), max, wait_s).await? {
                    Ok(claimed) => jobs = claimed,
                    Err(Gone) => return Ok(()),
                }
            }
            if jobs.is_empty() {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
            let most_ms = if self.dice.random_bool(0.05) { 300 } else { 40 };
            tokio::time::sleep(Duration::from_millis(self.dice.random_range(0..most_ms))).await;
            jobs = self.finish(std::mem::take(&mut jobs)).await?;
        }
    }

    async fn claim(&mut self, claim_id: Uuid, max: usize, wait_s: f64) -> anyhow::Result<Result<Vec<Lease>, Gone>> {
        let session = lock(&self.now).id;
        let body = json!({ "worker": session, "claim_id": claim_id, "max": max, "wait_s": wait_s });
        let wait = WAIT + Duration::from_secs_f64(wait_s);
        let asked = self.api.until_answered_by(Method::POST, "/jobs/claim", &Body::Json(body), wait).await;
        let ((status, answer), by, took) = asked;
        if status == 410 {
            return Ok(Err(Gone));
        }
        anyhow::ensure!(status == 200, "claim answered {status}: {answer}");
        let took_s = took.as_secs_f64();
        // A waiting claim measures the producers, not the service.
        self.ledger.note(&match wait_s {
            0.0 => Fact { what: "latency", number: Some(took_s * 1e3), ..Fact::default() },
            _ => Fact {
                what: "waited",
                outcome: Some(&self.model),
                state: Some(by),
                number: Some(took_s),
                ..Fact::default()
            },
        });
        let claimed = self.take_up(session, &answer);
        self.ledger.retried(self.api.take_retried());
        self.ledger.commit()?;
        Ok(Ok(claimed))
    }

    /// Notes the jobs of an answer as held.
    fn take_up(&mut self, session: Uuid, answer: &Value) -> Vec<Lease> {
        let mut claimed = Vec::new();
        for job in answer["jobs"].as_array().into_iter().flatten() {
            let (id, lease_no) = (job["id"].as_str().unwrap_or_default(), job["lease_no"].as_i64().unwrap_or(-1));
            lock(&self.now).held.insert(id.to_owned(), lease_no);
            let (lease, session) = (Some(lease_no), Some(session));
            self.ledger.note(&Fact { what: "claimed", job: Some(id), lease_no: lease, session, ..Fact::default() });
            claimed.push((id.to_owned(), lease_no));
        }
        claimed
    }

    /// Completes and releases; answers what it claimed on the way.
    async fn finish(&mut self, jobs: Vec<Lease>) -> anyhow::Result<Vec<Lease>> {
        let session = lock(&self.now).id;
        let stopped = std::mem::take(&mut lock(&self.now).stopped);
        let (mut released, mut items) = (Vec::new(), Vec::new());
        for (id, lease_no) in jobs {
            // Half of what it was told to stop it sends all the same: that must change nothing.
            if stopped.contains(&id) && self.dice.random_bool(0.5) {
                lock(&self.now).held.remove(&id);
            } else if self.dice.random_bool(0.03) {
                released.push(json!({ "id": id, "lease_no": lease_no }));
            } else {
                items.push(self.outcome(session, &id, lease_no));
            }
        }
        if !released.is_empty() {
            self.release(session, released).await?;
        }
        let mut body = json!({ "worker": session, "items": items });
        if self.dice.random_bool(0.3) {
            body["claim"] = json!({ "claim_id": Uuid::new_v4(), "max": self.dice.random_range(20..=100) });
        }
        let claimed = self.complete(session, &body).await?;
        if self.dice.random_bool(0.05) {
            body["claim"] = Value::Null;
            self.complete(session, &body).await?;
        }
        Ok(claimed)
    }

    fn outcome(&mut self, session: Uuid, id: &str, lease_no: i64) -> Value {
        let error = json!({ "type": "ChaosError", "message": "as ordered" });
        match self.dice.random_range(0..100) {
            0..5 => {
                let retry_after_s = self.dice.random_range(0.0..1.0);
                json!({"id": id, "lease_no": lease_no, "outcome": "retry", "retry_after_s": retry_after_s, "error": error})
            }
            5..7 => json!({"id": id, "lease_no": lease_no, "outcome": "rejected", "error": error}),
            _ => self.success(session, id, lease_no),
        }
    }

    fn success(&self, session: Uuid, id: &str, lease_no: i64) -> Value {
        let fields = json!({ "by": session, "lease": lease_no, "nonce": Uuid::new_v4() });
        json!({"id": id, "lease_no": lease_no, "outcome": "succeeded", "duration_s": 0.01, "result": { "fields": fields }})
    }

    async fn complete(&mut self, session: Uuid, body: &Value) -> anyhow::Result<Vec<Lease>> {
        let (status, answer) = self.api.post("/jobs/complete", body.clone(), WAIT).await;
        anyhow::ensure!(status == 200, "complete answered {status}: {answer}");
        settle(&mut self.ledger, &self.now, session, &body["items"], &answer);
        let claimed = self.take_up(session, &answer["claimed"]);
        self.ledger.commit()?;
        Ok(claimed)
    }

    async fn release(&mut self, session: Uuid, items: Vec<Value>) -> anyhow::Result<()> {
        let items = Value::from(items);
        let body = json!({ "worker": session, "items": items });
        let (status, answer) = self.api.post("/jobs/release", body, WAIT).await;
        anyhow::ensure!(status == 200, "release answered {status}: {answer}");
        settle(&mut self.ledger, &self.now, session, &items, &answer);
        self.ledger.commit()
    }
}
