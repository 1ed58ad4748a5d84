//! A server that nobody asks anything.

use std::time::Duration;

use crate::report::{Row, Target, median};
use crate::site::Site;

/// How often it is started.
const STARTS: usize = 5;
/// How long it is left alone before its memory is read.
const REST: Duration = Duration::from_secs(3);

pub async fn idle(site: &Site) -> anyhow::Result<Vec<Row>> {
    let on = site.install("i").await?;
    let mut start_s = Vec::new();
    let mut resident = 0.0;
    for _ in 0..STARTS {
        let server = site.serve(&on).await?;
        tokio::time::sleep(REST).await;
        start_s.push(server.start_s);
        resident = server.resident_mib()?;
    }
    Ok(vec![
        Row::bound("i", "an idle server: resident memory", "MiB", resident, Target::AtMost(40.0)),
        Row::bound("i", "from its start to ready on a migrated database", "s", median(&start_s), Target::AtMost(1.0)),
    ])
}
