//! Loads that are no first submissions: always of jobs that live already, always of images that were done before, and
//! beside many jobs that run for long.

use std::time::Duration;

use axum::http::HeaderValue;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::crew::{Claimed, Crew, Job, Load, claim_body, register};
use crate::installation::{Installation, MODELS, Server};
use crate::lifecycle::{LOAD, turn, turn_of, unmeasured, warm_up};
use crate::report::{Outcome, Row};
use crate::sample::Side;
use crate::site::Site;
use crate::wire::Wire;

/// Jobs that run beside.
const RUNNING: usize = 10_000;
/// Of them, how many one session holds.
const HELD: usize = 500;
const CLAIM_WAIT_S: u32 = 5;
/// As often as a worker is told to.
const BEAT: Duration = Duration::from_secs(10);
const AT_LEAST: f64 = 0.8;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let load = Load { submissions: site.scaled(LOAD.submissions / 2), ..LOAD };
    let mut places = Vec::new();
    for name in ["attach_not", "attach", "attach_rerun", "attach_beside"] {
        let on = Installation::new(site, name).await?;
        let server = on.serve(site).await?;
        warm_up(&on, &[&server], load).await?;
        places.push((on, server));
    }
    let [(plain, at_plain), (attach, at_attach), (rerun, at_rerun), (beside, at_beside)] = &places[..] else {
        unreachable!("four were made");
    };
    submit(attach, at_attach, load.of_new_images(attach).await?).await?;
    let known = rerun.add_images(load.submissions * load.images).await?;
    unmeasured(rerun, &[at_rerun], load, load.of_images(&known, false)).await?;
    let mut held = hold(beside, at_beside, site.scaled(RUNNING)).await?;

    let mut sides = ["ours, new jobs", "always attaching", "always rerunning", "10,000 running beside"].map(Side::new);
    for _ in site.turns() {
        turn(site, plain, &[at_plain], load, &mut sides[0]).await?;
        // The workers are one turn behind: what is asked for again is queued until the next turn.
        let bodies = load.of_new_images(attach).await?;
        submit(attach, at_attach, bodies.clone()).await?;
        turn_of(site, attach, &[at_attach], load, bodies, &mut sides[1]).await?;
        turn_of(site, rerun, &[at_rerun], load, load.of_images(&known, true), &mut sides[2]).await?;
        turn(site, beside, &[at_beside], load, &mut sides[3]).await?;
    }
    let attached: i64 = sqlx::query_scalar(include_str!("sql/attached.sql")).fetch_one(&attach.pool).await?;
    let asked_twice = load.jobs() * sides[1].rates.len();
    anyhow::ensure!(attached == i64::try_from(asked_twice)?, "{attached} of {asked_twice} jobs were attached to");
    anyhow::ensure!(held.try_join_next().is_none(), "a session beside was given up");
    drop(held);
    let names = [
        "lives of jobs that were all asked for twice",
        "lives of jobs with rerun on images that have results",
        "lives of jobs while 10,000 others run",
    ];
    let mut rows = Vec::new();
    for (name, side) in names.iter().zip(&sides[1..]) {
        rows.push(Row::rate(name, side).against("of new jobs", sides[0].rate()).at_least(AT_LEAST));
    }
    let mut verdicts = Vec::new();
    for (on, _) in &places {
        verdicts.push(on.ledger.verdict(on).await?);
    }
    rows.extend(verdicts.into_iter().max_by(|a, b| a.value.total_cmp(&b.value)));
    let outcome = Outcome::new(rows, &sides.iter().collect::<Vec<_>>());
    for (on, server) in places {
        drop(server);
        on.remove(site).await?;
    }
    Ok(outcome)
}

/// Submits, while nobody works.
async fn submit(on: &Installation, at: &Server, bodies: Vec<String>) -> anyhow::Result<()> {
    let load = Load { workers: 0, ..LOAD };
    Crew::assemble(on, &[at], load).await?.run(bodies, 0).await?;
    Ok(())
}

/// Makes so many jobs and claims them, by sessions that live until the answer is dropped.
async fn hold(on: &Installation, at: &Server, jobs: usize) -> anyhow::Result<JoinSet<()>> {
    let load = Load { submissions: jobs.div_ceil(LOAD.images * MODELS.len()), ..LOAD };
    submit(on, at, load.of_new_images(on).await?).await?;
    let mut holders = JoinSet::new();
    for number in 0..load.jobs() / HELD {
        let mut wire = Wire::open(&at.address).await?;
        let session = register(&mut wire, &on.key, MODELS[number % MODELS.len()]).await?;
        let mut held = Vec::new();
        while held.len() < HELD {
            let body = claim_body(session, HELD - held.len(), CLAIM_WAIT_S);
            let more = serde_json::from_slice::<Claimed>(&wire.post("/jobs/claim", &on.key, body).await?)?.jobs;
            anyhow::ensure!(!more.is_empty(), "{} of {HELD} jobs were claimed", held.len());
            held.extend(more);
        }
        holders.spawn(beat(wire, on.key.clone(), session, held));
    }
    Ok(holders)
}

/// Beats for what a session holds. One that was refused shows as jobs that others complete.
async fn beat(mut wire: Wire, key: HeaderValue, session: Uuid, held: Vec<Job>) {
    let jobs: Vec<_> = held.iter().map(|job| serde_json::json!({ "id": job.id, "lease_no": job.lease_no })).collect();
    let body = serde_json::json!({ "draining": false, "jobs": jobs }).to_string();
    let path = format!("/workers/{session}/heartbeat");
    while wire.post(&path, &key, body.clone()).await.is_ok() {
        tokio::time::sleep(BEAT).await;
    }
}
