//! What was last measured as a table and a plot in the README.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, ensure};
use darkroom::dev::{find, process};

use crate::report::{self, Row, Target, number};

const BEGIN: &str = "<!-- measured -->\n";
const END: &str = "<!-- /measured -->\n";
const PLOT: &str = "benches/measured.svg";
/// A bar ends here: beyond, it is only "well met".
const FAR: f64 = 2.0;

/// Writes both from `latest.json`, which must hold every one of these works.
pub fn write(works: &[&str]) -> anyhow::Result<()> {
    let path = report::latest();
    let text = std::fs::read_to_string(&path).with_context(|| format!("no run lies at {}", path.display()))?;
    let rows: Vec<Row> = serde_json::from_str(&text)?;
    let missing = works.iter().find(|work| !rows.iter().any(|row| row.id == **work));
    ensure!(missing.is_none(), "the work {missing:?} was not measured yet; run `make bench`");
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::write(here.join(PLOT), plot(&rows)?)?;
    let readme = here.join("README.md");
    let page = std::fs::read_to_string(&readme)?;
    let (before, rest) = page.split_once(BEGIN).context("the README has no place for it")?;
    let (_, after) = rest.split_once(END).context("the README's place has no end")?;
    std::fs::write(readme, format!("{before}{BEGIN}{}{END}{after}", table(&rows)?))?;
    Ok(())
}

fn table(rows: &[Row]) -> anyhow::Result<String> {
    let mut text = format!("\n![How near each measurement is to its target]({PLOT})\n\n{}\n\n", machine()?);
    writeln!(text, "| | what | measured | against, in the same run | ratio | target | |")?;
    writeln!(text, "|---|---|---|---|---|---|---|")?;
    for row in rows {
        let against =
            row.against.as_ref().map_or_else(String::new, |other| format!("{}: {}", other.what, number(other.value)));
        let ratio = row.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let met = if row.met { "met" } else { "**missed**" };
        let (id, what, value, unit, target) = (&row.id, &row.what, number(row.value), &row.unit, row.target);
        writeln!(text, "| {id} | {what} | {value} {unit} | {against} | {ratio} | {target} | {met} |")?;
    }
    Ok(text + "\n")
}

/// What it was measured on.
fn machine() -> anyhow::Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let field = |name: &str| cpus.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(": "));
    let model = field("model name").map_or("an unnamed processor", |(_, model)| model);
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let postgres = process::output(&find::postgres_bin()?.join("postgres").to_string_lossy(), &["--version"])?;
    let version = postgres.split(' ').nth(2).unwrap_or_default().trim();
    Ok(format!(
        "Measured on {cores} cores of {model} (virtual), shared by the load, the server, Redis and PostgreSQL {version} with `fsync`, \
         `full_page_writes` and `synchronous_commit` on. Each figure is the median of samples taken in turns with what it is \
         compared with, in one run."
    ))
}

/// Bars of how far each target is met: 1 is just met, whichever way the target points.
fn plot(rows: &[Row]) -> anyhow::Result<String> {
    const BAR: usize = 22;
    const LEFT: f64 = 330.0;
    const WIDTH: f64 = 300.0;
    let height = rows.len() * BAR + 50;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 720 {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"720\" height=\"{height}\" fill=\"#fff\"/>\n\
         <text x=\"10\" y=\"18\" font-size=\"13\" fill=\"#222\">How far each target is met (1 is just met; bars end at {FAR})</text>\n"
    );
    for (place, row) in rows.iter().enumerate() {
        let score = match (row.target, row.ratio.unwrap_or(row.value)) {
            (Target::AtLeast(least), by) => by / least,
            (Target::AtMost(most), by) => most / by,
        };
        let (y, length) = (place * BAR + 30, score.min(FAR) / FAR * WIDTH);
        let colour = if row.met { "#2a7d4f" } else { "#c0562f" };
        let against = row.against.as_ref().map_or_else(String::new, |other| format!(" / {}", other.what));
        let name: String = format!("{} {}{against}", row.id, row.unit).chars().take(56).collect();
        writeln!(svg, "<text x=\"10\" y=\"{}\" fill=\"#222\">{}</text>", y + 13, escape(&name))?;
        writeln!(svg, "<rect x=\"{LEFT}\" y=\"{y}\" width=\"{length:.0}\" height=\"16\" fill=\"{colour}\"/>")?;
        let end = LEFT + length + 5.0;
        writeln!(svg, "<text x=\"{end:.0}\" y=\"{}\" fill=\"#222\">{}</text>", y + 13, number(score))?;
    }
    let (line, bottom) = (LEFT + WIDTH / FAR, height - 15);
    writeln!(
        svg,
        "<line x1=\"{line}\" y1=\"26\" x2=\"{line}\" y2=\"{bottom}\" stroke=\"#222\" stroke-dasharray=\"4 3\"/>\n</svg>"
    )?;
    Ok(svg)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
