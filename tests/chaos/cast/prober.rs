//! A prober: one whole lifecycle after another at one replica, as somebody alone would have it: log in, register, upload, claim,
//! complete, look up, leave. When each was done is noted; how long there may be none is the judge's.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use uuid::Uuid;

use super::api::{Body, photo_form};
use crate::judge::recovery::Life;
use crate::kit::images::{md5_of, photo};
use crate::now_s;
use crate::site::Site;

/// How long it waits for one answer: longer than any use of the database may take.
const WAIT: Duration = Duration::from_secs(5);
/// How long it waits for its job in each claim, and how often it claims: jobs that an earlier try left come first.
const CLAIM_WAIT_S: f64 = 1.0;
const CLAIMS: usize = 5;
const REST: Duration = Duration::from_millis(400);

/// One lifecycle after another, until there is enough.
pub async fn run(site: Arc<Site>, at: usize) {
    while site.probing.load(Ordering::Relaxed) {
        let (from, submission) = (now_s(), Uuid::new_v4());
        match lifecycle(&site, at, submission).await {
            Ok(()) => site.lived(Life { at, from, to: now_s() }),
            Err(error) => {
                site.leave_behind(submission);
                site.log(&format!("{} replica-{at}: no lifecycle: {error:#}", crate::clock(now_s())));
            }
        }
        tokio::time::sleep(REST).await;
    }
}

async fn lifecycle(site: &Site, at: usize, submission: Uuid) -> anyhow::Result<()> {
    let base = &site.replicas[at].base;
    let form = [("username", "pia"), ("password", &site.password)];
    let http = Client::builder().timeout(WAIT).build()?;
    let answer = http.post(format!("{base}/auth/login")).form(&form).send().await.context("log in")?;
    let answer: Value = answer.json().await?;
    let caller = |token: &str| Caller { http: http.clone(), base: base.clone(), token: token.to_owned() };
    let pia = caller(answer["access_token"].as_str().with_context(|| format!("log in: {answer}"))?);
    let worker = caller(&site.key);
    let model = format!("probe-{at}");
    let body =
        json!({ "service": "predict", "model": model, "version": "v1", "instance": Uuid::new_v4(), "host": "prober" });
    let session = worker.ask(Method::POST, "/workers/register", Body::Json(body), &[200, 201]).await?["worker"].clone();
    let image = photo(rand::random());
    let upload = Body::Form(photo_form(&model, [&image]).text("submission", &submission.to_string()));
    let taken = pia.ask(Method::POST, "/predict", upload, &[202]).await?;
    site.ledger.lock().await.accepted(&taken)?;
    let own = &taken["images"][0]["jobs"][0]["id"];
    ensure!(work_until(&worker, &session, own).await?, "its job was not given out in {CLAIMS} claims");
    let path = format!("/predict/{}", md5_of(&image));
    let shown = pia.ask(Method::GET, &path, Body::Nothing, &[200]).await?;
    ensure!(shown["jobs"][&model]["state"] == "succeeded", "it shows {shown}");
    let path = format!("/workers/{}", session.as_str().unwrap_or_default());
    worker.ask(Method::DELETE, &path, Body::Nothing, &[200, 204]).await?;
    Ok(())
}

/// Claims and completes until this job is among what was done; answers whether it was.
async fn work_until(worker: &Caller, session: &Value, own: &Value) -> anyhow::Result<bool> {
    for _ in 0..CLAIMS {
        let body = json!({ "worker": session, "claim_id": Uuid::new_v4(), "max": 8, "wait_s": CLAIM_WAIT_S });
        let claimed = worker.ask(Method::POST, "/jobs/claim", Body::Json(body), &[200]).await?;
        let jobs = claimed["jobs"].as_array().context("no jobs")?;
        if jobs.is_empty() {
            continue;
        }
        let item =
            |job: &Value| json!({ "id": job["id"], "lease_no": job["lease_no"], "outcome": "succeeded", "result": {} });
        let body = json!({ "worker": session, "items": jobs.iter().map(item).collect::<Vec<_>>() });
        let done = worker.ask(Method::POST, "/jobs/complete", Body::Json(body), &[200]).await?;
        let is_own = |item: &Value| item["id"] == *own && item["status"] == 200;
        if done["items"].as_array().is_some_and(|items| items.iter().any(is_own)) {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Caller {
    http: Client,
    base: String,
    token: String,
}

impl Caller {
    /// One try: an answer with another status is an error.
    async fn ask(&self, method: Method, path: &str, body: Body, well: &[u16]) -> anyhow::Result<Value> {
        let request = body.put(self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token));
        let answer = request.send().await.with_context(|| path.to_owned())?;
        let status = answer.status().as_u16();
        let text = answer.text().await.with_context(|| path.to_owned())?;
        ensure!(well.contains(&status), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}
