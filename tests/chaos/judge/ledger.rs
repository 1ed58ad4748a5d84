//! The books: what a process was told with a 2xx, on stable storage before it asks for anything else.
//!
//! One line per fact, in PostgreSQL's COPY text format, so that the verdict loads it as it is.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use serde_json::Value;
use uuid::Uuid;

use crate::now_s;

/// One process's book.
pub struct Ledger {
    file: File,
    lines: String,
}

/// One fact; what does not apply is left out.
#[derive(Default)]
pub struct Fact<'a> {
    /// `accepted`, `claimed`, `waited`, `item`, `latency`, `retried` or `changed`; of a run also `metrics`, `sending` (a file), `file`
    /// (its answer), `half` and `resumed`.
    pub what: &'a str,
    pub job: Option<&'a str>,
    pub lease_no: Option<i64>,
    pub session: Option<Uuid>,
    /// What the process had asked for: of an item its outcome, of a wait the model, of a file its kind; of metrics the attempt.
    pub outcome: Option<&'a str>,
    pub status: Option<i64>,
    /// What it was told; of a wait, by which address; of a file its SHA-256, of metrics the epoch, of what was resumed `well` or `broken`.
    pub state: Option<&'a str>,
    /// Of an item, whether it was answered as one that had been accepted; of metrics and files, whether it was sent more than once.
    pub repeat: Option<bool>,
    pub nonce: Option<&'a str>,
    /// Milliseconds of a latency, seconds of a wait, the epoch of a file, by which metrics are known, or a count.
    pub number: Option<f64>,
}

/// The columns of a line, for COPY.
pub const COLUMNS: &str = "what, job, lease_no, session, outcome, status, state, repeat, nonce, number, at";

impl Ledger {
    /// Opens a book of its own for every process: a line that a death cut short is the last one.
    pub fn open(folder: &Path, name: &str) -> anyhow::Result<Self> {
        let path = folder.join(format!("{name}-{}.tsv", std::process::id()));
        let file = File::options().append(true).create(true).open(path)?;
        Ok(Self { file, lines: String::new() })
    }

    pub fn note(&mut self, fact: &Fact<'_>) {
        fn field<T: ToString>(value: Option<T>) -> String {
            value.map_or_else(|| "\\N".to_owned(), |v| v.to_string())
        }
        let fields = [
            fact.what.to_owned(),
            field(fact.job),
            field(fact.lease_no),
            field(fact.session),
            field(fact.outcome),
            field(fact.status),
            field(fact.state),
            field(fact.repeat),
            field(fact.nonce),
            field(fact.number),
            now_s().to_string(),
        ];
        self.lines.push_str(&fields.join("\t"));
        self.lines.push('\n');
    }

    /// Writes what was noted; when this returns, it is on stable storage.
    pub fn commit(&mut self) -> anyhow::Result<()> {
        self.file.write_all(self.lines.as_bytes())?;
        self.file.sync_data()?;
        self.lines.clear();
        Ok(())
    }

    /// Notes how many requests were sent again.
    pub fn retried(&mut self, count: u64) {
        if count > 0 {
            self.note(&Fact { what: "retried", number: Some(count as f64), ..Fact::default() });
        }
    }

    /// Notes every job of a 202 and commits; answers their ids in order.
    pub fn accepted(&mut self, submitted: &Value) -> anyhow::Result<Vec<String>> {
        let mut ids = Vec::new();
        for image in submitted["images"].as_array().into_iter().flatten() {
            for job in image["jobs"].as_array().into_iter().flatten() {
                let id = job["id"].as_str().unwrap_or_default();
                let (state, outcome) = (job["state"].as_str(), job["outcome"].as_str());
                self.note(&Fact { what: "accepted", job: Some(id), outcome, state, ..Fact::default() });
                ids.push(id.to_owned());
            }
        }
        self.commit()?;
        Ok(ids)
    }
}
