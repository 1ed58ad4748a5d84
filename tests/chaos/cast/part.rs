//! Replicas, workers and producers as child processes that are started again whenever they end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use darkroom::dev::process;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{broadcast, mpsc, oneshot};

use super::api::Api;
use crate::judge::ledger::Ledger;
use crate::setting;

/// How long a process that ended rests.
const RESTART_AFTER: Duration = Duration::from_millis(200);

/// What a worker or producer reads from its environment.
pub struct Role {
    pub name: String,
    pub seed: u64,
    pub api: Api,
    pub ledger: Ledger,
}

impl Role {
    pub fn of_this_process() -> anyhow::Result<Self> {
        let name: String = setting("CHAOS_NAME", "nobody".to_owned())?;
        let bases = setting("CHAOS_BASES", String::new())?.split(',').map(str::to_owned).collect();
        let folder: PathBuf = setting("CHAOS_LEDGERS", PathBuf::from("."))?;
        let api = Api::new(bases, setting("CHAOS_TOKEN", String::new())?);
        Ok(Self { seed: setting("CHAOS_SEED", 0)?, api, ledger: Ledger::open(&folder, &name)?, name })
    }
}

enum Order {
    Kill(oneshot::Sender<()>),
    Signal(&'static str, oneshot::Sender<()>),
    Say(&'static str),
    End(oneshot::Sender<()>),
}

/// One process, under one name, through all its lives.
pub struct Part {
    pub name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Mutex<BTreeMap<String, String>>,
    log: PathBuf,
    orders: mpsc::UnboundedSender<Order>,
    said: broadcast::Sender<String>,
    pub lives: AtomicU32,
}

impl Part {
    pub fn start(name: &str, program: &Path, args: &[&str], env: BTreeMap<String, String>, logs: &Path) -> Arc<Self> {
        let (orders, inbox) = mpsc::unbounded_channel();
        let part = Arc::new(Self {
            name: name.to_owned(),
            program: program.to_path_buf(),
            args: args.iter().map(|a| (*a).to_owned()).collect(),
            env: Mutex::new(env),
            log: logs.join(format!("{name}.log")),
            orders,
            said: broadcast::channel(64).0,
            lives: AtomicU32::new(0),
        });
        let running = Arc::clone(&part);
        tokio::spawn(async move {
            if let Err(error) = running.live(inbox).await {
                eprintln!("chaos: {} cannot be run: {error:#}", running.name);
            }
        });
        part
    }

    /// Changes its environment from the next start on.
    pub fn set(&self, name: &str, value: Option<&str>) {
        let mut env = self.env.lock().unwrap_or_else(PoisonError::into_inner);
        match value {
            Some(value) => env.insert(name.to_owned(), value.to_owned()),
            None => env.remove(name),
        };
    }

    /// Kills it; when this returns, that life is over.
    pub async fn kill(&self) {
        self.order(Order::Kill).await;
    }

    /// Sends a signal, as `STOP`.
    pub async fn signal(&self, signal: &'static str) {
        self.order(|done| Order::Signal(signal, done)).await;
    }

    /// Kills it for good.
    pub async fn end(&self) {
        self.order(Order::End).await;
    }

    /// Writes a line to its standard input.
    pub fn say(&self, line: &'static str) {
        let _ = self.orders.send(Order::Say(line));
    }

    /// What it prints from now on.
    pub fn listen(&self) -> broadcast::Receiver<String> {
        self.said.subscribe()
    }

    async fn order(&self, order: impl FnOnce(oneshot::Sender<()>) -> Order) {
        let (sender, done) = oneshot::channel();
        if self.orders.send(order(sender)).is_ok() {
            let _ = done.await;
        }
    }

    fn spawn(&self) -> anyhow::Result<Child> {
        let log = std::fs::File::options().append(true).create(true).open(&self.log)?;
        let env = self.env.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut command = Command::new(&self.program);
        command.env_clear().envs(std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"));
        command.args(&self.args).envs(env).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        // Away from the terminal's Ctrl-C.
        command.process_group(0).spawn().with_context(|| format!("cannot start {}", self.program.display()))
    }

    async fn live(&self, mut inbox: mpsc::UnboundedReceiver<Order>) -> anyhow::Result<()> {
        loop {
            let mut child = self.spawn()?;
            self.lives.fetch_add(1, Ordering::Relaxed);
            if let Some(out) = child.stdout.take() {
                let said = self.said.clone();
                tokio::spawn(async move {
                    let mut lines = BufReader::new(out).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        let _ = said.send(line);
                    }
                });
            }
            if self.one_life(&mut child, &mut inbox).await? {
                return Ok(());
            }
            tokio::time::sleep(RESTART_AFTER).await;
        }
    }

    /// Carries out orders until the process ends; answers whether it is for good. It is this task that reaps the
    /// child, so a signal cannot reach another process of the same id.
    async fn one_life(&self, child: &mut Child, inbox: &mut mpsc::UnboundedReceiver<Order>) -> anyhow::Result<bool> {
        // Taken, or waiting would close it.
        let mut input = child.stdin.take();
        loop {
            let order = tokio::select! {
                _ = child.wait() => return Ok(false),
                order = inbox.recv() => order,
            };
            match order {
                Some(Order::Kill(done)) => {
                    child.kill().await?;
                    let _ = done.send(());
                    return Ok(false);
                }
                Some(Order::Signal(signal, done)) => {
                    if let Some(pid) = child.id() {
                        process::signal(&pid.to_string(), signal)?;
                    }
                    let _ = done.send(());
                }
                Some(Order::Say(line)) => {
                    if let Some(input) = &mut input {
                        // A process that has just died hears nothing.
                        let _ = input.write_all(format!("{line}\n").as_bytes()).await;
                    }
                }
                Some(Order::End(done)) => {
                    child.kill().await?;
                    let _ = done.send(());
                    return Ok(true);
                }
                None => return Ok(true),
            }
        }
    }
}
