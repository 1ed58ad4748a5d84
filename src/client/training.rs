//! Training runs over HTTP: started, looked at, promoted, taken back, and their models fetched.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use uuid::Uuid;

use super::error::{ApiError, Repeat};
use super::http::{Api, REQUEST_TIMEOUT, answer};
use super::progress::{Progress, Stage};
use crate::api::jobs::{JobStateOut, Retried};
use crate::api::training::{DatasetOut, PromotedVersion, RunModelOut, RunOut, RunStartedOut};

/// A download that stands still for this long is given up.
const STALL: Duration = Duration::from_secs(90);

/// A run with all that it measured.
#[derive(Serialize, Deserialize)]
pub struct RunSeen {
    /// The run itself.
    #[serde(flatten)]
    pub run: RunOut,
    /// By attempt and epoch.
    pub metrics: Vec<RunPoint>,
    /// Whether the oldest metrics are left out, being too much for an answer.
    pub older_left_out: bool,
}

/// What was measured after an epoch.
#[derive(Debug, Serialize, Deserialize)]
pub struct RunPoint {
    /// The attempt, from 1.
    pub attempt: i16,
    /// The epoch, as the service counts.
    pub epoch: i32,
    /// Numbers by name.
    pub values: BTreeMap<String, f64>,
}

/// A run to start.
#[derive(Debug, Serialize)]
pub struct RunRequest {
    /// What to train on.
    pub dataset: String,
    /// Makes it safe to ask again.
    pub submission: Uuid,
    /// From −100 to 100, higher is sooner.
    pub priority: i32,
    /// Refuse where no service is live.
    pub require_live: bool,
    /// Everything else, for the service.
    #[serde(flatten)]
    pub params: Map<String, Value>,
}

/// Starts a run; the same submission again answers the same run.
///
/// # Errors
/// See [`ApiError`].
pub async fn start(api: &Api, request: &RunRequest) -> Result<RunStartedOut, ApiError> {
    api.post(&["training", "train"], request, Repeat::Harmless).await
}

/// A run as it is now, or as soon as there is news after revision `after` (within `wait_s` seconds, of which the server takes up to 50).
///
/// # Errors
/// See [`ApiError`].
pub async fn look(api: &Api, id: Uuid, wait_s: u64, after: Option<i32>) -> Result<RunSeen, ApiError> {
    let query = [("wait_s", Some(wait_s.to_string())), ("after", after.map(|after| after.to_string()))];
    let query: Vec<(&str, String)> = query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let timeout = REQUEST_TIMEOUT + Duration::from_secs(wait_s);
    api.get(&["training", "results", &id.to_string()], &query, timeout).await
}

/// Makes the run's model a version of a model; the same again does nothing twice.
///
/// # Errors
/// See [`ApiError`].
pub async fn promote(api: &Api, id: Uuid, model: &str, version: Option<&str>) -> Result<PromotedVersion, ApiError> {
    let body = json!({"model": model, "version": version});
    api.post(&["training", "results", &id.to_string(), "promote"], &body, Repeat::Harmless).await
}

/// Pauses a dataset, or has its runs handed out again.
///
/// # Errors
/// See [`ApiError`].
pub async fn pause(api: &Api, dataset: &str, paused: bool) -> Result<DatasetOut, ApiError> {
    api.patch(&["training", "datasets", dataset], &json!({"paused": paused})).await
}

/// Ends a run that has not ended.
///
/// # Errors
/// See [`ApiError`].
pub async fn cancel(api: &Api, id: Uuid) -> Result<JobStateOut, ApiError> {
    api.post(&["jobs", &id.to_string(), "cancel"], &json!({}), Repeat::Harmless).await
}

/// Makes a new run of one that has ended, from its last checkpoint unless `fresh`.
///
/// # Errors
/// See [`ApiError`].
pub async fn retry(api: &Api, id: Uuid, fresh: bool) -> Result<Retried, ApiError> {
    api.post(&["jobs", &id.to_string(), "retry"], &json!({"fresh": fresh}), Repeat::Never).await
}

/// Fetches the model of a run into a file, which holds what the server promised when this is well.
///
/// # Errors
/// A refusal, a connection that broke or stands still, a full disk, and bytes with another checksum.
pub async fn download(
    api: &Api,
    id: Uuid,
    model: &RunModelOut,
    file: &mut File,
    progress: Progress,
) -> anyhow::Result<()> {
    let path = ["training", "results", &id.to_string(), "model"];
    let begin = async || match tokio::time::timeout(REQUEST_TIMEOUT, answer(api.request(Method::GET, &path))).await {
        Ok(answered) => answered,
        Err(_) => Err(ApiError::Stalled(REQUEST_TIMEOUT)),
    };
    let response = api.retrying(Repeat::Harmless, begin).await?;
    let promised = promised(&response);
    let stage = progress.download(model.bytes.unsigned_abs());
    let found = receive(response, file, &stage).await?;
    drop(stage);
    for expected in [Some(model.sha256.clone()), promised].into_iter().flatten() {
        anyhow::ensure!(
            found.eq_ignore_ascii_case(&expected),
            "the file came damaged, and was not kept: its SHA-256 is {found}, the server names {expected}; try again, and tell \
             the operator if it stays so"
        );
    }
    Ok(())
}

/// The checksum that the answer names (RFC 9530), in hexadecimal digits.
fn promised(response: &Response) -> Option<String> {
    let header = response.headers().get("repr-digest")?.to_str().ok()?;
    let digest = header.split(',').find_map(|one| one.trim().strip_prefix("sha-256=:")?.strip_suffix(':'))?;
    Some(hex::encode(STANDARD.decode(digest).ok()?))
}

/// Writes a body out; answers its SHA-256 in hexadecimal digits.
async fn receive(mut response: Response, file: &mut File, stage: &Stage) -> anyhow::Result<String> {
    let mut digest = Sha256::new();
    loop {
        let chunk = tokio::time::timeout(STALL, response.chunk()).await.map_err(|_| ApiError::Stalled(STALL))?;
        let Some(chunk) = chunk.map_err(ApiError::Transport)? else { break };
        digest.update(&chunk);
        file.write_all(&chunk).await.context("writing the model")?;
        stage.add(chunk.len() as u64);
    }
    file.flush().await.context("writing the model")?;
    file.sync_all().await.context("writing the model")?;
    Ok(hex::encode(digest.finalize()))
}
