//! A producer: uploads, and runs models again on what it uploaded, as fast as it is told to, and no request twice
//! under two names.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::{Api, Body, photo_form};
use super::part::Role;
use crate::judge::ledger::{Fact, Ledger};
use crate::kit::images::{md5_of, photo};
use crate::{now_s, setting};

/// Images of one upload.
const UPLOADED: usize = 12;
/// Images of one request by hash.
const NAMED: usize = 60;
/// Models run again on so many of the newest images; older ones rest, and what the mirror says of them stays.
const FRESH: usize = 150;
/// Images of one look-up.
const LOOKED_UP: usize = 100;
/// The most jobs that it lets wait.
const OPEN_MAX: i64 = 3_000;
/// All producers are quiet for so many seconds in so many, and then make up for it: meanwhile workers wait, and a job that
/// was forgotten shows.
const QUIET_S: f64 = 5.0;
const QUIET_EVERY_S: f64 = 20.0;
/// How long it waits for an answer before it sends the request again.
const WAIT: Duration = Duration::from_secs(12);

struct Producer {
    api: Api,
    ledger: Ledger,
    models: Vec<String>,
    known: Vec<String>,
    dice: StdRng,
}

pub async fn main() -> anyhow::Result<()> {
    let role = Role::of_this_process()?;
    let per_s: f64 = setting("CHAOS_RATE", 90.0)?;
    let models = setting("CHAOS_MODELS", String::new())?.split(',').map(str::to_owned).collect();
    let dice = StdRng::seed_from_u64(role.seed ^ u64::from(std::process::id()));
    let mut producer = Producer { api: role.api, ledger: role.ledger, models, known: Vec::new(), dice };
    let (start, mut made) = (Instant::now(), 0);
    loop {
        let is_quiet = now_s() % QUIET_EVERY_S < QUIET_S;
        if is_quiet || made as f64 > per_s * start.elapsed().as_secs_f64() || producer.open_jobs().await > OPEN_MAX {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        }
        made += producer.submit().await?;
    }
}

impl Producer {
    async fn open_jobs(&self) -> i64 {
        let (_, queues) = self.api.until_answered(Method::GET, "/queues", &Body::Nothing, WAIT).await;
        queues["items"].as_array().into_iter().flatten().filter_map(|q| q["backlog"].as_i64()).sum()
    }

    /// Makes one submission; answers how many jobs it has.
    async fn submit(&mut self) -> anyhow::Result<usize> {
        let submission = Uuid::new_v4();
        let body = if self.known.len() < 2 * NAMED || self.dice.random_bool(0.15) {
            self.upload(submission)
        } else {
            self.rerun(submission)
        };
        let (status, first) = self.api.until_answered(Method::POST, "/predict", &body, WAIT).await;
        anyhow::ensure!(status == 202, "POST /predict answered {status}: {first}");
        self.ledger.retried(self.api.take_retried());
        let ids = self.ledger.accepted(&first)?;
        let stored = first["images"].as_array().into_iter().flatten().filter_map(|i| i["md5"].as_str());
        if matches!(body, Body::Form(_)) {
            self.known.extend(stored.map(str::to_owned));
        }
        if self.dice.random_bool(0.5) {
            self.look_up().await;
        }
        if self.dice.random_bool(0.05) {
            self.again(&body, &ids).await?;
        }
        if self.dice.random_bool(0.02) {
            self.api.post(&format!("/submissions/{submission}/cancel"), Value::Null, WAIT).await;
        }
        Ok(ids.len())
    }

    /// Sends an answered request once more: it must be answered with the very same jobs.
    async fn again(&mut self, body: &Body, ids: &[String]) -> anyhow::Result<()> {
        let (status, second) = self.api.until_answered(Method::POST, "/predict", body, WAIT).await;
        anyhow::ensure!(status == 202, "POST /predict, repeated, answered {status}: {second}");
        let again: BTreeSet<String> = self.ledger.accepted(&second)?.into_iter().collect();
        let first: BTreeSet<String> = ids.iter().cloned().collect();
        for job in first.symmetric_difference(&again) {
            self.ledger.note(&Fact { what: "changed", job: Some(job), ..Fact::default() });
        }
        self.ledger.commit()
    }

    /// Looks at images old and new, which is what puts them into the mirror.
    async fn look_up(&mut self) {
        let images: Vec<&String> =
            (0..LOOKED_UP).map(|_| &self.known[self.dice.random_range(0..self.known.len())]).collect();
        self.api.post("/predict/status", json!({ "images": images, "results": true }), WAIT).await;
    }

    fn upload(&mut self, submission: Uuid) -> Body {
        let photos = (0..UPLOADED).map(|_| photo(self.dice.random()));
        Body::Form(photo_form(&self.models.join(","), photos).text("submission", &submission.to_string()))
    }

    fn rerun(&mut self, submission: Uuid) -> Body {
        let fresh = self.known.len().saturating_sub(FRESH)..self.known.len();
        let images: BTreeSet<&String> =
            (0..NAMED).map(|_| &self.known[self.dice.random_range(fresh.clone())]).collect();
        let priority = if self.dice.random_bool(0.2) { 1 } else { 0 };
        Body::Json(json!({
            "images": images, "models": self.models, "rerun": true, "submission": submission, "priority": priority
        }))
    }
}

/// The MD5s and bytes of images that nobody else makes.
pub fn own_images(salt: u64, count: u64) -> Vec<(String, Vec<u8>)> {
    (0..count).map(|n| photo(salt.wrapping_add(n))).map(|bytes| (md5_of(&bytes), bytes)).collect()
}
