//! A researcher: starts runs, follows them, fetches their models, takes some back and has others tried again.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::api::Body;
use crate::judge::ledger::Fact;
use crate::site::{DATASETS, Site};

/// How many runs of a dataset wait at most.
const QUEUED_MAX: usize = 3;
const REST: Duration = Duration::from_millis(300);
const WAIT: Duration = Duration::from_secs(6);

/// One look after another, without end.
pub async fn run(site: Arc<Site>) -> anyhow::Result<()> {
    let mut dice = StdRng::seed_from_u64(site.settings.seed ^ 0x7a1);
    loop {
        for dataset in DATASETS {
            let queued = list(&site, &format!("dataset={dataset}&state=queued")).await;
            if queued.len() < QUEUED_MAX {
                start(&site, dataset, &mut dice).await?;
            } else if dice.random_bool(0.02) {
                site.researcher.post(&format!("/jobs/{}/cancel", id_of(&queued[0])), Value::Null, WAIT).await;
            }
            let running = list(&site, &format!("dataset={dataset}&state=running")).await;
            if running.len() > 1 {
                site.contradiction(format!("{} runs of {dataset} are shown as running", running.len()));
            }
            if dice.random_bool(0.02) && !running.is_empty() {
                site.researcher.post(&format!("/jobs/{}/cancel", id_of(&running[0])), Value::Null, WAIT).await;
            }
        }
        if dice.random_bool(0.1) {
            try_again(&site, &mut dice).await?;
        }
        fetch_some(&site, &mut dice).await;
        tokio::time::sleep(REST).await;
    }
}

fn id_of(run: &Value) -> &str {
    run["id"].as_str().unwrap_or_default()
}

/// Runs, newest first, as any replica shows them now.
async fn list(site: &Site, query: &str) -> Vec<Value> {
    let path = format!("/training/results?limit=20&{query}");
    let (_, page) = site.researcher.until_answered(Method::GET, &path, &Body::Nothing, WAIT).await;
    page["items"].as_array().cloned().unwrap_or_default()
}

/// Starts a run, and now and then the same again: it must be the same.
async fn start(site: &Site, dataset: &str, dice: &mut StdRng) -> anyhow::Result<()> {
    let body = json!({ "dataset": dataset, "submission": Uuid::new_v4(), "epochs": dice.random_range(2..=7),
                       "save": dice.random_bool(0.85) });
    let times = if dice.random_bool(0.1) { 2 } else { 1 };
    let mut first = None;
    for _ in 0..times {
        let (status, answer) = site.researcher.post("/training/train", body.clone(), WAIT).await;
        anyhow::ensure!(status == 202, "POST /training/train answered {status}: {answer}");
        let id = id_of(&answer).to_owned();
        let what = if first.get_or_insert_with(|| id.clone()) == &id { "accepted" } else { "changed" };
        accept(site, &id, what).await?;
    }
    Ok(())
}

async fn accept(site: &Site, run: &str, what: &str) -> anyhow::Result<()> {
    let mut ledger = site.ledger.lock().await;
    ledger.note(&Fact { what, job: Some(run), outcome: Some("run"), ..Fact::default() });
    ledger.commit()
}

/// Has a run that failed, or was cancelled, tried again: it goes on from the last checkpoint of the first.
async fn try_again(site: &Site, dice: &mut StdRng) -> anyhow::Result<()> {
    let state = if dice.random_bool(0.5) { "failed" } else { "cancelled" };
    let ended = list(site, &format!("state={state}")).await;
    let Some(run) = ended.get(dice.random_range(0..20)) else { return Ok(()) };
    let (status, answer) = site.researcher.post(&format!("/jobs/{}/retry", id_of(run)), Value::Null, WAIT).await;
    anyhow::ensure!(status == 201, "retry answered {status}: {answer}");
    accept(site, id_of(&answer), "accepted").await
}

/// Downloads the model of a run through any replica: what comes is what it is said to be.
async fn fetch_some(site: &Site, dice: &mut StdRng) {
    let ended = list(site, "state=succeeded").await;
    let Some(run) = ended.get(dice.random_range(0..20)).filter(|run| run["model"].is_object()) else { return };
    let (path, at) = (run["model"]["url"].as_str().unwrap_or_default(), dice.random_range(0..site.replicas.len()));
    if let Some(wrong) = differs(site, at, path, &run["model"]["sha256"]).await {
        site.contradiction(wrong);
    }
}

/// What is wrong with a model as a replica serves it; nothing if it is whole, or nobody answers.
pub async fn differs(site: &Site, at: usize, path: &str, sha256: &Value) -> Option<String> {
    match site.researcher.bytes(at, Method::GET, path, &Body::Nothing, WAIT).await {
        Ok((200, bytes)) if *sha256 == hex::encode(Sha256::digest(&bytes)) => None,
        Ok((status @ (200 | 404 | 409 | 500), bytes)) => {
            Some(format!("{path} at replica {at} answered {status} with {} bytes in place of {sha256}", bytes.len()))
        }
        _ => None,
    }
}
