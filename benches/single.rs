//! Whole lives of jobs one by one, beside the same in batches and beside a queue that has no batches.

use crate::crew::Load;
use crate::installation::Installation;
use crate::lifecycle::{self, turn, warm_up};
use crate::peers::{Peer, Peers};
use crate::report::{Outcome, Row};
use crate::sample::Side;
use crate::site::Site;

pub const LOAD: Load = Load { submitters: 4, workers: 64, submissions: 128, images: 25, claim: 1 };
pub const WHAT: &str = "lives of jobs over HTTP, claimed and completed one by one by 64 workers";
const OF_BATCHES_AT_LEAST: f64 = 0.45;
const GRAPHILE_AT_LEAST: f64 = 4.0;
const GRAPHILE: Peer = Peer {
    adapter: "graphile_single.mjs",
    name: "Graphile Worker without batches",
    leaves_out: "an HTTP service, users and keys, results, an audit, a status by image, fencing; a finished job is deleted",
};
/// It takes long enough with these.
const GRAPHILE_JOBS: usize = 4_000;
/// More than any load that is measured: clients that wait for nobody cannot starve each other.
const MANY: Load = Load { submitters: 32, workers: 32, submissions: 32, images: 250, claim: 100 };

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let on = Installation::new(site, "single").await?;
    let server = on.serve(site).await?;
    let peers = Peers::fetch(site, false).await?;
    let load = Load { submissions: site.scaled(LOAD.submissions), ..LOAD };
    let batch_load = Load { submissions: site.scaled(lifecycle::LOAD.submissions), ..lifecycle::LOAD };
    warm_up(&on, &[&server], load).await?;
    warm_up(&on, &[&server], batch_load).await?;

    let (mut ours, mut batches) = (Side::new("ours, one by one"), Side::new("ours, in batches"));
    let mut graphile = Side::new(GRAPHILE.name);
    for _ in site.turns() {
        turn(site, &on, &[&server], load, &mut ours).await?;
        turn(site, &on, &[&server], batch_load, &mut batches).await?;
        peers.turn(site, &GRAPHILE, &mut graphile, site.scaled(GRAPHILE_JOBS)).await?;
    }
    let mut many = Side::new("ours, 32 submitters and 32 workers");
    turn(site, &on, &[&server], Load { submissions: site.scaled(MANY.submissions), ..MANY }, &mut many).await?;

    let against_graphile = Row::rate(WHAT, &ours).against(GRAPHILE.name, graphile.rate());
    let rows = vec![
        Row::rate(WHAT, &ours).against("the same in batches of 100", batches.rate()).at_least(OF_BATCHES_AT_LEAST),
        against_graphile.leaving_out(GRAPHILE.leaves_out).at_least(GRAPHILE_AT_LEAST),
        Row::rate("lives of jobs in batches by 32 submitters and 32 workers, one turn", &many),
        on.ledger.verdict(&on).await?,
    ];
    let outcome = Outcome::new(rows, &[&ours, &batches, &graphile, &many]);
    peers.clear(site, &GRAPHILE, &graphile).await?;
    drop(server);
    on.remove(site).await?;
    Ok(outcome)
}
