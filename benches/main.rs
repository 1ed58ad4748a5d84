//! The benchmark: every speed claim is a ratio inside one run, of medians of turns taken A B A B between ours and
//! what it is compared with.
//!
//! `make bench` runs every work, `make bench ONLY=lifecycle,lookup` some (their letters do as well), and
//! `ONLY=page` writes `docs/benchmarks.md` from what was last measured. `SHORT=1` is a smoke run, `PROFILE=1` shows
//! the costliest statements. What knows the schema lies in `sql/`.

mod attach;
mod costs;
mod crew;
mod deep;
mod held;
mod idle;
mod installation;
mod ledger;
mod lifecycle;
mod lookup;
mod network_peers;
mod ocypod;
mod page;
mod peers;
mod profile;
mod raw;
mod replicas;
mod report;
mod sample;
mod single;
mod site;
mod upload;
mod waiters;
mod wakeup;
mod wire;
/// What of the tests' kit the benchmark needs.
#[path = "../tests/kit"]
mod kit {
    pub mod form;
    pub mod process;
    pub mod scratch;
}

use std::time::{Duration, Instant};

use report::{Outcome, Report};
use site::Site;

/// A letter for short, and the name: in the order in which they run, what leaves the least behind first.
const WORKS: [(&str, &str); 12] = [
    ("i", "idle"),
    ("e", "wakeup"),
    ("h", "waiters"),
    ("d", "upload"),
    ("c", "lookup"),
    ("b", "single"),
    ("a", "lifecycle"),
    ("k", "attach"),
    ("j", "replicas"),
    ("g", "held"),
    ("f", "deep"),
    ("l", "network_peers"),
];
/// A work that takes longer is broken: all together take some fifteen minutes.
const WORK_WAIT: Duration = Duration::from_secs(300);

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let asked = asked();
    if asked == ["page"] {
        return page::write();
    }
    let known = |asked: &str| WORKS.into_iter().find(|(letter, name)| asked == *letter || asked == *name);
    if let Some(stray) = asked.iter().find(|asked| known(asked).is_none()) {
        let names: Vec<_> = WORKS.iter().map(|(letter, name)| format!("{name} ({letter})")).collect();
        anyhow::bail!("there is no work {stray:?}; the works are {}", names.join(", "));
    }
    let is_wanted = |work: &(&str, &str)| asked.is_empty() || asked.iter().any(|asked| known(asked) == Some(*work));
    let works: Vec<_> = WORKS.into_iter().filter(is_wanted).collect();

    let site = Site::start().await?;
    let (started, mut report, mut broken) = (Instant::now(), Report::open(site.is_short()), Vec::new());
    for (place, (letter, name)) in works.iter().enumerate() {
        println!("[{}/{}] {name} ({letter}), {:.0} s so far", place + 1, works.len(), started.elapsed().as_secs_f64());
        let ended = tokio::time::timeout(WORK_WAIT, run(name, &site)).await;
        match ended.unwrap_or_else(|_| Err(anyhow::anyhow!("not done within {} s", WORK_WAIT.as_secs()))) {
            Ok(outcome) => report.put(name, outcome)?,
            Err(error) => {
                println!("    {name} failed: {error:#}");
                broken.push(*name);
            }
        }
    }
    let names: Vec<_> = works.iter().map(|(_, name)| *name).collect();
    report.print(&names);
    println!("{:.0} s; written to {}", started.elapsed().as_secs_f64(), report.path().display());
    anyhow::ensure!(broken.is_empty(), "failed: {}", broken.join(", "));
    Ok(())
}

/// What the command line names; Cargo adds `--bench`.
fn asked() -> Vec<String> {
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    words.flat_map(|word| word.split(',').map(str::to_owned).collect::<Vec<_>>()).filter(|w| !w.is_empty()).collect()
}

async fn run(work: &str, site: &Site) -> anyhow::Result<Outcome> {
    match work {
        "idle" => idle::measure(site).await,
        "wakeup" => wakeup::measure(site).await,
        "waiters" => waiters::measure(site).await,
        "upload" => upload::measure(site).await,
        "lookup" => lookup::measure(site).await,
        "single" => single::measure(site).await,
        "lifecycle" => lifecycle::measure(site).await,
        "attach" => attach::measure(site).await,
        "replicas" => replicas::measure(site).await,
        "held" => held::measure(site).await,
        "deep" => deep::measure(site).await,
        "network_peers" => network_peers::measure(site).await,
        other => unreachable!("{other} is in no list"),
    }
}
