//! Ten thousand claims that wait: what they cost, and that one job wakes one.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use uuid::Uuid;

use crate::costs::cpu_s;
use crate::crew::{Claimed, claim_body, register};
use crate::installation::{Installation, Server, md5};
use crate::report::{Outcome, Row};
use crate::site::Site;
use crate::wire::Wire;

const WAITERS: usize = 10_000;
/// How many claims are sent at once.
const OPENED_AT_ONCE: usize = 100;
/// How many workers register at once: all lock the row of their model.
const REGISTERED_AT_ONCE: usize = 20;
/// Seconds for which the waiting is watched, within one wait of [`WAIT_S`].
const WATCH_S: usize = 20;
const WAIT_S: u32 = 50;
/// How long it takes until nobody else can have been woken by one job.
const SETTLE: Duration = Duration::from_secs(2);
/// Descriptors of this program: a socket for each waiter, and some.
const OPEN_FILES: u64 = WAITERS as u64 + 2_000;
const MEMORY_MIB_AT_MOST: f64 = 110.0;
const CORE_PERCENT_AT_MOST: f64 = 2.0;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    rlimit::increase_nofile_limit(OPEN_FILES)?;
    let count = site.scaled(WAITERS);
    let (fresh, used) = (Installation::new(site, "waiters").await?, Installation::new(site, "waiters_used").await?);
    let (resident, core_percent, woken) = {
        let server = fresh.serve(site).await?;
        let mut waiters = register_all(&fresh, &server, count).await?;
        for (wire, _) in &mut waiters {
            *wire = Wire::open(&server.address).await?;
        }
        watch(site, &fresh, &server, waiters).await?
    };
    let used_resident = {
        let server = used.serve(site).await?;
        let waiters = register_all(&used, &server, count).await?;
        watch(site, &used, &server, waiters).await?.0
    };
    let row = |what: &str, unit, value| Row::new(&format!("{count} waiting claims: {what}"), unit, value);
    let rows = vec![
        row("resident memory of the server", "MiB", resident).at_most(MEMORY_MIB_AT_MOST),
        row("processor", "% of a core", core_percent).at_most(CORE_PERCENT_AT_MOST),
        row("answered for one job", "claims", f64::from(woken)).at_most(1.0),
        row("resident memory, on connections that were used to register", "MiB", used_resident),
        fresh.ledger.verdict(&fresh).await?,
    ];
    fresh.remove(site).await?;
    used.remove(site).await?;
    Ok(Outcome::new(rows, &[]))
}

/// Lets all claim and wait, and wakes one; answers resident memory in MiB, the share of a core in percent, and how
/// many claims were answered.
async fn watch(
    site: &Site,
    on: &Installation,
    server: &Server,
    sessions: Vec<(Wire, Uuid)>,
) -> anyhow::Result<(f64, f64, u32)> {
    println!("    {} sessions are registered", sessions.len());
    let image = on.add_images(1).await?[0];
    // One stands for all: they wait from here on.
    let waiting_since = on.ledger.wait("faces");
    let mut waiting = claim_all(on, sessions).await;
    let (before, started) = (cpu_s(server.pid())?, Instant::now());
    tokio::time::sleep(Duration::from_secs(site.scaled(WATCH_S) as u64)).await;
    let core_percent = (cpu_s(server.pid())? - before) / started.elapsed().as_secs_f64() * 100.0;
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
    on.ledger.answered(waiting_since);
    Ok((resident, core_percent, woken))
}

/// Opens a connection for every worker and registers it.
async fn register_all(on: &Installation, server: &Server, count: usize) -> anyhow::Result<Vec<(Wire, Uuid)>> {
    let mut sessions = Vec::with_capacity(count);
    while sessions.len() < count {
        let some = (0..REGISTERED_AT_ONCE.min(count - sessions.len())).map(|_| async {
            let mut wire = Wire::open(&server.address).await?;
            let session = register(&mut wire, &on.key, "faces").await?;
            anyhow::Ok((wire, session))
        });
        sessions.extend(try_join_all(some).await?);
    }
    Ok(sessions)
}

type Waiting = FuturesUnordered<tokio::task::JoinHandle<anyhow::Result<usize>>>;

/// Lets every session claim; answers when all are sent.
async fn claim_all(on: &Installation, sessions: Vec<(Wire, Uuid)>) -> Waiting {
    let waiting = FuturesUnordered::new();
    for (mut wire, session) in sessions {
        let key = on.key.clone();
        waiting.push(tokio::spawn(async move {
            let answer = wire.post("/jobs/claim", &key, claim_body(session, 1, WAIT_S)).await?;
            Ok(serde_json::from_slice::<Claimed>(&answer)?.jobs.len())
        }));
        if waiting.len().is_multiple_of(OPENED_AT_ONCE) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    // The last ones are still on their way to the line.
    tokio::time::sleep(SETTLE).await;
    waiting
}
