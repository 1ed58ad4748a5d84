//! A watcher: looks at a few images through every replica all the while. A job that was shown as ended may not be
//! shown as anything else again.
//!
//! While Redis is out of one replica's reach, or of all, what that replica could not mirror may still be shown in its
//! old state: as long as a mirrored state that is not final lives. Such looks are counted; later ones are differences.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{Body, Form};
use crate::producer::own_images;
use crate::site::{MODELS, REPLICAS, Site};

/// How many images it looks at, all at once.
const IMAGES: u64 = 30;
/// How often it has the models run again on one of them: each rests for longer than [`MIRROR_LAG`].
const AGAIN: Duration = Duration::from_millis(1_000);
const WAIT: Duration = Duration::from_secs(3);
const REST: Duration = Duration::from_millis(100);
/// How long a mirrored state that is not final lives, and a look takes.
pub const MIRROR_LAG: Duration = Duration::from_secs(15 + 1);

/// Where a job was first shown as ended.
struct Ended {
    id: String,
    state: String,
    by: usize,
    at: Instant,
}

pub async fn run(site: Arc<Site>) -> anyhow::Result<()> {
    let images = own_images(!site.settings.seed, IMAGES);
    let form = images.iter().fold(Form::new().text("models", &MODELS.join(",")), |f, (md5, bytes)| f.image(md5, bytes));
    let (_, first) = site.api.until_answered(Method::POST, "/predict", &Body::Form(form), WAIT).await;
    site.ledger.lock().await.accepted(&first)?;
    let md5s: Vec<&String> = images.iter().map(|(md5, _)| md5).collect();
    let all = Body::Json(json!({ "images": md5s, "results": true }));
    let (mut ended, mut last, mut next) = (HashMap::new(), Instant::now(), md5s.iter().cycle());
    for at in (0..REPLICAS).cycle() {
        if let Ok((200, shown)) = site.api.ask(at, Method::POST, "/predict/status", &all, WAIT).await {
            site.count_watched();
            for (md5, item) in md5s.iter().zip(shown["items"].as_array().into_iter().flatten()) {
                for (model, job) in item["jobs"].as_object().into_iter().flatten() {
                    compare(&site, &mut ended, (md5, model, at), job);
                }
            }
        }
        if last.elapsed() > AGAIN {
            last = Instant::now();
            let again = Body::Json(json!({ "images": [next.next()], "models": MODELS, "rerun": true }));
            if let Ok((202, answer)) = site.api.ask(at, Method::POST, "/predict", &again, WAIT).await {
                site.ledger.lock().await.accepted(&answer)?;
            }
        }
        tokio::time::sleep(REST).await;
    }
    Ok(())
}

/// Notes a job that is shown as ended, and speaks up when one that was is shown as not.
fn compare(
    site: &Site,
    ended: &mut HashMap<(String, String), Ended>,
    (md5, model, by): (&str, &str, usize),
    job: &Value,
) {
    let text = |field: &str| job[field].as_str().unwrap_or_default().to_owned();
    let (id, state) = (text("id"), text("state"));
    let key = (md5.to_owned(), model.to_owned());
    let known = ended.get(&key).filter(|seen| seen.id == id);
    match (known, matches!(state.as_str(), "queued" | "running")) {
        (None, false) => drop(ended.insert(key, Ended { id, state, by, at: Instant::now() })),
        (Some(seen), true) => {
            let (age, was, first) = (seen.at.elapsed(), &seen.state, seen.by);
            let what =
                format!("replica {by} shows job {id} as {state} {age:.1?} after replica {first} showed it as {was}");
            site.lagged(&what);
            if age > MIRROR_LAG {
                site.contradiction(what);
                ended.remove(&key);
            }
        }
        _ => {}
    }
}
