//! Exports over HTTP: asked for, looked at, and fetched into a file that may hold the begin already.

use std::time::Duration;

use anyhow::Context;
use reqwest::{Method, Response, StatusCode, header};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, AsyncWriteExt, SeekFrom};
use uuid::Uuid;

use super::error::{ApiError, Repeat};
use super::http::{Api, REQUEST_TIMEOUT, answer};
use super::progress::{Progress, Stage};
use crate::api::exports::{CreateExport, ExportOut};

/// A download that stands still for this long is tried again.
const STALL: Duration = Duration::from_secs(90);
/// How often in a row it may break off without having brought anything.
const VAIN_MAX: u32 = 5;
/// How much is hashed at once, in bytes.
const CHUNK_BYTES: usize = 1024 * 1024;

/// Asks for an export.
///
/// # Errors
/// See [`ApiError`].
pub async fn ask(api: &Api, export: &CreateExport) -> Result<ExportOut, ApiError> {
    api.post(&["exports"], export, Repeat::Never).await
}

/// An export as it is now.
///
/// # Errors
/// See [`ApiError`].
pub async fn look(api: &Api, id: Uuid) -> Result<ExportOut, ApiError> {
    api.get(&["exports", &id.to_string()], &[], REQUEST_TIMEOUT).await
}

/// Fetches what a file does not hold yet of an export, which holds what the server promised when this is well. What breaks off goes on
/// where it was.
///
/// # Errors
/// A refusal, connections that break again and again, a full disk, and bytes with another checksum, of which nothing stays.
pub async fn fetch(api: &Api, export: &ExportOut, file: &mut File, progress: Progress) -> anyhow::Result<()> {
    let (Some(bytes), Some(sha256)) = (export.bytes, &export.sha256) else {
        anyhow::bail!("the export is {}, and has no bytes", export.state.as_str());
    };
    let bytes = bytes.unsigned_abs();
    let stage = progress.download(bytes);
    let (mut there, mut vain) = (file.metadata().await?.len(), 0);
    stage.add(there.min(bytes));
    while there < bytes {
        let begun = begin(api, export.id, sha256, there).await?;
        if begun.status() != StatusCode::PARTIAL_CONTENT {
            there = 0;
            file.set_len(0).await.context("writing the export")?;
        }
        file.seek(SeekFrom::Start(there)).await?;
        let came = receive(begun, file, &stage).await;
        let now = file.metadata().await?.len();
        vain = if now > there { 0 } else { vain + 1 };
        there = now;
        match came {
            Err(Broken::Way(error)) if vain >= VAIN_MAX => return Err(error.into()),
            Err(Broken::Disk(error)) => return Err(error).context("writing the export"),
            Ok(()) | Err(Broken::Way(_)) => {}
        }
    }
    drop(stage);
    let found = hash(file).await.context("reading what was fetched")?;
    if there != bytes || !found.eq_ignore_ascii_case(sha256) {
        file.set_len(0).await?;
        anyhow::bail!(
            "the export came damaged, and was not kept: its SHA-256 is {found}, the server names {sha256}; run this again, and tell the \
             operator if it stays so"
        );
    }
    Ok(file.sync_all().await?)
}

async fn begin(api: &Api, id: Uuid, sha256: &str, there: u64) -> Result<Response, ApiError> {
    let id = id.to_string();
    let path = ["exports", id.as_str(), "content"];
    let attempt = async || {
        let mut request = api.request(Method::GET, &path);
        if there > 0 {
            request = request.header(header::RANGE, format!("bytes={there}-"));
            request = request.header(header::IF_RANGE, format!("\"{sha256}\""));
        }
        match tokio::time::timeout(REQUEST_TIMEOUT, answer(request)).await {
            Ok(answered) => answered,
            Err(_) => Err(ApiError::Stalled(REQUEST_TIMEOUT)),
        }
    };
    api.retrying(Repeat::Harmless, attempt).await
}

/// What broke a download off.
enum Broken {
    Way(ApiError),
    Disk(std::io::Error),
}

async fn receive(mut response: Response, file: &mut File, stage: &Stage) -> Result<(), Broken> {
    let received = async {
        loop {
            let chunk = tokio::time::timeout(STALL, response.chunk()).await;
            let chunk = chunk.map_err(|_| Broken::Way(ApiError::Stalled(STALL)))?;
            let Some(chunk) = chunk.map_err(|error| Broken::Way(ApiError::Transport(error)))? else { return Ok(()) };
            file.write_all(&chunk).await.map_err(Broken::Disk)?;
            stage.add(chunk.len() as u64);
        }
    }
    .await;
    file.flush().await.map_err(Broken::Disk)?;
    received
}

async fn hash(file: &mut File) -> std::io::Result<String> {
    let (mut digest, mut chunk) = (Sha256::new(), vec![0; CHUNK_BYTES]);
    file.seek(SeekFrom::Start(0)).await?;
    loop {
        let count = file.read(&mut chunk).await?;
        if count == 0 {
            return Ok(hex::encode(digest.finalize()));
        }
        digest.update(&chunk[..count]);
    }
}
