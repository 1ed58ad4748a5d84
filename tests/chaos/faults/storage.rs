//! Bytes have no room, or are collected while they come again.

use std::time::{Duration, Instant};

use darkroom::maintenance;
use rand::Rng;
use rand::rngs::StdRng;
use reqwest::Method;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::PATIENCE;
use crate::cast::api::{Body, photo_form};
use crate::cast::producer::own_images;
use crate::kit::faults;
use crate::kit::images::photo;
use crate::site::{MODELS, Site};

/// How long either goes on.
const LASTS: Duration = Duration::from_secs(3);
/// What the collector is told: its own age in the server.
const BLOB_AGE: Duration = Duration::from_secs(24 * 3600);

/// Leaves a replica no room for bytes; reached when it says so.
pub async fn fill_disk(site: &Site, at: usize, dice: &mut StdRng) -> anyhow::Result<bool> {
    faults::tell(&site.replicas[at].control, "full")?;
    let start = Instant::now();
    let mut refused = false;
    while start.elapsed() < LASTS {
        let body = Body::Form(photo_form(MODELS[0], [photo(dice.random())]));
        let answer = site.api.ask(at, Method::POST, "/predict", &body, PATIENCE).await;
        refused |= answer.is_ok_and(|(status, _)| status == 507);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    faults::tell(&site.replicas[at].control, "")?;
    Ok(refused)
}

/// Makes every fsync of a replica's photographs take two seconds longer; reached when an upload was taken all the same.
pub async fn slow_down(site: &Site, at: usize, dice: &mut StdRng) -> anyhow::Result<bool> {
    faults::tell(&site.replicas[at].control, "slow")?;
    let body = Body::Form(photo_form(MODELS[0], [photo(dice.random())]));
    let start = Instant::now();
    let answer = site.api.ask(at, Method::POST, "/predict", &body, PATIENCE).await;
    let took = start.elapsed();
    faults::tell(&site.replicas[at].control, "")?;
    let Ok((202, answer)) = answer else { return Ok(false) };
    site.ledger.lock().await.accepted(&answer)?;
    Ok(took > Duration::from_secs(2))
}

/// Uploads the same bytes again and again, beside orphans of the same bytes, while the collector removes those.
pub async fn collect_beside_uploads(site: &Site, dice: &mut StdRng) -> anyhow::Result<bool> {
    let images = own_images(site.settings.seed, 6);
    let body = Body::Form(photo_form(MODELS[0], images.iter().map(|(_, bytes)| bytes)));
    let (start, mut collected, mut uploaded) = (Instant::now(), 0, 0);
    while start.elapsed() < LASTS {
        images.iter().try_for_each(|(_, bytes)| orphan(site, bytes))?;
        let at = dice.random_range(0..site.replicas.len());
        let (removed, answer) = tokio::join!(
            maintenance::collect_blobs(&site.collector.ctx, BLOB_AGE),
            site.api.ask(at, Method::POST, "/predict", &body, PATIENCE)
        );
        collected += removed.unwrap_or(0);
        let Ok((202, answer)) = answer else { continue };
        uploaded += 1;
        site.ledger.lock().await.accepted(&answer)?;
        for (md5, bytes) in &images {
            let path = format!("/images/{md5}/content");
            let read = site.api.bytes(at, Method::GET, &path, &Body::Nothing, PATIENCE).await;
            if let Ok((status @ (200 | 404 | 500), read)) = read
                && (status != 200 || read != *bytes)
            {
                site.contradiction(format!("{path} answered {status} with {} bytes", read.len()));
            }
        }
    }
    Ok(collected > 0 && uploaded > 0)
}

/// Leaves an old blob of these bytes that no image names.
fn orphan(site: &Site, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = site.scratch.join("data/images").join(hex::encode(Sha256::digest(bytes)));
    std::fs::create_dir_all(&folder)?;
    let orphan = std::fs::File::create(folder.join(Uuid::new_v4().to_string()))?;
    orphan.set_modified(std::time::SystemTime::now() - 2 * BLOB_AGE)?;
    Ok(())
}
