//! What was measured: rows on the screen and in `target/bench/latest.json`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One measurement beside what it is compared with.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Row {
    pub id: String,
    pub what: String,
    pub value: f64,
    pub unit: String,
    pub against: Option<Against>,
    pub ratio: Option<f64>,
    pub target: Target,
    pub met: bool,
}

/// The other side of a ratio, measured in the same run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Against {
    pub what: String,
    pub value: f64,
}

/// What the ratio, or the value where there is none, is to be.
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
    /// A value against another of the same run.
    pub fn ratio(id: &str, what: &str, unit: &str, value: f64, against: (&str, f64), target: Target) -> Self {
        let ratio = value / against.1;
        Self {
            id: id.to_owned(),
            what: what.to_owned(),
            value,
            unit: unit.to_owned(),
            against: Some(Against { what: against.0.to_owned(), value: against.1 }),
            ratio: Some(ratio),
            target,
            met: target.is_met(ratio),
        }
    }

    /// A value against a bound.
    pub fn bound(id: &str, what: &str, unit: &str, value: f64, target: Target) -> Self {
        let met = target.is_met(value);
        Self {
            id: id.to_owned(),
            what: what.to_owned(),
            value,
            unit: unit.to_owned(),
            against: None,
            ratio: None,
            target,
            met,
        }
    }

    pub fn print(&self) {
        let verdict = if self.met { "met" } else { "MISSED" };
        let (id, what, value, unit, target) = (&self.id, &self.what, number(self.value), &self.unit, self.target);
        match (&self.against, self.ratio) {
            (Some(other), Some(ratio)) => {
                let (than, beside) = (&other.what, number(other.value));
                println!(
                    "{id:<3} {what}: {value} {unit} · {than}: {beside} · ratio {ratio:.2}, target {target}: {verdict}"
                );
            }
            _ => println!("{id:<3} {what}: {value} {unit}, target {target}: {verdict}"),
        }
    }
}

/// Three digits that matter, and thousands apart.
pub fn number(value: f64) -> String {
    if value.abs() < 100.0 {
        let digits = if value.abs() < 1.0 {
            3
        } else if value.abs() < 10.0 {
            2
        } else {
            1
        };
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

/// Where the last run lies.
pub fn latest() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench/latest.json")
}

/// Writes the rows of a run; those of works that it left out stay as they were last measured.
pub fn write(rows: Vec<Row>) -> anyhow::Result<()> {
    let path = latest();
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let before = std::fs::read_to_string(&path).unwrap_or_else(|_| "[]".to_owned());
    let mut all: Vec<Row> = serde_json::from_str(&before)?;
    all.retain(|old| !rows.iter().any(|row| row.id == old.id));
    all.extend(rows);
    all.sort_by(|a, b| a.id.cmp(&b.id));
    std::fs::write(&path, serde_json::to_string_pretty(&all)? + "\n")?;
    println!("written to {}", path.display());
    Ok(())
}
