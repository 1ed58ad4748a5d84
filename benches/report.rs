//! What was measured: lines on the screen, and `target/bench/latest.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::costs::Costs;
use crate::sample::Side;

/// One measurement, beside what it is compared with and what it is to be.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    /// Set when it is reported.
    #[serde(default)]
    pub work: String,
    pub what: String,
    pub unit: String,
    pub value: f64,
    /// The other side of the ratio, measured in the same run.
    pub against: Option<Against>,
    pub ratio: Option<f64>,
    /// What the ratio, or the value where there is none, is to be; none is printed only.
    pub target: Option<Target>,
    pub met: Option<bool>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Against {
    pub what: String,
    pub value: f64,
    /// What it does not do that ours does.
    pub leaves_out: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
}

impl Target {
    fn is_met(self, by: f64) -> bool {
        match self {
            Self::AtLeast(least) => by >= least,
            Self::AtMost(most) => by <= most,
        }
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::AtLeast(least) => write!(f, "≥ {least}"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
        }
    }
}

impl Row {
    pub fn new(what: &str, unit: &str, value: f64) -> Self {
        let (work, what, unit) = (String::new(), what.to_owned(), unit.to_owned());
        Self { work, what, unit, value, against: None, ratio: None, target: None, met: None }
    }

    /// The median rate of a side.
    pub fn rate(what: &str, ours: &Side) -> Self {
        Self::new(what, "jobs/s", ours.rate())
    }

    /// As a ratio to another value of the same run.
    pub fn against(mut self, what: &str, value: f64) -> Self {
        self.ratio = Some(self.value / value);
        self.against = Some(Against { what: what.to_owned(), value, leaves_out: None });
        self
    }

    pub fn leaving_out(mut self, what: &str) -> Self {
        if let Some(against) = &mut self.against {
            against.leaves_out = Some(what.to_owned());
        }
        self
    }

    pub fn at_least(self, least: f64) -> Self {
        self.judged(Target::AtLeast(least))
    }

    pub fn at_most(self, most: f64) -> Self {
        self.judged(Target::AtMost(most))
    }

    fn judged(mut self, target: Target) -> Self {
        self.target = Some(target);
        self.met = Some(target.is_met(self.ratio.unwrap_or(self.value)));
        self
    }

    pub fn verdict(&self) -> &'static str {
        self.met.map_or("", |met| if met { "met" } else { "MISSED" })
    }

    fn print(&self) {
        let ratio = self.ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"));
        let target = self.target.map_or_else(String::new, |target| target.to_string());
        let other = self.against.as_ref().map_or_else(String::new, |o| format!("{} ({})", number(o.value), o.what));
        let value = format!("{} {}", number(self.value), self.unit);
        println!(
            "{:<13} {:>18} {ratio:>6} {target:>8} {:<6}  {} | {other}",
            self.work,
            value,
            self.verdict(),
            self.what
        );
    }
}

/// What one side of a work cost, the median of its turns.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Cost {
    #[serde(default)]
    pub work: String,
    pub side: String,
    pub turns: usize,
    pub costs: Costs,
}

/// What a work came to.
#[derive(Default)]
pub struct Outcome {
    pub rows: Vec<Row>,
    pub costs: Vec<Cost>,
}

impl Outcome {
    pub fn new(rows: Vec<Row>, sides: &[&Side]) -> Self {
        let cost = |side: &&Side| Cost {
            work: String::new(),
            side: side.name.clone(),
            turns: side.rates.len(),
            costs: side.cost(),
        };
        Self { rows, costs: sides.iter().filter(|side| !side.costs.is_empty()).map(cost).collect() }
    }
}

/// What was last measured of each work.
#[derive(Default, Serialize, Deserialize)]
pub struct Report {
    pub rows: Vec<Row>,
    pub costs: Vec<Cost>,
    #[serde(skip)]
    short: bool,
}

impl Report {
    /// What lies in the file, if this version wrote it; a smoke run has a file of its own, and begins anew.
    pub fn open(short: bool) -> Self {
        let new = Self { short, ..Self::default() };
        match std::fs::read_to_string(new.path()) {
            Ok(text) if !short => serde_json::from_str(&text).unwrap_or(new),
            _ => new,
        }
    }

    pub fn path(&self) -> PathBuf {
        let name = if self.short { "short.json" } else { "latest.json" };
        Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench").join(name)
    }

    /// Puts what a work came to in place of what it came to before, and prints it.
    pub fn put(&mut self, work: &str, outcome: Outcome) -> anyhow::Result<()> {
        self.rows.retain(|row| row.work != work);
        self.costs.retain(|cost| cost.work != work);
        for mut row in outcome.rows {
            work.clone_into(&mut row.work);
            row.print();
            self.rows.push(row);
        }
        self.costs.extend(outcome.costs.into_iter().map(|cost| Cost { work: work.to_owned(), ..cost }));
        let path = self.path();
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(())
    }

    /// Prints these works as one table.
    pub fn print(&self, works: &[&str]) {
        let rows: Vec<&Row> = works.iter().flat_map(|work| self.rows.iter().filter(move |r| r.work == *work)).collect();
        println!("\n{:<13} {:>18} {:>6} {:>8} {:<6}  what | compared with", "work", "ours", "ratio", "target", "");
        rows.iter().for_each(|row| row.print());
        let missed = rows.iter().filter(|row| row.met == Some(false)).count();
        let judged = rows.iter().filter(|row| row.met.is_some()).count();
        println!("{} of {judged} met", judged - missed);
        if self.short {
            println!("a smoke run: it shows that everything runs, its figures mean nothing");
        }
    }
}

/// Three digits that matter, and thousands apart.
pub fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        let digits = if value.abs() < 1.0 { 3 } else { 2 - usize::from(value.abs() >= 10.0) };
        return format!("{value:.digits$}");
    }
    let whole = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in whole.chars().enumerate() {
        if place > 0 && (whole.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The middle of some samples.
pub fn median(samples: &[f64]) -> f64 {
    percentile(samples, 0.5)
}

/// The sample that this share of all does not exceed.
pub fn percentile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(((sorted.len().saturating_sub(1)) as f64 * share).round() as usize).copied().unwrap_or(f64::NAN)
}
