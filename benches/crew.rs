//! The whole life of jobs over HTTP: submitters send stored images for every model, workers claim and complete. They
//! are separate clients on connections of their own; none waits for what another would submit, so any number runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use axum::http::HeaderValue;
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::installation::{DOCUMENT, Installation, MODELS, Server, md5};
use crate::ledger::Ledger;
use crate::sample::Done;
use crate::wire::{JSON, Wire};

/// A worker that finds nothing waits so long at a time.
const CLAIM_WAIT_S: u32 = 20;
/// A run that takes longer is broken: jobs never came.
const RUN_WAIT: Duration = Duration::from_secs(90);

/// How the work is cut.
#[derive(Clone, Copy)]
pub struct Load {
    pub submitters: usize,
    pub workers: usize,
    /// Submissions, shared by the submitters.
    pub submissions: usize,
    /// Images in one submission, each for every model.
    pub images: usize,
    /// Jobs in one claim and completion.
    pub claim: usize,
}

impl Load {
    pub const fn jobs(&self) -> usize {
        self.submissions * self.images * MODELS.len()
    }

    /// Bodies of submissions of as many new images as this load takes.
    pub async fn of_new_images(&self, on: &Installation) -> anyhow::Result<Vec<String>> {
        let images = on.add_images(self.submissions * self.images).await?;
        Ok(self.of_images(&images, false))
    }

    /// Bodies of submissions of these images.
    pub fn of_images(&self, images: &[i64], rerun: bool) -> Vec<String> {
        let body = |images: &[i64]| {
            let images: Vec<String> = images.iter().copied().map(md5).collect();
            json!({ "images": images, "models": MODELS, "rerun": rerun }).to_string()
        };
        images.chunks(self.images).map(body).collect()
    }
}

/// Clients that are connected, the workers among them registered.
pub struct Crew {
    submitters: Vec<Wire>,
    workers: Vec<Worker>,
    user: HeaderValue,
    key: HeaderValue,
    /// Where each session was registered.
    sessions: Vec<(String, Uuid)>,
    ledger: Arc<Ledger>,
}

impl Crew {
    /// Connects to these servers of one installation, in turn. Workers are spread over the models and the servers.
    pub async fn assemble(on: &Installation, servers: &[&Server], load: Load) -> anyhow::Result<Self> {
        let (mut submitters, mut workers, mut sessions) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..load.submitters {
            submitters.push(Wire::open(&servers[number % servers.len()].address).await?);
        }
        for number in 0..load.workers {
            let address = &servers[number % servers.len()].address;
            let model = MODELS[(number / servers.len()) % MODELS.len()];
            let mut wire = Wire::open(address).await?;
            let session = register(&mut wire, &on.key, model).await?;
            sessions.push((address.clone(), session));
            workers.push(Worker { wire, key: on.key.clone(), session, model, claim: load.claim });
        }
        let (user, key, ledger) = (on.user.clone(), on.key.clone(), on.ledger.clone());
        Ok(Self { submitters, workers, user, key, sessions, ledger })
    }

    /// Sends these submissions while the workers work, until all are answered and so many jobs are completed.
    pub async fn run(&mut self, bodies: Vec<String>, jobs: usize) -> anyhow::Result<Done> {
        let goal = Arc::new(Goal::new(bodies.len() + jobs));
        let (mut clients, refused) = (JoinSet::new(), Arc::new(AtomicUsize::new(0)));
        let bodies = Arc::new(std::sync::Mutex::new(bodies.into_iter().rev().collect::<Vec<_>>()));
        let started = Instant::now();
        for mut wire in self.submitters.drain(..) {
            let (goal, bodies, refused, user) = (goal.clone(), bodies.clone(), refused.clone(), self.user.clone());
            clients.spawn(async move {
                let next = || bodies.lock().map_or(None, |mut bodies| bodies.pop());
                while let Some(body) = next() {
                    let (_, later) = wire.insist("/predict", &user, JSON, body.into()).await?;
                    refused.fetch_add(later, Ordering::Relaxed);
                    goal.reached(1);
                }
                anyhow::Ok(())
            });
        }
        for worker in self.workers.drain(..) {
            clients.spawn(worker.work(goal.clone(), self.ledger.clone()));
        }
        let deadline = tokio::time::sleep(RUN_WAIT);
        tokio::pin!(deadline);
        loop {
            tokio::select! {
                () = goal.is_reached() => break,
                () = &mut deadline => anyhow::bail!("{} jobs or answers never came", goal.left()),
                Some(ended) = clients.join_next() => ended??,
            }
        }
        let took = started.elapsed();
        // Gone before the books are closed: else one of them might begin to wait after, and be thought to until the next run ends.
        clients.shutdown().await;
        self.ledger.close();
        if refused.load(Ordering::Relaxed) > 0 {
            println!("    submitters were told \"later\" {} times", refused.load(Ordering::Relaxed));
        }
        Ok(Done { jobs, took })
    }

