//! A watcher: looks at a few images through every replica all the while. What has ended may not be shown as under way.
//!
//! While Redis is out of one replica's reach, or of all, what that replica could not mirror may still be shown in its
//! old state, as long as a mirrored state that is not final lives. Such looks are counted; later ones are differences.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::cast::api::{Body, photo_form};
use crate::cast::producer::own_images;
use crate::site::{MODELS, REPLICAS, Site};

/// How many images it looks at, all at once.
const IMAGES: u64 = 30;
/// How often it has the models run again on one of them: each rests for longer than [`MIRROR_LAG`].
const AGAIN: Duration = Duration::from_millis(1_000);
const WAIT: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_millis(100);
/// How long a mirrored state that is not final lives, and a look takes.
pub const MIRROR_LAG: Duration = Duration::from_secs(15 + 1);

/// The images that are watched.
fn images(site: &Site) -> Vec<(String, Vec<u8>)> {
    own_images(!site.settings.seed, IMAGES)
}

/// Has the models run again on all that is watched, through one replica.
pub async fn stir(site: &Site, at: usize) -> anyhow::Result<()> {
    again(site, at, &images(site).iter().map(|(md5, _)| md5.as_str()).collect::<Vec<_>>()).await
}

async fn again(site: &Site, at: usize, md5s: &[&str]) -> anyhow::Result<()> {
    let body = Body::Json(json!({ "images": md5s, "models": MODELS, "rerun": true }));
    if let Ok((202, answer)) = site.api.ask(at, Method::POST, "/predict", &body, WAIT).await {
        site.ledger.lock().await.accepted(&answer)?;
    }
    Ok(())
}

pub async fn run(site: Arc<Site>) -> anyhow::Result<()> {
    let images = images(&site);
    let form = Body::Form(photo_form(&MODELS.join(","), images.iter().map(|(_, bytes)| bytes)));
    let (_, first) = site.api.until_answered(Method::POST, "/predict", &form, WAIT).await;
    site.ledger.lock().await.accepted(&first)?;
    let md5s: Vec<&str> = images.iter().map(|(md5, _)| md5.as_str()).collect();
    let all = Body::Json(json!({ "images": md5s, "results": true }));
    let (mut ended, mut last, mut next) = (HashMap::new(), Instant::now(), md5s.iter().cycle());
    for at in (0..REPLICAS).cycle() {
        let asked = Instant::now();
        if let Ok((200, shown)) = site.api.ask(at, Method::POST, "/predict/status", &all, WAIT).await {
            site.count_watched();
            let live = compare(&site, &mut ended, at, &shown);
            // What cannot be asked now is asked of the next look.
            let _ = tokio::time::timeout(WAIT, ended_long_ago(&site, at, asked, &live)).await;
        }
        if last.elapsed() > AGAIN {
            last = Instant::now();
            again(&site, at, next.next().map(std::slice::from_ref).unwrap_or_default()).await?;
        }
        tokio::time::sleep(REST).await;
    }
    Ok(())
}

/// Notes the jobs that are shown as ended, counts those that had been and now are not, and answers what is shown as
/// under way.
fn compare(site: &Site, ended: &mut HashMap<String, usize>, by: usize, shown: &Value) -> Vec<Uuid> {
    let mut live = Vec::new();
    let items = shown["items"].as_array().into_iter().flatten();
    for job in items.flat_map(|item| item["jobs"].as_object()).flat_map(serde_json::Map::values) {
        let (id, state) = (job["id"].as_str().unwrap_or_default(), job["state"].as_str().unwrap_or_default());
        if !matches!(state, "queued" | "running") {
            ended.insert(id.to_owned(), by);
            continue;
        }
        if let Some(first) = ended.get(id) {
            site.lagged(&format!("replica {by} shows job {id} as {state} after replica {first} showed it as ended"));
        }
        live.extend(Uuid::parse_str(id));
    }
    live
}

/// Of the jobs that were shown as under way, those that had ended before the mirror's lag are differences.
async fn ended_long_ago(site: &Site, by: usize, asked: Instant, live: &[Uuid]) -> anyhow::Result<()> {
    let before = asked.elapsed() + MIRROR_LAG;
    let late: Vec<(Uuid, f64)> = sqlx::query_as(
        "SELECT id, extract(epoch FROM clock_timestamp() - finished_at)::float8 FROM job_archive
         WHERE id = ANY($1) AND finished_at < clock_timestamp() - interval '1 s' * $2",
    )
    .bind(live)
    .bind(before.as_secs_f64())
    .fetch_all(&mut site.sql().await?)
    .await?;
    for (id, age_s) in late {
        site.contradiction(format!("replica {by} shows job {id} as under way, which ended {age_s:.1} s ago"));
    }
    Ok(())
}
