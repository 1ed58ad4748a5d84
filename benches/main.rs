//! The benchmark: every speed claim is a ratio inside one run, of medians of samples taken in turns.
//!
//! `make bench` runs all works, `make bench ONLY=a` one or some (`ONLY=a,c`); `ONLY=readme` puts what was last measured
//! into the README.

mod idle;
mod lifecycle;
mod lookups;
mod peers;
mod profile;
mod raw;
mod readme;
mod report;
mod site;
mod throughput;
mod uploads;
mod usage;
mod waiting;
mod wire;

use std::time::Instant;

use report::Row;
use site::Site;

/// The works, in the order in which they run: what leaves the least behind comes first.
const WORKS: [&str; 10] = ["i", "e", "h", "d", "c", "b", "a", "j", "g", "f"];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // Cargo adds `--bench`.
    let asked: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let only: Vec<&str> = asked.iter().flat_map(|arg| arg.split(',')).filter(|name| !name.is_empty()).collect();
    if only == ["readme"] {
        return readme::write(&WORKS);
    }
    if let Some(stray) = only.iter().find(|name| !WORKS.contains(name)) {
        anyhow::bail!("there is no work {stray:?}; the works are {}", WORKS.join(", "));
    }
    let site = Site::start().await?;
    let mut rows = Vec::new();
    for work in WORKS.into_iter().filter(|work| only.is_empty() || only.contains(work)) {
        let started = Instant::now();
        let done = run(work, &site).await?;
        done.iter().for_each(Row::print);
        println!("    ({work} took {:.0} s)", started.elapsed().as_secs_f64());
        rows.extend(done);
    }
    report::write(rows)
}

async fn run(work: &str, site: &Site) -> anyhow::Result<Vec<Row>> {
    match work {
        "a" => throughput::batches(site).await,
        "b" => throughput::singles(site).await,
        "c" => lookups::lookups(site).await,
        "d" => uploads::uploads(site).await,
        "e" => waiting::wake_up(site).await,
        "f" => throughput::depth(site).await,
        "g" => throughput::held_open(site).await,
        "h" => waiting::many(site).await,
        "i" => idle::idle(site).await,
        "j" => throughput::replicas(site).await,
        other => unreachable!("{other} is in no list"),
    }
}
