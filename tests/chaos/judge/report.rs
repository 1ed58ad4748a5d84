//! What is printed at the end, and whether all was well.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::recovery::BOUND_S;
use super::verdict::Verdict;
use crate::faults::{Kind, Tally};
use crate::site::Site;

/// The longest time without a new fault, in a whole run.
const PAUSE_MAX_S: f64 = 5.0;
/// The fewest accepted jobs per second, on average over a whole run.
const RATE_MIN: f64 = 100.0;

/// Prints what was found; answers whether all was well.
pub fn report(site: &Site, tally: &Tally, verdict: &Verdict, produced: Duration) -> bool {
    let (whole, least) = (site.settings.is_whole(), site.settings.least());
    let mut well = true;
    println!("\nfaults by kind (reached / begun), and the longest until each replica had served a whole lifecycle:");
    for kind in Kind::ALL {
        let (reached, begun) = (tally.reached.get(kind).unwrap_or(&0), tally.begun.get(kind).unwrap_or(&0));
        let short = if *reached < least { "   TOO FEW" } else { "" };
        let back = match verdict.recovery.worst.get(kind.name()) {
            Some((worst_s, seen)) => format!("{worst_s:5.1} s of {seen}"),
            None => "    -".to_owned(),
        };
        println!("  {:48} {reached:3} / {begun:2}  {back}{short}", kind.name());
        well &= short.is_empty();
    }
    let pause = tally.longest_pause.as_secs_f64();
    println!("longest time without a new fault: {pause:.1} s");
    well &= !whole || pause <= PAUSE_MAX_S;
    let n = |at: usize| verdict.numbers.get(at).map_or("?", String::as_str);
    println!("claims that do not wait: p50 {} ms, p99 {} ms of {}", n(5), n(6), n(7));
    println!("  while Redis was stopped: p50 {} ms, p99 {} ms of {}", n(8), n(9), n(10));
    let rate = verdict.accepted as f64 / produced.as_secs_f64();
    println!("accepted per second: {rate:.0} over {:.0} s", produced.as_secs_f64());
    well &= !whole || rate >= RATE_MIN;
    println!("requests sent again: {}; re-deliveries: {}; items refused as stale: {}", n(3), n(2), n(4));
    println!("completions refused though they won: {}", verdict.count("refused"));
    println!("submissions answered otherwise when repeated: {}", verdict.count("changed"));
    println!("claims that count wrongly: {}", verdict.count("miscounted"));
    println!("live workers called lost: {}", verdict.count("mistaken"));
    println!(
        "jobs that waited over two seconds beside a session: {} in {:.0} s judged",
        verdict.count("waited"),
        verdict.judged_s
    );
    println!(
        "replicas without a whole lifecycle for {BOUND_S} s though nothing took the service: {}",
        verdict.count("unserved")
    );
    println!("leases of a dead rack rescued too late: {}", verdict.count("late"));
    println!("images unreadable: {}", verdict.count("unreadable"));
    let (watched, lagged) = (site.watched.load(Ordering::Relaxed), site.lagged.load(Ordering::Relaxed));
    println!("looks while it ran: {watched}; behind an earlier one, within the mirror's lag: {lagged}");
    println!("mirror differences: {}", verdict.count("mirror"));
    well &= report_runs(verdict);
    // A wait or a stale write that nobody tried proves nothing.
    well &= n(4) != "0" && (!whole || verdict.judged_s > 0.0);
    let (lost, doubled, stale) = (verdict.count("lost"), verdict.count("doubled"), verdict.count("stale"));
    println!(
        "accepted {}, finished {}, lost {lost}, doubled {doubled}, stale accepted {stale}",
        verdict.accepted, verdict.finished
    );
    // In a short run with a short lease a busy machine alone may silence a worker, or a server, for long enough: only told there.
    let told_only = |name: &str| !whole && ["mistaken", "waited"].contains(&name);
    well && verdict.offenders.iter().all(|(name, count)| *count == 0 || told_only(name))
}

/// Prints what was found of training runs; answers whether there was enough of everything to judge by.
fn report_runs(verdict: &Verdict) -> bool {
    let n = |at: usize| verdict.runs.get(at).map_or("?", String::as_str);
    println!("training runs: accepted {}, ended {}; reports kept {}, models {}", n(0), n(1), n(4), n(5));
    println!("  further leases {}, from a checkpoint {}; stale writes refused {}", n(2), n(3), n(6));
    for (what, name) in [
        ("runs of one dataset at once", "beside"),
        ("metrics lost, or of a stale lease", "metrics"),
        ("models that are not as uploaded", "models"),
        ("leases that did not go on from the last checkpoint", "resumed"),
        ("halves and refused files that are kept", "halves"),
        ("files that are damaged, or served otherwise", "damaged"),
    ] {
        println!("  {what}: {}", verdict.count(name));
    }
    [3, 5, 6].iter().all(|at| n(*at) != "0")
}
