//! Everything that runs, and what is noted while it does.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use darkroom::app::App;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::cast::api::Api;
use crate::cast::part::Part;
use crate::cast::servers::{Cache, Database};
use crate::judge::ledger::Ledger;
use crate::judge::recovery::{Life, Wound};
use crate::kit::proxy::Proxy;
use crate::kit::scratch;
use crate::{clock, now_s, setting, start};

pub const MODELS: [&str; 3] = ["faces", "ocr", "stats"];
pub const DATASETS: [&str; 2] = ["digits", "scans"];
pub const REPLICAS: usize = 3;
/// The part that a hit names when it takes the whole service away.
pub const SERVICE: &str = "service";

/// The part that a hit names when a worker, or the machine, stands still and nobody is to notice: what a session asks for may
/// not have been sent.
pub const STOPPED: &str = "stopped";

/// A run of this length is a whole one, with the harder conditions.
const WHOLE_RUN: Duration = Duration::from_secs(900);

/// What the environment asks for.
pub struct Settings {
    pub duration: Duration,
    pub lease_s: f64,
    pub seed: u64,
    pub keep: bool,
}

impl Settings {
    pub fn read() -> anyhow::Result<Self> {
        Ok(Self {
            duration: Duration::from_secs_f64(setting("DURATION", 900.0)?),
            lease_s: setting("LEASE_S", 6.0)?,
            seed: setting("SEED", rand::random::<u32>().into())?,
            keep: setting("KEEP", 0)? == 1,
        })
    }

    /// Whether the harder conditions hold.
    pub fn is_whole(&self) -> bool {
        self.duration >= WHOLE_RUN
    }

    /// How often each kind of fault is reached at least.
    pub fn least(&self) -> u32 {
        if self.is_whole() { 3 } else { 1 }
    }

    /// How long lost connections stay half-open: two minutes in a whole run, and an eighth of a shorter one.
    pub fn half_open_for(&self) -> Duration {
        (self.duration / 8).min(Duration::from_secs(120))
    }

    /// How often sessions past their time are looked for, in seconds.
    pub fn rescue_s(&self) -> f64 {
        (self.lease_s / 6.0).min(5.0)
    }
}

/// The folder of everything that a run writes; it goes with this unless it is to be kept.
pub struct Scratch {
    path: PathBuf,
    keep: bool,
}

impl Scratch {
    pub fn make(keep: bool) -> anyhow::Result<Self> {
        let path = scratch::make("chaos")?;
        for folder in ["ledgers", "logs", "data"] {
            std::fs::create_dir_all(path.join(folder))?;
        }
        Ok(Self { path, keep })
    }
}

impl std::ops::Deref for Scratch {
    type Target = Path;
    fn deref(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.keep {
            println!("chaos: kept {}", self.path.display());
        } else if let Err(error) = std::fs::remove_dir_all(&self.path) {
            println!("chaos: {} is left behind: {error}", self.path.display());
        }
    }
}

/// A replica: its process, its address, its doors, and the file that fills its disk and sets its clock.
pub struct Replica {
    pub part: Arc<Part>,
    /// Past its door.
    pub base: String,
    pub doors: Doors,
    pub control: PathBuf,
    pub busy: Arc<tokio::sync::Mutex<()>>,
}

/// A worker, a trainer or a producer.
pub struct Hand {
    pub part: Arc<Part>,
    pub busy: Arc<tokio::sync::Mutex<()>>,
}

/// What was done to whom, and when, in seconds since 1970.
pub struct Hit {
    pub kind: &'static str,
    pub part: String,
    pub from: f64,
    pub to: f64,
}

/// The three doors of a replica: it reaches PostgreSQL and Redis through proxies, and is reached through one.
pub struct Doors {
    pub postgres: Arc<Proxy>,
    pub redis: Arc<Proxy>,
    pub http: Arc<Proxy>,
}

