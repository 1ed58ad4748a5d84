//! Everything that runs, and where it lies.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use darkroom::app::App;
use darkroom::config::{Secret, Serve};
use darkroom::dev::process;
use reqwest::Method;
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::api::{Api, Body};
use crate::faults::clock;
use crate::ledger::Ledger;
use crate::parts::Part;
use crate::proxy::{Proxy, Upstream};
use crate::servers::{Cache, Database};
use crate::{now_s, setting};

const DARKROOM: &str = env!("CARGO_BIN_EXE_darkroom");
pub const MODELS: [&str; 3] = ["faces", "ocr", "stats"];
const WORKERS_PER_MODEL: usize = 2;
const PRODUCERS: usize = 2;
pub const REPLICAS: usize = 3;
/// The replica that reaches PostgreSQL and Redis through proxies, and is reached through one.
pub const PROXIED: usize = 1;
/// Accepted jobs per second that the producers try for, together; what they miss in an outage they make up for.
const RATE: f64 = 170.0;
/// How long anything may take to start.
const START_WAIT: Duration = Duration::from_secs(60);

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

    /// How often sessions past their time are looked for, in seconds.
    pub fn rescue_s(&self) -> f64 {
        (self.lease_s / 6.0).min(5.0)
    }
}

/// A replica: its process, its address, and the file that fills its disk.
pub struct Replica {
    pub part: Arc<Part>,
    pub base: String,
    pub control: PathBuf,
    pub busy: Arc<tokio::sync::Mutex<()>>,
}

/// A worker or a producer.
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

/// The three doors of the replica behind proxies.
pub struct Doors {
    pub postgres: Arc<Proxy>,
    pub redis: Arc<Proxy>,
    pub http: Arc<Proxy>,
}

/// The folder of everything that a run writes; it goes with this unless it is to be kept.
pub struct Scratch {
    path: PathBuf,
    keep: bool,
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

/// Fields are dropped in their order: the folder goes after the servers that write to it.
pub struct Site {
    pub settings: Settings,
    pub url: String,
    pub database: Arc<tokio::sync::Mutex<Database>>,
    pub cache: Arc<tokio::sync::Mutex<Cache>>,
    pub doors: Doors,
    pub replicas: Vec<Replica>,
    pub workers: Vec<Hand>,
    pub producers: Vec<Hand>,
    /// An investigator's view of every replica.
    pub api: Api,
    /// A composed server that never listens: it only lends its collector.
    pub collector: App,
    pub ledger: tokio::sync::Mutex<Ledger>,
    pub hits: Mutex<Vec<Hit>>,
    /// Answers that contradict an earlier one, or bytes that could not be read.
    pub contradictions: Mutex<Vec<String>>,
    pub watched: AtomicU64,
    pub lagged: AtomicU64,
    pub scratch: Scratch,
}

impl Site {
    pub async fn start(settings: Settings) -> anyhow::Result<Self> {
        let scratch = make_scratch(settings.keep)?;
        println!("chaos: scratch {}", scratch.display());
        let shim = scratch.join("faults.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/support/faults.c");
        let shim_text = shim.to_string_lossy().into_owned();
        process::output("cc", &["-shared", "-fPIC", "-O2", "-o", &shim_text, source, "-ldl"])?;
        let database = Database::start(scratch.join("postgres")).await?;
        let cache = Cache::start(scratch.join("redis")).await?;
        let url = database.url()?;
        let administer = |args: &[&str]| -> anyhow::Result<String> {
            let done = std::process::Command::new(DARKROOM).args(args).env("DATABASE_URL", &url).output()?;
            anyhow::ensure!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
            Ok(String::from_utf8_lossy(&done.stdout).into_owned())
        };
        administer(&["migrate"])?;
        let password = |text: String| text.lines().nth(1).map(str::to_owned).context("no password");
        let admin = password(administer(&["user", "create", "root", "--roles", "admin"])?)?;
        let pia = password(administer(&["user", "create", "pia", "--roles", "investigator"])?)?;
        let ports = free_ports(REPLICAS)?;
        let doors = Doors {
            postgres: Proxy::start(Upstream::Unix(database.socket())).await?,
            redis: Proxy::start(Upstream::Unix(cache.socket())).await?,
            http: Proxy::start(Upstream::Tcp(format!("127.0.0.1:{}", ports[PROXIED]))).await?,
        };
        let plan = Plan { settings: &settings, scratch: &scratch, shim: &shim_text, url: &url, redis: &cache.url() };
        let replicas: Vec<Replica> =
            ports.iter().enumerate().map(|(n, port)| plan.replica(n, *port, &doors)).collect::<anyhow::Result<_>>()?;
        let mut bases: Vec<String> = replicas.iter().map(|r| r.base.clone()).collect();
        let nobody = Api::new(bases.clone(), String::new());
        let root = nobody.with_token(log_in(&bases[0], "root", &admin).await?);
        let api = nobody.with_token(log_in(&bases[0], "pia", &pia).await?);
        let (status, key) = root.post("/auth/key", json!({ "service": "predict", "models": MODELS }), START_WAIT).await;
        anyhow::ensure!(status == 201, "no key: {key}");
        // Workers and producers know the proxied replica by its proxy.
        bases[PROXIED] = format!("http://127.0.0.1:{}", doors.http.port);
        let key = key["key"].as_str().context("no key")?;
        let workers = (0..MODELS.len() * WORKERS_PER_MODEL)
            .map(|n| plan.hand("worker", n, key, &bases))
            .collect::<Result<_, _>>()?;
        plan.wait_for_models(&root).await?;
        let token = log_in(&bases[0], "pia", &pia).await?;
        let producers = (0..PRODUCERS).map(|n| plan.hand("producer", n, &token, &bases)).collect::<Result<_, _>>()?;
        let collector = App::new(&collector_settings(&plan)).await?;
        let ledger = Ledger::open(&scratch.join("ledgers"), "orchestrator")?;
        Ok(Self {
            url: url.clone(),
            database: Arc::new(tokio::sync::Mutex::new(database)),
            cache: Arc::new(tokio::sync::Mutex::new(cache)),
            doors,
            replicas,
            workers,
            producers,
            api,
            collector,
            ledger: tokio::sync::Mutex::new(ledger),
            hits: Mutex::default(),
            contradictions: Mutex::default(),
            watched: AtomicU64::new(0),
            lagged: AtomicU64::new(0),
            settings,
            scratch,
        })
    }

