//! What was last measured, put into its place in `docs/benchmarks.md`.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use darkroom::dev::{find, process};

use crate::WORKS;
use crate::report::{Report, Row, number};

const BEGIN: &str = "<!-- measured -->\n";
const END: &str = "<!-- /measured -->\n";

/// Writes it; every work must have been measured.
pub fn write() -> anyhow::Result<()> {
    let report = Report::open(false);
    let missing = WORKS.iter().find(|(_, work)| !report.rows.iter().any(|row| row.work == *work));
    ensure!(missing.is_none(), "the work {missing:?} was not measured yet; run `make bench`");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/benchmarks.md");
    let page = std::fs::read_to_string(&path)?;
    let (before, rest) = page.split_once(BEGIN).context("the page has no place for it")?;
    let (_, after) = rest.split_once(END).context("the page's place has no end")?;
    std::fs::write(&path, format!("{before}{BEGIN}\n{}\n{END}{after}", measured(&report, &machine()?)?))?;
    println!("written to {}", path.display());
    Ok(())
}

fn measured(report: &Report, machine: &str) -> anyhow::Result<String> {
    let mut text = format!("{machine}\n\n");
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
    writeln!(text, "\n### What a job costs\n\nMicroseconds of processor, and bytes of WAL.\n")?;
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
    writeln!(text, "\n### What the others leave out\n")?;
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
