//! A rack of workers loses its power: thousands of leases die at once.

use std::time::{Duration, Instant};

use anyhow::ensure;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::PATIENCE;
use crate::cast::api::{Api, Body, photo_form};
use crate::cast::producer::own_images;
use crate::now_s;
use crate::site::Site;

/// The leases of each worker.
const LEASES: u64 = 100;
/// The workers: two thousand leases, and in a whole run twenty thousand.
const WORKERS: usize = 20;
const WORKERS_WHOLE: usize = 200;
/// How long their jobs may still be nobody's after a lease and two ticks: one tick takes them all, a thousand in a transaction.
const RESCUED_WITHIN: Duration = Duration::from_secs(30);

/// Lets them die, and waits until all that they held may be claimed again; then nobody wants it any more.
pub async fn die(site: &Site) -> anyhow::Result<bool> {
    let mut submissions = Vec::new();
    let died = work_and_die(site, &mut submissions).await;
    // Whatever came of it: nobody serves these models, so a job that somebody still wanted would never end.
    for submission in submissions {
        let cancel = format!("/submissions/{submission}/cancel");
        let (status, answer) = site.api.post(&cancel, Value::Null, PATIENCE).await;
        // One that was never taken is not there to be cancelled.
        ensure!(matches!(status, 200 | 404), "POST {cancel} answered {status}: {answer}");
    }
    died
}

async fn work_and_die(site: &Site, submissions: &mut Vec<Uuid>) -> anyhow::Result<bool> {
    let key = site.api.with_token(site.key.clone());
    let workers = if site.settings.is_whole() { WORKERS_WHOLE } else { WORKERS };
    register_all(&key, workers).await?;
    submit(site, workers, submissions).await?;
    // Anew: the first sessions may be over by now.
    let sessions = register_all(&key, workers).await?;
    let claimed = join_all(sessions.iter().map(|session| claim(&key, session))).await;
    let held = claimed.into_iter().sum::<anyhow::Result<usize>>()?;
    let may = site.settings.lease_s + 2.0 * site.settings.rescue_s();
    let rescued = rescued_within(site, Duration::from_secs_f64(may) + RESCUED_WITHIN).await;
    if !rescued {
        site.late(format!(
            "{held} leases of a dead rack were not all rescued in {RESCUED_WITHIN:?} after lease and ticks"
        ));
    }
    Ok(held >= workers * LEASES as usize / 2)
}

/// Opens a session of each; answers their ids.
async fn register_all(key: &Api, workers: usize) -> anyhow::Result<Vec<Value>> {
    let register = async |n: usize| {
        let body =
            json!({ "service": "predict", "model": format!("rack-{n}"), "version": "v1", "instance": Uuid::new_v4() });
        let (status, answer) = key.post("/workers/register", body, PATIENCE).await;
        ensure!(matches!(status, 200 | 201), "register answered {status}: {answer}");
        Ok(answer["worker"].clone())
    };
    join_all((0..workers).map(register)).await.into_iter().collect()
}

/// Jobs for all of them; each submission is noted before it is sent, so that it is known whatever is answered.
async fn submit(site: &Site, workers: usize, submissions: &mut Vec<Uuid>) -> anyhow::Result<()> {
    let images = own_images(site.settings.seed ^ 0x5ac4, LEASES);
    let submission = Uuid::new_v4();
    submissions.push(submission);
    let form = photo_form("rack-0", images.iter().map(|(_, bytes)| bytes));
    let upload = Body::Form(form.text("submission", &submission.to_string()));
    let (status, taken) = site.api.until_answered(Method::POST, "/predict", &upload, PATIENCE).await;
    ensure!(status == 202, "POST /predict answered {status}: {taken}");
    site.ledger.lock().await.accepted(&taken)?;
    let md5s: Vec<&str> = images.iter().map(|(md5, _)| md5.as_str()).collect();
    let models: Vec<String> = (0..workers).map(|n| format!("rack-{n}")).collect();
    for models in models.chunks(10) {
        let submission = Uuid::new_v4();
        submissions.push(submission);
        let body = json!({ "images": md5s, "models": models, "rerun": true, "submission": submission });
        let (status, taken) = site.api.until_answered(Method::POST, "/predict", &Body::Json(body), PATIENCE).await;
        ensure!(status == 202, "POST /predict answered {status}: {taken}");
        site.ledger.lock().await.accepted(&taken)?;
    }
    Ok(())
}

/// Has one worker claim its leases; answers how many it got.
async fn claim(key: &Api, session: &Value) -> anyhow::Result<usize> {
    let body = json!({ "worker": session, "claim_id": Uuid::new_v4(), "max": LEASES, "wait_s": 0 });
    let (status, answer) = key.post("/jobs/claim", body, PATIENCE).await;
    // Its lease may have passed while the others claimed.
    ensure!(matches!(status, 200 | 410), "claim answered {status}: {answer}");
    Ok(answer["jobs"].as_array().map_or(0, Vec::len))
}

/// Whether all that they held is in line again in time, not counting when the service was away.
async fn rescued_within(site: &Site, wait: Duration) -> bool {
    let (mut waited, mut last) = (Duration::ZERO, Instant::now());
    while waited < wait {
        let asked = sqlx::query_scalar(
            "SELECT count(*) FROM job AS j JOIN queue AS q ON q.id = j.queue_id WHERE q.name LIKE 'rack-%' AND j.state = 'running'",
        );
        let counted: Option<i64> = match site.sql().await {
            Ok(mut sql) => asked.fetch_one(&mut sql).await.ok(),
            Err(_) => None,
        };
        if counted == Some(0) {
            site.log(&format!("{} the rack is rescued", crate::clock(now_s())));
            return true;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        if counted.is_some() {
            waited += last.elapsed();
        }
        last = Instant::now();
    }
    false
}
