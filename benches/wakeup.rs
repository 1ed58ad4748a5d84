//! How soon a waiting claim gets a job, beside one durable commit.

use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::crew::{claim_body, register};
use crate::installation::{Installation, md5};
use crate::report::{Outcome, Row, median};
use crate::site::Site;
use crate::wire::Wire;

/// Wake-ups, each followed by a commit.
const WAKES: usize = 300;
/// Long enough for a claim to have found nothing and to wait.
const REST: Duration = Duration::from_millis(15);
const CLAIM_WAIT_S: u32 = 20;
const AT_MOST: f64 = 1.7;

/// From the 202 of one job to the answer of the claim that waited for it.
pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let on = Installation::new(site, "wakeup").await?;
    let server = on.serve(site).await?;
    sqlx::query("CREATE TABLE one (n bigint)").execute(&on.pool).await?;
    let mut db = on.pool.acquire().await?;
    let (mut client, mut worker) = (Wire::open(&server.address).await?, Wire::open(&server.address).await?);
    let session = register(&mut worker, &on.key, "faces").await?;
    let (mut woken_ms, mut commit_ms) = (Vec::new(), Vec::new());
    for image in on.add_images(site.scaled(WAKES)).await? {
        let (claim, key, ledger) = (claim_body(session, 1, CLAIM_WAIT_S), on.key.clone(), on.ledger.clone());
        let claiming = tokio::spawn(async move {
            let waiting = ledger.wait("faces");
            let answer = worker.post("/jobs/claim", &key, claim).await?;
            let woken = Instant::now();
            ledger.answered(waiting);
            anyhow::Ok((worker, woken, serde_json::from_slice::<Value>(&answer)?))
        });
        tokio::time::sleep(REST).await;
        let body = json!({ "images": [md5(image)], "models": ["faces"] });
        client.post("/predict", &on.user, body.to_string()).await?;
        let taken = Instant::now();
        let (again, woken, answer) = claiming.await??;
        worker = again;
        woken_ms.push(woken.saturating_duration_since(taken).as_secs_f64() * 1e3);
        finish(&on, &mut worker, session, &answer).await?;
        let started = Instant::now();
        sqlx::query("INSERT INTO one VALUES (1)").execute(&mut *db).await?;
        commit_ms.push(started.elapsed().as_secs_f64() * 1e3);
    }
    drop((db, server));
    let what = "from the 202 of a job to the answer of the claim that waited for it, median";
    let row = Row::new(what, "ms", median(&woken_ms));
    let rows = vec![
        row.against("a durable commit of one row", median(&commit_ms)).at_most(AT_MOST),
        on.ledger.verdict(&on).await?,
    ];
    on.remove(site).await?;
    Ok(Outcome::new(rows, &[]))
}

async fn finish(on: &Installation, worker: &mut Wire, session: Uuid, claimed: &Value) -> anyhow::Result<()> {
    let job = claimed["jobs"].get(0).context("the claim got nothing")?;
    let item =
        json!({ "id": job["id"], "lease_no": job["lease_no"], "outcome": "succeeded", "result": {"fields": {}} });
    worker.post("/jobs/complete", &on.key, json!({ "worker": session, "items": [item] }).to_string()).await?;
    Ok(())
}
