//! What was last measured as a page: `docs/benchmarks.md`.

use std::fmt::Write;
use std::path::Path;

use anyhow::ensure;
use darkroom::dev::{find, process};

use crate::WORKS;
use crate::report::{Report, Row, number};

const HOW: &str = "\
`make bench` starts a PostgreSQL and a Redis of its own, measures every work in turns with what it is compared with,
and fetches the other queues from npm and PyPI; `make bench ONLY=lifecycle,lookup` measures some works, and
`make bench ONLY=page` writes this page from what was last measured. `PROFILE=1` shows the costliest statements.

Clients, servers, Redis and PostgreSQL share the same cores, so a figure is worth only what its ratio is. Everyone
reaches PostgreSQL and Redis over the loopback network. PostgreSQL runs with `fsync`, `full_page_writes` and
`synchronous_commit` on, for every queue alike; Redis keeps nothing on disk, which is how ours is meant to run and the
fastest for those whose jobs live in it. A figure is the median of five turns, taken A B A B.

In every work with workers the rule of two seconds is judged: from the workers' books and the database, no job that
could be claimed may have waited longer than that while a session of its model waited.
";

/// Writes it; every work must have been measured.
pub fn write() -> anyhow::Result<()> {
    let report = Report::open(false);
    let missing = WORKS.iter().find(|(_, work)| !report.rows.iter().any(|row| row.work == *work));
    ensure!(missing.is_none(), "the work {missing:?} was not measured yet; run `make bench`");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
    std::fs::write(&path, page(&report, &machine()?)?)?;
    println!("written to {}", path.display());
    Ok(())
}

fn page(report: &Report, machine: &str) -> anyhow::Result<String> {
    let mut text = format!("# Benchmarks\n\n{HOW}\n{machine}\n\n## Measured\n\n");
    writeln!(text, "| work | what | ours | beside, in the same run | ratio | target | |")?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for row in rows(report) {
        let beside = row.against.as_ref().map_or_else(String::new, |o| format!("{}: {}", o.what, number(o.value)));
        let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let target = row.target.map_or_else(String::new, |target| target.to_string());
        let verdict = if row.met == Some(false) { "**missed**" } else { row.verdict() };
        let (work, what, value, unit) = (&row.work, &row.what, number(row.value), &row.unit);
        writeln!(text, "| {work} | {what} | {value} {unit} | {beside} | {ratio} | {target} | {verdict} |")?;
    }
    writeln!(text, "\n## What a job costs\n\nMicroseconds of processor, and bytes of WAL.\n")?;
    writeln!(text, "| work | side | turns | PostgreSQL | server | Redis | client | WAL | processors idle |")?;
    writeln!(text, "|---|---|---|---|---|---|---|---|---|")?;
    for (_, work) in WORKS {
        for cost in report.costs.iter().filter(|cost| cost.work == work) {
            let c = &cost.costs;
            let [postgres, server, redis, client] =
                [c.postgres_us, c.server_us, c.redis_us, c.client_us].map(|us| format!("{us:.1}"));
            let (side, turns, wal, idle) = (&cost.side, cost.turns, number(c.wal_bytes), c.idle_percent);
            writeln!(
                text,
                "| {work} | {side} | {turns} | {postgres} | {server} | {redis} | {client} | {wal} | {idle:.0} % |"
            )?;
        }
    }
    writeln!(text, "\n## What the others leave out\n")?;
    let mut told: Vec<&str> = Vec::new();
    for other in rows(report).filter_map(|row| row.against.as_ref()) {
        if let Some(leaves_out) = other.leaves_out.as_ref().filter(|_| !told.contains(&other.what.as_str())) {
            writeln!(text, "- {}: {leaves_out}.", other.what)?;
            told.push(&other.what);
        }
    }
    Ok(text)
}

/// In the order of the works.
fn rows(report: &Report) -> impl Iterator<Item = &Row> {
    WORKS.iter().flat_map(|(_, work)| report.rows.iter().filter(move |row| row.work == *work))
}

/// What it was measured on.
fn machine() -> anyhow::Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| cpus.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(": "));
    let model = field("model name").map_or("an unnamed processor", |(_, model)| model);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let postgres = process::output(&find::postgres_bin()?.join("postgres").to_string_lossy(), &["--version"])?;
    let version = postgres.split(' ').nth(2).unwrap_or_default().trim();
    Ok(format!("The figures below are of {cores} virtual cores of {model} and PostgreSQL {version}."))
}
