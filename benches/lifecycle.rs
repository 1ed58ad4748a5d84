//! The whole life of jobs over HTTP: stored images are submitted to every model, workers claim and complete.

use std::time::{Duration, Instant};

use axum::http::HeaderValue;
use futures_util::future::try_join_all;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use crate::site::{Installation, MODELS, Server, md5};
use crate::wire::Wire;

/// What a model says of an image: the same for every job, here and in raw SQL.
pub const DOCUMENT: &str =
    r#"{"items":[{"type":"box","box":[0.35,0.14,0.53,0.33],"label":"face"}],"fields":{"faces":1},"summary":"1 face"}"#;
/// A worker whose jobs are taken by another waits for the next submission, not for ever.
const CLAIM_WAIT_S: u32 = 20;

/// How the work is cut.
#[derive(Clone, Copy)]
pub struct Load {
    /// Clients; each submits, claims and completes on a connection of its own. A multiple of the models.
    pub clients: usize,
    /// Images in one submission, each for every model.
    pub images: usize,
    /// Jobs in one claim and completion.
    pub claim: usize,
    /// Submissions of each client.
    pub rounds: usize,
}

impl Load {
    pub const fn jobs(&self) -> usize {
        self.clients * self.rounds * self.images * MODELS.len()
    }
}

/// Runs a load against these servers of one installation, clients in turn on each; answers jobs per second.
pub async fn run(on: &Installation, servers: &[&Server], load: Load) -> anyhow::Result<f64> {
    let images = on.add_images((load.clients * load.rounds * load.images) as i64).await?;
    let mut clients = Vec::new();
    for (number, ids) in images.collect::<Vec<_>>().chunks(load.rounds * load.images).enumerate() {
        let server = servers[number % servers.len()];
        let submissions = ids.chunks(load.images).map(submission).collect();
        // Clients of one model are spread over the servers.
        let model = MODELS[(number / servers.len()) % MODELS.len()];
        clients.push(Client::connect(on, server, model, submissions).await?);
    }
    let started = Instant::now();
    try_join_all(clients.into_iter().map(|client| tokio::spawn(client.work(load))))
        .await?
        .into_iter()
        .collect::<anyhow::Result<()>>()?;
    Ok(load.jobs() as f64 / started.elapsed().as_secs_f64())
}

fn submission(images: &[i64]) -> String {
    json!({ "images": images.iter().map(|i| md5(*i)).collect::<Vec<_>>(), "models": MODELS }).to_string()
}

/// Registers a worker of a model; answers its session.
pub async fn register(wire: &mut Wire, key: &HeaderValue, model: &str) -> anyhow::Result<Uuid> {
    let body = json!({ "service": "predict", "model": model, "version": "v1", "instance": Uuid::new_v4() });
    let answer = wire.post("/workers/register", key, body.to_string()).await?;
    Ok(serde_json::from_slice::<serde_json::Value>(&answer)?["worker"].as_str().unwrap_or_default().parse()?)
}

struct Client {
    wire: Wire,
    user: HeaderValue,
    key: HeaderValue,
    worker: Uuid,
    submissions: Vec<String>,
}

#[derive(Deserialize)]
struct Claimed {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
struct Job {
    id: Uuid,
    lease_no: i64,
}

#[derive(Deserialize)]
struct Completed {
    items: Vec<Item>,
    claimed: Option<Claimed>,
}

#[derive(Deserialize)]
struct Item {
    status: u16,
}

impl Client {
    async fn connect(
        on: &Installation,
        server: &Server,
        model: &str,
        submissions: Vec<String>,
    ) -> anyhow::Result<Self> {
        let mut wire = Wire::open(&server.address).await?;
        let worker = register(&mut wire, &on.key, model).await?;
        Ok(Self { wire, user: on.user.clone(), key: on.key.clone(), worker, submissions })
    }

    async fn work(mut self, load: Load) -> anyhow::Result<()> {
        let share = load.images * MODELS.len();
        for submission in std::mem::take(&mut self.submissions) {
            self.wire.post("/predict", &self.user, submission).await?;
            let mut held = self.claim(load.claim.min(share)).await?;
            let mut left = share - held.len();
            while !held.is_empty() {
                held = self.complete(held, load.claim.min(left)).await?;
                if held.is_empty() && left > 0 {
                    held = self.claim(load.claim.min(left)).await?;
                }
                left -= held.len();
            }
            anyhow::ensure!(left == 0, "{left} jobs never came");
        }
        // A session left behind would count as a live worker for as long as its lease.
        let path = format!("/workers/{}", self.worker);
        self.wire.call(axum::http::Method::DELETE, &path, Some(&self.key), None, Default::default()).await?;
        Ok(())
    }

    async fn claim(&mut self, max: usize) -> anyhow::Result<Vec<Job>> {
        let until = Instant::now() + Duration::from_secs(CLAIM_WAIT_S.into());
        loop {
            let body = format!(
                r#"{{"worker":"{}","claim_id":"{}","max":{max},"wait_s":{CLAIM_WAIT_S}}}"#,
                self.worker,
                Uuid::new_v4()
            );
            let answer = self.wire.post("/jobs/claim", &self.key, body).await?;
            let jobs = serde_json::from_slice::<Claimed>(&answer)?.jobs;
            if !jobs.is_empty() || Instant::now() > until {
                return Ok(jobs);
            }
        }
    }

    /// Completes what is held and claims at most `next` more.
    async fn complete(&mut self, held: Vec<Job>, next: usize) -> anyhow::Result<Vec<Job>> {
        let items: Vec<String> = held
            .iter()
            .map(|job| {
                let (id, lease_no) = (job.id, job.lease_no);
                format!(r#"{{"id":"{id}","lease_no":{lease_no},"outcome":"succeeded","duration_s":0.1,"result":{DOCUMENT}}}"#)
            })
            .collect();
        let claim = match next {
            0 => "null".to_owned(),
            _ => format!(r#"{{"claim_id":"{}","max":{next}}}"#, Uuid::new_v4()),
        };
        let body = format!(r#"{{"worker":"{}","items":[{}],"claim":{claim}}}"#, self.worker, items.join(","));
        let answer = self.wire.post("/jobs/complete", &self.key, body).await?;
        let done: Completed = serde_json::from_slice(&answer)?;
        anyhow::ensure!(done.items.iter().all(|item| item.status == 200), "a completion was refused");
        Ok(done.claimed.map_or_else(Vec::new, |claimed| claimed.jobs))
    }
}
