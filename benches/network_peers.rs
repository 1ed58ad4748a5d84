//! What a user would take instead over the network: job queues on Redis with their own clients and workers, one job at
//! a time each. Printed, with what each leaves out; none is a target.

use crate::crew::Load;
use crate::installation::Installation;
use crate::lifecycle::{turn, warm_up};
use crate::ocypod;
use crate::peers::{Peer, Peers};
use crate::report::{Outcome, Row};
use crate::sample::Side;
use crate::single::{LOAD, WHAT};
use crate::site::Site;

const PEERS: [Peer; 2] = [
    Peer {
        adapter: "rq_workers.py",
        name: "RQ, two workers that do not fork",
        leaves_out: "durability (all is in Redis), HTTP, users and keys, an audit, results by image, fencing; results go after 500 s",
    },
    Peer {
        adapter: "celery_workers.py",
        name: "Celery on Redis, two workers",
        leaves_out: "durability (all is in Redis), HTTP, users and keys, an audit, results by image, fencing, by default also a second try after a worker's death",
    },
];
/// They take long enough with these.
const PEERS_JOBS: usize = 1_000;
const OCYPOD_JOBS: usize = 8_000;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let on = Installation::new(site, "network_peers").await?;
    let server = on.serve(site).await?;
    let peers = Peers::fetch(site, true).await?;
    let program = ocypod::installed();
    if program.is_none() {
        println!("    Ocypod is left out; this builds it: {}", ocypod::INSTALL);
    }
    let load = Load { submissions: site.scaled(LOAD.submissions), ..LOAD };
    warm_up(&on, &[&server], load).await?;

    let (mut ours, mut ocypods) = (Side::new("ours, one by one"), Side::new(ocypod::NAME));
    let mut theirs = PEERS.map(|peer| (Side::new(peer.name), peer));
    for _ in site.turns() {
        turn(site, &on, &[&server], load, &mut ours).await?;
        for (side, peer) in &mut theirs {
            peers.turn(site, peer, side, site.scaled(PEERS_JOBS)).await?;
        }
        if let Some(program) = &program {
            ocypod::turn(site, &peers, program, &mut ocypods, site.scaled(OCYPOD_JOBS)).await?;
        }
    }
    let against =
        |side: &Side, leaves_out| Row::rate(WHAT, &ours).against(&side.name, side.rate()).leaving_out(leaves_out);
    let mut rows: Vec<Row> = theirs.iter().map(|(side, peer)| against(side, peer.leaves_out)).collect();
    rows.extend(program.map(|_| against(&ocypods, ocypod::LEAVES_OUT)));
    rows.push(on.ledger.verdict(&on).await?);

    let outcome = Outcome::new(rows, &[&ours, &theirs[0].0, &theirs[1].0, &ocypods]);
    for (side, peer) in &theirs {
        peers.clear(site, peer, side).await?;
    }
    drop(server);
    on.remove(site).await?;
    Ok(outcome)
}