    /// A connection of the program's own, past every proxy.
    pub async fn sql(&self) -> anyhow::Result<PgConnection> {
        Ok(tokio::time::timeout(Duration::from_secs(10), PgConnection::connect(&self.url)).await??)
    }

    pub fn hit(&self, kind: &'static str, part: &str, from: f64, to: f64) {
        let hit = Hit { kind, part: part.to_owned(), from, to };
        self.hits.lock().unwrap_or_else(PoisonError::into_inner).push(hit);
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
        alive(&self.replicas[at].base).await
    }

    /// Ends every process.
    pub async fn end(self) -> anyhow::Result<()> {
        for part in
            self.producers.iter().chain(&self.workers).map(|h| &h.part).chain(self.replicas.iter().map(|r| &r.part))
        {
            part.end().await;
        }
        // Servers are waited for.
        tokio::task::spawn_blocking(move || drop(self)).await?;
        Ok(())
    }
}

/// What the processes are started with.
struct Plan<'a> {
    settings: &'a Settings,
    scratch: &'a Path,
    shim: &'a str,
    url: &'a str,
    redis: &'a str,
}

impl Plan<'_> {
    fn env<const N: usize>(&self, pairs: [(&str, String); N]) -> BTreeMap<String, String> {
        let mut env: BTreeMap<String, String> = pairs.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        env.insert("LD_PRELOAD".to_owned(), self.shim.to_owned());
        env.insert("FAULTS_ORPHAN".to_owned(), "1".to_owned());
        env
    }

    fn replica(&self, n: usize, port: u16, doors: &Doors) -> anyhow::Result<Replica> {
        let control = self.scratch.join(format!("disk-{n}"));
        std::fs::write(&control, [b' '; 16])?;
        let (mut url, mut redis) = (self.url.to_owned(), self.redis.to_owned());
        if n == PROXIED {
            url = format!("postgres://darkroom@127.0.0.1:{}/postgres?sslmode=disable", doors.postgres.port);
            redis = format!("redis://127.0.0.1:{}", doors.redis.port);
        }
        let data = self.scratch.join("data");
        let env = self.env([
            ("DATABASE_URL", url),
            ("REDIS_URL", redis),
            ("DARKROOM_LISTEN", format!("127.0.0.1:{port}")),
            ("DARKROOM_DATA", data.to_string_lossy().into_owned()),
            ("DARKROOM_LEASE_S", self.settings.lease_s.to_string()),
            ("DARKROOM_HEARTBEAT_S", (self.settings.lease_s / 4.0).to_string()),
            ("DARKROOM_LOG", "warn".to_owned()),
            ("FAULTS_DIR", data.to_string_lossy().into_owned()),
            ("FAULTS_CONTROL", control.to_string_lossy().into_owned()),
        ]);
        let logs = self.scratch.join("logs");
        let part = Part::start(&format!("replica-{n}"), Path::new(DARKROOM), &["serve"], env, &logs);
        Ok(Replica { part, base: format!("http://127.0.0.1:{port}"), control, busy: Arc::default() })
    }

    fn hand(&self, role: &str, n: usize, token: &str, bases: &[String]) -> anyhow::Result<Hand> {
        let mut bases = bases.to_vec();
        bases.rotate_left(n % REPLICAS);
        let name = format!("{role}-{n}");
        let env = self.env([
            ("CHAOS_NAME", name.clone()),
            ("CHAOS_BASES", bases.join(",")),
            ("CHAOS_TOKEN", token.to_owned()),
            ("CHAOS_MODEL", MODELS[n % MODELS.len()].to_owned()),
            ("CHAOS_MODELS", MODELS.join(",")),
            ("CHAOS_LEDGERS", self.scratch.join("ledgers").to_string_lossy().into_owned()),
            ("CHAOS_LEASE_S", self.settings.lease_s.to_string()),
            ("CHAOS_RATE", (RATE / PRODUCERS as f64).to_string()),
            ("CHAOS_SEED", (self.settings.seed + n as u64).to_string()),
        ]);
        let program = std::env::current_exe()?;
        Ok(Hand { part: Part::start(&name, &program, &[role], env, &self.scratch.join("logs")), busy: Arc::default() })
    }

    /// Waits until every model is known, and makes their back-off short: nothing here is in need of rest.
    async fn wait_for_models(&self, root: &Api) -> anyhow::Result<()> {
        let start = Instant::now();
        for model in MODELS {
            let body = Body::Json(json!({ "backoff_base_s": 0.2, "backoff_cap_s": 2.0 }));
            let path = format!("/models/{model}");
            loop {
                let (status, answer) = root.until_answered(Method::PATCH, &path, &body, START_WAIT).await;
                if status == 200 {
                    break;
                }
                anyhow::ensure!(start.elapsed() < START_WAIT, "no worker registered {model}: {answer}");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        Ok(())
    }
}

fn collector_settings(plan: &Plan<'_>) -> Serve {
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        serve: Serve,
    }
    let mut serve = Cli::parse_from(["darkroom"]).serve;
    serve.database.database_url = Secret(plan.url.to_owned());
    serve.redis_url = Secret(plan.redis.to_owned());
    serve.data = plan.scratch.join("data");
    serve
}

