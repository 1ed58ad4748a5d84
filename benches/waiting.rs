//! Workers that wait: how soon one is woken, and what ten thousand cost.

use std::time::{Duration, Instant};

use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::lifecycle::register;
use crate::report::{Row, Target, median};
use crate::site::{Installation, Server, Site, md5};
use crate::wire::Wire;

/// Wake-ups measured, each beside a commit.
const WAKES: usize = 200;
const WAITERS: usize = 10_000;
/// How many connections are opened at once.
const OPENED_AT_ONCE: usize = 100;
/// How long the waiting is watched, within one wait of [`WAIT_S`].
const WATCH: Duration = Duration::from_secs(30);
const WAIT_S: u32 = 50;
/// How long it takes until nobody else can have been woken by one job.
const SETTLE: Duration = Duration::from_secs(2);
/// Descriptors of this program: a socket for each waiter, and some.
const OPEN_FILES: u64 = WAITERS as u64 + 2_000;

/// From the 202 of one job to the answer of the claim that waited for it.
pub async fn wake_up(site: &Site) -> anyhow::Result<Vec<Row>> {
    let on = site.install("e").await?;
    let server = site.serve(&on).await?;
    let images: Vec<i64> = on.add_images(WAKES as i64).await?.collect();
    sqlx::query("CREATE TABLE one (n bigint)").execute(&on.pool).await?;
    let mut db = on.pool.acquire().await?;
    let (mut client, mut worker) = (Wire::open(&server.address).await?, Wire::open(&server.address).await?);
    let session = register(&mut worker, &on.key, "faces").await?;
    let (mut woken_ms, mut commit_ms) = (Vec::new(), Vec::new());
    for image in images {
        let claim = claim_body(session, 20);
        let key = on.key.clone();
        let waiting = tokio::spawn(async move {
            let answer = worker.post("/jobs/claim", &key, claim).await?;
            anyhow::Ok((worker, Instant::now(), serde_json::from_slice::<Value>(&answer)?))
        });
        // Long enough for the claim to have found nothing and to wait.
        tokio::time::sleep(Duration::from_millis(15)).await;
        let body = json!({ "images": [md5(image)], "models": ["faces"] });
        client.post("/predict", &on.user, body.to_string()).await?;
        let taken = Instant::now();
        let (again, woken, answer) = waiting.await??;
        worker = again;
        woken_ms.push(woken.saturating_duration_since(taken).as_secs_f64() * 1e3);
        finish(&on, &mut worker, session, &answer).await?;
        let started = Instant::now();
        sqlx::query("INSERT INTO one VALUES (1)").execute(&mut *db).await?;
        commit_ms.push(started.elapsed().as_secs_f64() * 1e3);
    }
    let what = "from the 202 of a job to the answer of the claim that waited for it, median";
    let commit = ("a single-row durable commit", median(&commit_ms));
    Ok(vec![Row::ratio("e", what, "ms", median(&woken_ms), commit, Target::AtMost(2.0))])
}

fn claim_body(session: Uuid, wait_s: u32) -> String {
    json!({ "worker": session, "claim_id": Uuid::new_v4(), "wait_s": wait_s }).to_string()
}

async fn finish(on: &Installation, worker: &mut Wire, session: Uuid, claimed: &Value) -> anyhow::Result<()> {
    let job = &claimed["jobs"][0];
    anyhow::ensure!(job["id"].is_string(), "the claim got nothing");
    let item =
        json!({ "id": job["id"], "lease_no": job["lease_no"], "outcome": "succeeded", "result": {"fields": {}} });
    worker.post("/jobs/complete", &on.key, json!({ "worker": session, "items": [item] }).to_string()).await?;
    Ok(())
}

/// Ten thousand claims that wait.
pub async fn many(site: &Site) -> anyhow::Result<Vec<Row>> {
    rlimit::increase_nofile_limit(OPEN_FILES)?;
    let on = site.install("h").await?;
    let server = site.serve(&on).await?;
    let image = on.add_images(1).await?.start;
    let sessions: Vec<Uuid> = sqlx::query_scalar(
        "INSERT INTO worker_session (key_id, model, version, instance, batch_max, alive_until)
         SELECT $1, 'faces', 'v1', gen_random_uuid(), 1, clock_timestamp() + interval '2 minutes' FROM generate_series(1, $2)
         RETURNING id",
    )
    .bind(&on.key_id)
    .bind(WAITERS as i64)
    .fetch_all(&on.pool)
    .await?;
    let mut waiting = open_all(&on, &server, sessions).await?;
    let (before, started) = (server.cpu_s()?, Instant::now());
    tokio::time::sleep(WATCH).await;
    let core_percent = (server.cpu_s()? - before) / started.elapsed().as_secs_f64() * 100.0;
    let resident = server.resident_mib()?;
    let mut client = Wire::open(&server.address).await?;
    let body = json!({ "images": [md5(image)], "models": ["faces"] });
    client.post("/predict", &on.user, body.to_string()).await?;
    let mut woken = 0;
    let settled = Instant::now() + SETTLE;
    while let Ok(Some(answer)) = tokio::time::timeout_at(settled.into(), waiting.next()).await {
        anyhow::ensure!(answer?? == 1, "a claim was answered without a job");
        woken += 1;
    }
    let what = "10,000 claims waiting: ";
    Ok(vec![
        Row::bound("h", &format!("{what}resident memory of the server"), "MiB", resident, Target::AtMost(150.0)),
        Row::bound("h", &format!("{what}processor over 30 s"), "% of a core", core_percent, Target::AtMost(2.0)),
        Row::bound("h", &format!("{what}answered for one job"), "claims", f64::from(woken), Target::AtMost(1.0)),
    ])
}

type Waiting = FuturesUnordered<tokio::task::JoinHandle<anyhow::Result<usize>>>;

/// Opens a connection for every session and lets it claim; answers when all are sent.
async fn open_all(on: &Installation, server: &Server, sessions: Vec<Uuid>) -> anyhow::Result<Waiting> {
    let waiting = FuturesUnordered::new();
    for some in sessions.chunks(OPENED_AT_ONCE) {
        for session in some {
            let (mut wire, key) = (Wire::open(&server.address).await?, on.key.clone());
            let body = claim_body(*session, WAIT_S);
            waiting.push(tokio::spawn(async move {
                let answer = wire.post("/jobs/claim", &key, body).await?;
                Ok(serde_json::from_slice::<Value>(&answer)?["jobs"].as_array().map_or(0, Vec::len))
            }));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The last ones are still on their way to the line.
    tokio::time::sleep(SETTLE).await;
    Ok(waiting)
}
