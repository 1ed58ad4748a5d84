//! How everything is started: who reaches whom by which way.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use darkroom::app::App;
use reqwest::Method;
use serde_json::json;

use crate::cast::api::{Api, Body};
use crate::cast::part::Part;
use crate::cast::servers::{Cache, Database};
use crate::judge::ledger::Ledger;
use crate::kit::proxy::Proxy;
use crate::kit::settings::settings;
use crate::kit::wait::holds_within;
use crate::kit::{faults, shim};
use crate::site::{DATASETS, Doors, Hand, MODELS, REPLICAS, Replica, Scratch, Settings, Site};

const DARKROOM: &str = env!("CARGO_BIN_EXE_darkroom");
/// What the one key reaches: the workers' models, the probers' and those of the rack that dies.
const KEY_MODELS: [&str; 5] = [MODELS[0], MODELS[1], MODELS[2], "probe-*", "rack-*"];
const WORKERS_PER_MODEL: usize = 2;
/// At least two: one run of a dataset at a time is a rule only for those who would take another.
const TRAINERS_PER_DATASET: usize = 2;
const PRODUCERS: usize = 2;
/// Accepted jobs per second that the producers try for, together; what they miss in an outage they make up for.
const RATE: f64 = 170.0;
/// How long anything may take to start.
const START_WAIT: Duration = Duration::from_secs(60);

/// Starts everything.
pub async fn start(asked: Settings) -> anyhow::Result<Site> {
    let scratch = Scratch::make(asked.keep)?;
    println!("chaos: scratch {}", scratch.display());
    let shim = shim::compile("faults", &scratch)?;
    let database = Database::start(scratch.join("postgres"), &shim).await?;
    let cache = Cache::start(scratch.join("redis")).await?;
    let url = database.url()?;
    let Passwords { root: admin, pia, rosa } = install(&url)?;
    let plan = Plan { settings: &asked, scratch: &scratch, shim: &shim };
    let mut replicas = Vec::new();
    for (n, port) in free_ports(REPLICAS)?.into_iter().enumerate() {
        let doors = Doors {
            postgres: Proxy::start(&database.socket()).await?,
            redis: Proxy::start(&cache.socket()).await?,
            http: Proxy::start(Path::new(&format!("127.0.0.1:{port}"))).await?,
        };
        replicas.push(plan.replica(n, port, doors)?);
    }
    let bases: Vec<String> = replicas.iter().map(|r| r.base.clone()).collect();
    let nobody = Api::new(bases.clone(), String::new());
    let root = nobody.with_token(log_in(&bases[0], "root", &admin).await?);
    let api = nobody.with_token(log_in(&bases[0], "pia", &pia).await?);
    let researcher = nobody.with_token(log_in(&bases[0], "rosa", &rosa).await?);
    let key = make_key(&root, json!({ "service": "predict", "models": KEY_MODELS })).await?;
    let train_key = make_key(&root, json!({ "service": "train", "models": DATASETS })).await?;
    // Workers and producers come by the doors.
    let bases: Vec<String> = replicas.iter().map(|r| format!("http://127.0.0.1:{}", r.doors.http.port)).collect();
    let worker = |n: usize| plan.hand("worker", n, MODELS[n % MODELS.len()], &key, &bases);
    let workers = (0..MODELS.len() * WORKERS_PER_MODEL).map(worker).collect::<Result<_, _>>()?;
    let trainer = |n: usize| plan.hand("trainer", n, DATASETS[n % DATASETS.len()], &train_key, &bases);
    let trainers = (0..DATASETS.len() * TRAINERS_PER_DATASET).map(trainer).collect::<Result<_, _>>()?;
    plan.wait_for_models(&root).await?;
    let token = log_in(&bases[0], "pia", &pia).await?;
    let producers = (0..PRODUCERS).map(|n| plan.hand("producer", n, "", &token, &bases)).collect::<Result<_, _>>()?;
    let collector = App::new(&settings(&url, &cache.url(), scratch.join("data"))).await?;
    let ledger = Ledger::open(&scratch.join("ledgers"), "orchestrator")?;
    Ok(Site {
        url: url.clone(),
        database: Arc::new(tokio::sync::Mutex::new(database)),
        cache: Arc::new(tokio::sync::Mutex::new(cache)),
        replicas,
        workers,
        trainers,
        producers,
        api,
        researcher,
        password: pia,
        key,
        collector,
        ledger: tokio::sync::Mutex::new(ledger),
        hits: Mutex::default(),
        wounds: Mutex::default(),
        lives: Mutex::default(),
        left_behind: Mutex::default(),
        probing: AtomicBool::new(true),
        late: Mutex::default(),
        contradictions: Mutex::default(),
        watched: AtomicU64::new(0),
        lagged: AtomicU64::new(0),
        settings: asked,
        scratch,
    })
}