/// A new folder where the `postgres` user can reach it; those of runs that were killed go.
fn make_scratch(keep: bool) -> anyhow::Result<Scratch> {
    let base = if process::is_root() { PathBuf::from("/var/tmp") } else { std::env::temp_dir() };
    for entry in std::fs::read_dir(&base)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.strip_prefix("darkroom-chaos-");
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    let scratch = base.join(format!("darkroom-chaos-{}", std::process::id()));
    for folder in ["ledgers", "logs", "data"] {
        std::fs::create_dir_all(scratch.join(folder))?;
    }
    Ok(Scratch { path: scratch.canonicalize()?, keep })
}

/// Ports that nobody listens on, out of the range that outgoing connections are given.
fn free_ports(count: usize) -> anyhow::Result<Vec<u16>> {
    let mut found = Vec::new();
    for _ in 0..1000 {
        let port = rand::random_range(20_000..32_000);
        if !found.contains(&port) && std::net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            found.push(port);
        }
        if found.len() == count {
            return Ok(found);
        }
    }
    anyhow::bail!("no free ports")
}

async fn alive(base: &str) -> anyhow::Result<()> {
    let start = Instant::now();
    let api = Api::new(vec![base.to_owned()], String::new());
    while api.once(Method::GET, "/health/live", &Body::Nothing, Duration::from_secs(2)).await.is_err() {
        anyhow::ensure!(start.elapsed() < START_WAIT, "{base} does not come up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

async fn log_in(base: &str, name: &str, password: &str) -> anyhow::Result<String> {
    alive(base).await?;
    let form = [("username", name), ("password", password)];
    let answer = reqwest::Client::new().post(format!("{base}/auth/login")).form(&form).send().await?;
    let answer: serde_json::Value = answer.json().await?;
    answer["access_token"].as_str().map(str::to_owned).with_context(|| format!("no token: {answer}"))
}