/// Fields are dropped in their order: the folder goes after the servers that write to it.
pub struct Site {
    pub settings: Settings,
    pub url: String,
    pub database: Arc<tokio::sync::Mutex<Database>>,
    pub cache: Arc<tokio::sync::Mutex<Cache>>,
    pub replicas: Vec<Replica>,
    pub workers: Vec<Hand>,
    pub trainers: Vec<Hand>,
    pub producers: Vec<Hand>,
    /// An investigator's view of every replica, and the password.
    pub api: Api,
    /// Who starts training runs, at every replica.
    pub researcher: Api,
    pub password: String,
    /// The key of every microservice.
    pub key: String,
    /// A composed server that never listens: it only lends its collector.
    pub collector: App,
    pub ledger: tokio::sync::Mutex<Ledger>,
    pub hits: Mutex<Vec<Hit>>,
    pub wounds: Mutex<Vec<Wound>>,
    /// The whole lifecycles at each replica.
    pub lives: Mutex<Vec<Life>>,
    /// Submissions whose jobs nobody is left to run.
    pub left_behind: Mutex<Vec<Uuid>>,
    /// Whether probers go on.
    pub probing: AtomicBool,
    /// What came too late.
    pub late: Mutex<Vec<String>>,
    /// Answers that contradict an earlier one, or bytes that could not be read.
    pub contradictions: Mutex<Vec<String>>,
    pub watched: AtomicU64,
    pub lagged: AtomicU64,
    pub scratch: Scratch,
}

impl Site {
    /// A connection of the program's own, past every proxy.
    pub async fn sql(&self) -> anyhow::Result<PgConnection> {
        Ok(tokio::time::timeout(Duration::from_secs(10), PgConnection::connect(&self.url)).await??)
    }

    pub fn hit(&self, kind: &'static str, part: &str, from: f64, to: f64) {
        let hit = Hit { kind, part: part.to_owned(), from, to };
        self.hits.lock().unwrap_or_else(PoisonError::into_inner).push(hit);
    }

    /// Notes that a replica could not serve.
    pub fn wound(&self, kind: &'static str, replicas: Vec<usize>, from: f64, to: f64) {
        let wound = Wound { kind, replicas, from, to };
        self.wounds.lock().unwrap_or_else(PoisonError::into_inner).push(wound);
    }

    pub fn lived(&self, life: Life) {
        self.lives.lock().unwrap_or_else(PoisonError::into_inner).push(life);
    }

    /// When the last lifecycle at a replica began, in seconds since 1970.
    pub fn last_life(&self, at: usize) -> f64 {
        let lives = self.lives.lock().unwrap_or_else(PoisonError::into_inner);
        lives.iter().rev().find(|life| life.at == at).map_or(0.0, |life| life.from)
    }

    pub fn leave_behind(&self, submission: Uuid) {
        self.left_behind.lock().unwrap_or_else(PoisonError::into_inner).push(submission);
    }

    pub fn late(&self, what: String) {
        println!("late at {}: {what}", clock(now_s()));
        self.late.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Adds a line to the log of faults.
    pub fn log(&self, line: &str) {
        let log = std::fs::File::options().append(true).create(true).open(self.scratch.join("logs/faults.log"));
        if let Err(error) = log.and_then(|mut log| writeln!(log, "{line}")) {
            println!("chaos: the log of faults: {error}");
        }
    }

    pub fn contradiction(&self, what: String) {
        println!("contradiction at {}: {what}", clock(now_s()));
        self.contradictions.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Notes a look that fell behind an earlier one.
    pub fn lagged(&self, what: &str) {
        self.lagged.fetch_add(1, Ordering::Relaxed);
        self.log(&format!("{} {what}", clock(now_s())));
    }

    pub fn count_watched(&self) {
        self.watched.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits until a replica answers.
    pub async fn until_alive(&self, at: usize) -> anyhow::Result<()> {
        start::alive(&self.replicas[at].base).await
    }

    /// Ends every process.
    pub async fn end(self) -> anyhow::Result<()> {
        let hands = self.producers.iter().chain(&self.workers).chain(&self.trainers);
        for part in hands.map(|h| &h.part).chain(self.replicas.iter().map(|r| &r.part)) {
            part.end().await;
        }
        // Servers are waited for.
        tokio::task::spawn_blocking(move || drop(self)).await?;
        Ok(())
    }
}