/// Of the administrator, the investigator and the researcher.
struct Passwords {
    root: String,
    pia: String,
    rosa: String,
}

/// Migrates the database and makes the accounts.
fn install(url: &str) -> anyhow::Result<Passwords> {
    let administer = |args: &[&str]| -> anyhow::Result<String> {
        let done = std::process::Command::new(DARKROOM).args(args).env("DATABASE_URL", url).output()?;
        anyhow::ensure!(done.status.success(), "{args:?}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    };
    administer(&["migrate"])?;
    let account = |name: &str, role: &str| -> anyhow::Result<String> {
        let said = administer(&["user", "create", name, "--roles", role])?;
        said.lines().nth(1).map(str::to_owned).context("no password")
    };
    Ok(Passwords {
        root: account("root", "admin")?,
        pia: account("pia", "investigator")?,
        rosa: account("rosa", "researcher")?,
    })
}

async fn make_key(root: &Api, body: serde_json::Value) -> anyhow::Result<String> {
    let (status, key) = root.post("/auth/key", body, START_WAIT).await;
    anyhow::ensure!(status == 201, "no key: {key}");
    key["key"].as_str().map(str::to_owned).context("no key")
}

/// What the processes are started with.
struct Plan<'a> {
    settings: &'a Settings,
    scratch: &'a Path,
    shim: &'a str,
}

impl Plan<'_> {
    fn env<const N: usize>(&self, pairs: [(&str, String); N]) -> BTreeMap<String, String> {
        let mut env: BTreeMap<String, String> = pairs.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
        env.insert("LD_PRELOAD".to_owned(), self.shim.to_owned());
        env.insert("FAULTS_ORPHAN".to_owned(), "1".to_owned());
        env
    }

    fn replica(&self, n: usize, port: u16, doors: Doors) -> anyhow::Result<Replica> {
        let control = self.scratch.join(format!("disk-{n}"));
        faults::tell(&control, "")?;
        let url = format!("postgres://darkroom@127.0.0.1:{}/postgres?sslmode=disable", doors.postgres.port);
        let redis = format!("redis://127.0.0.1:{}", doors.redis.port);
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
        Ok(Replica { part, base: format!("http://127.0.0.1:{port}"), doors, control, busy: Arc::default() })
    }

    fn hand(&self, role: &str, n: usize, serves: &str, token: &str, bases: &[String]) -> anyhow::Result<Hand> {
        let mut bases = bases.to_vec();
        bases.rotate_left(n % REPLICAS);
        let name = format!("{role}-{n}");
        let env = self.env([
            ("CHAOS_NAME", name.clone()),
            ("CHAOS_BASES", bases.join(",")),
            ("CHAOS_TOKEN", token.to_owned()),
            ("CHAOS_MODEL", serves.to_owned()),
            ("CHAOS_MODELS", MODELS.join(",")),
            ("CHAOS_LEDGERS", self.scratch.join("ledgers").to_string_lossy().into_owned()),
            ("CHAOS_LEASE_S", self.settings.lease_s.to_string()),
            ("CHAOS_RATE", (RATE / PRODUCERS as f64).to_string()),
            ("CHAOS_SEED", (self.settings.seed + n as u64).to_string()),
        ]);
        let program = std::env::current_exe()?;
        Ok(Hand { part: Part::start(&name, &program, &[role], env, &self.scratch.join("logs")), busy: Arc::default() })
    }

    /// Waits until every model and dataset is known, and makes their back-off short: nothing here is in need of rest.
    async fn wait_for_models(&self, root: &Api) -> anyhow::Result<()> {
        let models = MODELS.iter().map(|model| format!("/models/{model}"));
        for path in models.chain(DATASETS.iter().map(|dataset| format!("/training/datasets/{dataset}"))) {
            let body = Body::Json(json!({ "backoff_base_s": 0.2, "backoff_cap_s": 2.0 }));
            let set = async || root.until_answered(Method::PATCH, &path, &body, START_WAIT).await.0 == 200;
            anyhow::ensure!(holds_within(START_WAIT, set).await, "nobody registered {path}");
        }
        Ok(())
    }
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

/// Waits until a server answers.
pub async fn alive(base: &str) -> anyhow::Result<()> {
    let api = Api::new(vec![base.to_owned()], String::new());
    let ask = async || api.once(Method::GET, "/health/live", &Body::Nothing, Duration::from_secs(2)).await.is_ok();
    anyhow::ensure!(holds_within(START_WAIT, ask).await, "{base} does not come up");
    Ok(())
}

async fn log_in(base: &str, name: &str, password: &str) -> anyhow::Result<String> {
    alive(base).await?;
    let form = [("username", name), ("password", password)];
    let answer = reqwest::Client::new().post(format!("{base}/auth/login")).form(&form).send().await?;
    let answer: serde_json::Value = answer.json().await?;
    answer["access_token"].as_str().map(str::to_owned).with_context(|| format!("no token: {answer}"))
}