    /// Takes the sessions back, which would count as live workers for as long as their leases.
    pub async fn leave(self) -> anyhow::Result<()> {
        for (address, session) in &self.sessions {
            Wire::open(address).await?.delete(&format!("/workers/{session}"), &self.key).await?;
        }
        Ok(())
    }
}

/// What a run ends by.
struct Goal {
    left: AtomicI64,
    reached: Notify,
}

impl Goal {
    fn new(steps: usize) -> Self {
        Self { left: AtomicI64::new(i64::try_from(steps).unwrap_or(i64::MAX)), reached: Notify::new() }
    }

    fn reached(&self, steps: usize) {
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        if self.left.fetch_sub(steps, Ordering::AcqRel) <= steps {
            // Keeps for whoever asks later.
            self.reached.notify_one();
        }
    }

    async fn is_reached(&self) {
        self.reached.notified().await;
    }

    fn left(&self) -> i64 {
        self.left.load(Ordering::Acquire)
    }
}

/// Registers a worker of a model; answers its session.
pub async fn register(wire: &mut Wire, key: &HeaderValue, model: &str) -> anyhow::Result<Uuid> {
    let body =
        json!({ "service": "predict", "model": model, "version": "v1", "instance": Uuid::new_v4(), "batch_max": 1000 });
    let answer = wire.post("/workers/register", key, body.to_string()).await?;
    let session = serde_json::from_slice::<serde_json::Value>(&answer)?["worker"].as_str().map(str::parse);
    Ok(session.context("a registration without a session")??)
}

/// A claim of at most so many jobs, by a session that waits so long.
pub fn claim_body(session: Uuid, max: usize, wait_s: u32) -> String {
    format!(r#"{{"worker":"{session}","claim_id":"{}","max":{max},"wait_s":{wait_s}}}"#, Uuid::new_v4())
}

struct Worker {
    wire: Wire,
    key: HeaderValue,
    session: Uuid,
    model: &'static str,
    claim: usize,
}

/// What a claim answered.
#[derive(Deserialize)]
pub struct Claimed {
    pub jobs: Vec<Job>,
}

#[derive(Deserialize)]
pub struct Job {
    pub id: Uuid,
    pub lease_no: i64,
}

#[derive(Deserialize)]
struct Completed {
    items: Vec<Item>,
    claimed: Claimed,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
}

impl Worker {
    /// Works until it is dropped.
    async fn work(mut self, goal: Arc<Goal>, ledger: Arc<Ledger>) -> anyhow::Result<()> {
        let mut held = Vec::new();
        loop {
            if held.is_empty() {
                let waiting = ledger.wait(self.model);
                let body = claim_body(self.session, self.claim, CLAIM_WAIT_S);
                let answer = self.wire.post("/jobs/claim", &self.key, body).await?;
                ledger.answered(waiting);
                held = serde_json::from_slice::<Claimed>(&answer)?.jobs;
            } else {
                let count = held.len();
                held = self.complete(held).await?;
                goal.reached(count);
            }
        }
    }

    /// Completes what is held and claims more in the same trip, not waiting.
    async fn complete(&mut self, held: Vec<Job>) -> anyhow::Result<Vec<Job>> {
        let item = |Job { id, lease_no }: &Job| {
            format!(
                r#"{{"id":"{id}","lease_no":{lease_no},"outcome":"succeeded","duration_s":0.1,"result":{DOCUMENT}}}"#
            )
        };
        let (session, items) = (self.session, held.iter().map(item).collect::<Vec<_>>().join(","));
        let claim = format!(r#"{{"claim_id":"{}","max":{}}}"#, Uuid::new_v4(), self.claim);
        let body = format!(r#"{{"worker":"{session}","items":[{items}],"claim":{claim}}}"#);
        let answer = self.wire.post("/jobs/complete", &self.key, body).await?;
        let done: Completed = serde_json::from_slice(&answer)?;
        anyhow::ensure!(done.items.iter().all(|item| item.status == 200), "a completion was refused");
        Ok(done.claimed.jobs)
    }
}
