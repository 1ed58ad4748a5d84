//! A server that nobody asks anything.

use std::time::Duration;

use crate::installation::Installation;
use crate::report::{Outcome, Row, median};
use crate::site::Site;

/// How long it is left alone before its memory is read.
const REST: Duration = Duration::from_secs(3);
const MEMORY_MIB_AT_MOST: f64 = 25.0;
const START_S_AT_MOST: f64 = 1.0;

pub async fn measure(site: &Site) -> anyhow::Result<Outcome> {
    let on = Installation::new(site, "idle").await?;
    let (mut start_s, mut resident_mib) = (Vec::new(), Vec::new());
    for _ in site.turns() {
        let server = on.serve(site).await?;
        tokio::time::sleep(REST).await;
        start_s.push(server.start_s);
        resident_mib.push(server.resident_mib()?);
    }
    on.remove(site).await?;
    let memory = Row::new("an idle server: resident memory", "MiB", median(&resident_mib));
    let start = Row::new("from its start to ready on a migrated database", "s", median(&start_s));
    Ok(Outcome::new(vec![memory.at_most(MEMORY_MIB_AT_MOST), start.at_most(START_S_AT_MOST)], &[]))
}
