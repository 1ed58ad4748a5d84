//! Whole lives of jobs in batches, beside other queues and beside plain SQL.

use crate::costs::{Costs, Parties};
use crate::crew::{Crew, Load};
use crate::installation::{Installation, Server};
use crate::peers::{Peer, Peers};
use crate::raw;
use crate::report::{Outcome, Row};
use crate::sample::Side;
use crate::site::Site;

/// Sixteen connections; claims and completions of a hundred.
pub const LOAD: Load = Load { submitters: 4, workers: 12, submissions: 32, images: 250, claim: 100 };
pub const WHAT: &str = "lives of jobs over HTTP, claimed and completed by 100, 16 connections";

/// Each with the ratio that is asked of ours.
const PEERS: [(Peer, f64); 3] = [
    (
        Peer {
            adapter: "graphile_batches.mjs",
            name: "Graphile Worker in batch mode",
            leaves_out: "an HTTP service, users and keys, results, an audit, a status by image, fencing; a finished job is deleted",
        },
        1.0,
    ),
    (
        Peer {
            adapter: "pg_boss.mjs",
            name: "pg-boss in batches of 1,000",
            leaves_out: "an HTTP service, users and keys, an audit, a status by image, fencing",
        },
        1.8,
    ),
    (
        Peer {
            adapter: "bullmq.mjs",
            name: "BullMQ on a Redis without persistence",
            leaves_out: "durability, an HTTP service, users and keys, results, an audit, a status by image; a finished job is removed",
        },
        1.6,
    ),
];
const RAW_AT_LEAST: f64 = 0.5;
const HOT_AT_LEAST: f64 = 0.95;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let on = Installation::new(site, "lifecycle").await?;
    let plain = Installation::new(site, "lifecycle_raw").await?;
    let server = on.serve(site).await?;
    let peers = Peers::fetch(site, false).await?;
    let load = Load { submissions: site.scaled(LOAD.submissions), ..LOAD };
    warm_up(&on, &[&server], load).await?;
    raw::run(&plain, load.jobs() / 4).await?;

    let (mut ours, mut limit) = (Side::new("ours"), Side::new(raw::NAME));
    let mut theirs = PEERS.map(|(peer, target)| (Side::new(peer.name), peer, target));
    for _ in site.turns() {
        turn(site, &on, &[&server], load, &mut ours).await?;
        limit.turn(site, Parties::ours(site, &[])?, &plain.name, raw::run(&plain, load.jobs())).await?;
        for (side, peer, _) in &mut theirs {
            peers.turn(site, peer, side, load.jobs()).await?;
        }
    }
    let mut rows: Vec<Row> = theirs
        .iter()
        .map(|(side, peer, target)| {
            Row::rate(WHAT, &ours).against(peer.name, side.rate()).leaving_out(peer.leaves_out).at_least(*target)
        })
        .collect();
    let raw = Row::rate(WHAT, &ours).against(raw::NAME, limit.rate()).leaving_out(raw::LEAVES_OUT);
    rows.push(raw.at_least(RAW_AT_LEAST));
    rows.extend(costs(&ours.cost()));
    let hot: f64 = sqlx::query_scalar(include_str!("sql/hot.sql")).fetch_one(&on.pool).await?;
    rows.push(Row::new("updates of live jobs that touch no index", "of all", hot).at_least(HOT_AT_LEAST));
    rows.push(on.ledger.verdict(&on).await?);

    let mut sides = vec![&ours, &limit];
    sides.extend(theirs.iter().map(|(side, ..)| side));
    let outcome = Outcome::new(rows, &sides);
    for (side, peer, _) in &theirs {
        peers.clear(site, peer, side).await?;
    }
    drop(server);
    on.remove(site).await?;
    plain.remove(site).await?;
    Ok(outcome)
}

/// What a job may cost.
fn costs(costs: &Costs) -> Vec<Row> {
    [
        ("processor time of PostgreSQL per job", "µs", costs.postgres_us, 28.0),
        ("processor time of the server per job", "µs", costs.server_us, 13.0),
        ("processor time of Redis per job", "µs", costs.redis_us, 4.0),
        ("WAL per job", "B", costs.wal_bytes, 1_700.0),
        ("processors left idle", "%", costs.idle_percent, 10.0),
    ]
    .map(|(what, unit, value, most)| Row::new(what, unit, value).at_most(most))
    .to_vec()
}

/// A turn of ours: new images, and a crew of its own.
pub async fn turn(
    site: &Site,
    on: &Installation,
    servers: &[&Server],
    load: Load,
    side: &mut Side,
) -> anyhow::Result<()> {
    let bodies = load.of_new_images(on).await?;
    turn_of(site, on, servers, load, bodies, side).await
}

/// A turn of ours with these submissions.
pub async fn turn_of(
    site: &Site,
    on: &Installation,
    servers: &[&Server],
    load: Load,
    bodies: Vec<String>,
    side: &mut Side,
) -> anyhow::Result<()> {
    let mut crew = Crew::assemble(on, servers, load).await?;
    side.turn(site, Parties::ours(site, servers)?, &on.name, crew.run(bodies, load.jobs())).await?;
    crew.leave().await
}

/// A quarter of the load, as nobody's turn.
pub async fn warm_up(on: &Installation, servers: &[&Server], load: Load) -> anyhow::Result<()> {
    let load = Load { submissions: load.submissions.div_ceil(4), ..load };
    unmeasured(on, servers, load, load.of_new_images(on).await?).await
}

/// As nobody's turn.
pub async fn unmeasured(on: &Installation, servers: &[&Server], load: Load, bodies: Vec<String>) -> anyhow::Result<()> {
    let mut crew = Crew::assemble(on, servers, load).await?;
    crew.run(bodies, load.jobs()).await?;
    crew.leave().await
}
