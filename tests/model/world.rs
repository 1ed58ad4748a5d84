//! A case: the model and the real service side by side, step by step.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::extract::Request;
use darkroom::domain::account::Role;
use darkroom::maintenance;
use darkroom::service::Ctx;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

use super::compare::told;
use super::ops::{self, Aim, Op, Step};
use super::state::{DATASET, End, MAX_ATTEMPTS, MODELS, Model, Session, State, WORKERS};
use super::table::Hits;
use super::together::Wire;
use crate::kit::app::TestApp;
use crate::kit::client::{Answer, Client};

/// What went wrong, for people.
pub type Check<T = ()> = Result<T, String>;

pub fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: T, expected: T) -> Check {
    if got == expected { Ok(()) } else { Err(format!("{what}: got {got:?}, the model says {expected:?}")) }
}

/// An answer's class, as the table has it.
pub fn class(answer: &Answer, word: impl FnOnce(&Value) -> String) -> String {
    let body = answer.json();
    match body["code"].as_str() {
        Some(code) => format!("{} {code}", answer.status.as_u16()),
        None => format!("{} {}", answer.status.as_u16(), word(&body)),
    }
}

pub fn text(value: &Value) -> String {
    value.as_str().unwrap_or("nothing").to_owned()
}

/// Where a model's or the dataset's policy is changed.
fn path_of(model: usize) -> String {
    MODELS.get(model).map_or_else(|| format!("/training/datasets/{DATASET}"), |name| format!("/models/{name}"))
}

/// The place of a key among all, by whose it is.
fn key_of(model: usize, last: bool) -> usize {
    2 * (model / MODELS.len()) + usize::from(last)
}

/// A router that hands each request to one of the replicas, in turn.
fn either(turn: &Arc<AtomicUsize>, replicas: [&TestApp; 2]) -> Router {
    let (turn, routers) = (Arc::clone(turn), replicas.map(|app| app.router.clone()));
    Router::new().fallback(move |request: Request| {
        let router = routers[turn.fetch_add(1, Ordering::Relaxed) % 2].clone();
        async move { router.oneshot(request).await }
    })
}

pub struct World<'h> {
    pub app: TestApp,
    /// The same database, Redis and folder: calls and ticks go to either in turn.
    other: TestApp,
    turn: Arc<AtomicUsize>,
    pub wire: Mutex<Wire>,
    /// How many steps were made: what they name is named after it.
    pub steps: u64,
    pub users: Vec<Client>,
    pub admin: Client,
    /// Workers 0 and 1 of a model use the first, worker 2 the second; those of the dataset the third and fourth.
    pub keys: Vec<Client>,
    redis: redis::aio::MultiplexedConnection,
    pub m: Model,
    instances: Vec<Uuid>,
    hits: &'h mut Hits,
}

impl<'h> World<'h> {
    pub async fn new(hits: &'h mut Hits) -> Check<Self> {
        // Leases pass by ageing rows only, however slow the machine is.
        let app = TestApp::with(|settings| {
            settings.lease_s = 3_600.0;
            settings.keep_results_days = Some(1);
        })
        .await;
        let other = app.replica().await;
        let turn = Arc::new(AtomicUsize::new(0));
        let in_turn = |client: Client| client.through(either(&turn, [&app, &other]));
        let admin = in_turn(app.admin().await);
        let mut users = Vec::new();
        for name in ["ines", "jo"] {
            users.push(in_turn(app.user(name, &[Role::Investigator, Role::Researcher]).await));
        }
        let mut keys = Vec::new();
        for (service, names) in [("predict", &MODELS[..]), ("train", &[DATASET][..])] {
            for _ in 0..2 {
                keys.push(in_turn(app.key_of(&admin, service, names).await));
            }
        }
        let client = redis::Client::open(app.settings.redis_url.0.clone()).map_err(|e| e.to_string())?;
        let redis = client.get_multiplexed_async_connection().await.map_err(|e| e.to_string())?;
        let instances = (0..(MODELS.len() + 1) * WORKERS).map(|_| Uuid::new_v4()).collect();
        let mut world = Self {
            app,
            other,
            turn,
            wire: Mutex::new(Wire::Open),
            steps: 0,
            users,
            admin,
            keys,
            redis,
            m: Model::default(),
            instances,
            hits,
        };
        for model in 0..=MODELS.len() {
            for worker in 0..WORKERS {
                world.register(model, worker).await?;
            }
        }
        for (model, base, cap) in [(0, 0, 0), (1, 3600, 86_400), (MODELS.len(), 0, 0)] {
            let policy = json!({ "max_attempts": MAX_ATTEMPTS, "backoff_base_s": base, "backoff_cap_s": cap });
            same("policy", world.admin.patch(&path_of(model), policy).await.status.as_u16(), 200)?;
        }
        // The first tick spares everybody.
        maintenance::rescue(world.ctx()).await.map_err(|e| e.to_string())?;
        world.app.sweep().await;
        Ok(world)
    }

    /// The replica whose turn it is.
    pub fn ctx(&self) -> &Ctx {
        if self.turn.fetch_add(1, Ordering::Relaxed).is_multiple_of(2) { &self.app.ctx } else { &self.other.ctx }
    }

    pub fn key(&self, session: usize) -> &Client {
        let Session { worker, model, .. } = self.m.sessions[session];
        &self.keys[key_of(model, worker == WORKERS - 1)]
    }

    pub fn other_key(&self, session: usize) -> &Client {
        let Session { worker, model, .. } = self.m.sessions[session];
        &self.keys[key_of(model, worker != WORKERS - 1)]
    }

    /// The id of a job, or one that no job has.
    pub fn id(&self, job: Option<usize>) -> Uuid {
        job.map_or_else(Uuid::new_v4, |job| self.m.jobs[job].id)
    }

    pub fn states(&self) -> Vec<State> {
        ops::slots(None).map(|slot| self.m.state(slot)).collect()
    }

    pub fn hits(&self) -> &Hits {
        self.hits
    }

    /// Counts an answer, and holds it to the table.
    pub fn hit(&mut self, row: &'static str, state: State, answer: &str) -> Check {
        // Of two at once nobody knows in which state each met its job.
        if self.is_beside_another() { Ok(()) } else { self.hits.count(row, state, answer) }
    }

    /// Registers a worker's instance: its live session stands, one past its time or over is followed by a new one.
    async fn register(&mut self, model: usize, worker: usize) -> Check {
        let instance = self.instances[model * WORKERS + worker];
        let body = match MODELS.get(model) {
            Some(name) => {
                json!({ "service": "predict", "model": name, "version": "v1", "instance": instance, "batch_max": 8 })
            }
            None => json!({ "service": "train", "dataset": DATASET, "version": "v1", "instance": instance }),
        };
        let key = &self.keys[key_of(model, worker == WORKERS - 1)];
        let answer = key.post("/workers/register", body).await;
        let id = answer.json()["worker"].as_str().and_then(|id| Uuid::parse_str(id).ok());
        let id = id.ok_or_else(|| format!("registration: {}", String::from_utf8_lossy(&answer.bytes)))?;
        let same_instance = |s: &Session| s.model == model && s.worker == worker && s.end.is_none();
        match self.m.sessions.iter_mut().rfind(|s| same_instance(s)) {
            Some(old) if !old.late => return same("registration", (answer.status.as_u16(), id), (200, old.id)),
            Some(old) => old.end = Some(End::Lost),
            None => {}
        }
        same("registration", answer.status.as_u16(), 201)?;
        self.m.sessions.push(Session { id, model, worker, late: false, end: None, reserved: false, last_claim: None });
        Ok(())
    }

    /// Carries a step out, if it has a target, and compares.
    pub async fn step(&mut self, step: Step) -> Check {
        let Some(aim) = ops::aim(&self.m, step) else { return Ok(()) };
        self.steps += 1;
        self.carry_out(step, aim).await?;
        self.compare().await
    }

    pub async fn carry_out(&mut self, step: Step, aim: Aim) -> Check {
        match step.op {
            Op::Submit | Op::SubmitKnown | Op::Rerun | Op::SubmitLater | Op::Resend | Op::Intrude => {
                self.submit(step, aim).await?;
            }
            Op::Cancel | Op::CancelStranger | Op::CancelAdmin => self.cancel(step, aim).await?,
            Op::Retry | Op::RetryEarlier | Op::RetryStranger => self.retry(step, aim).await?,
            Op::Redrive => self.redrive(step, aim).await?,
            Op::Look => self.look(aim).await?,
            Op::Start | Op::StartAgain => self.start(step, aim).await?,
            Op::Measure | Op::Save | Op::Deliver | Op::Fetch => self.write(step, aim).await?,
            Op::WriteLate | Op::WriteOther | Op::WriteForeign => self.write_stale(step, aim).await?,
            Op::Download | Op::DownloadForeign => self.download(step, aim).await?,
            Op::Claim | Op::ClaimGone | Op::ClaimForeign | Op::Replay => self.claim(step, aim).await?,
            Op::Beat | Op::BeatEarlier | Op::BeatOther | Op::BeatGone | Op::BeatForeign => self.beat(step, aim).await?,
            Op::Succeed
            | Op::SucceedTwice
            | Op::SucceedEmpty
            | Op::Reject
            | Op::TryAgain
            | Op::TryAgainLate
            | Op::Release
            | Op::Repeat
            | Op::LateSuccess
            | Op::LateRelease
            | Op::Invent
            | Op::OtherSession
            | Op::OtherKey => {
                self.complete(step, aim).await?;
            }
            _ => self.without_answer(step, aim).await?,
        }
        Ok(())
    }

    /// Operations whose effect shows only in the database.
    async fn without_answer(&mut self, step: Step, aim: Aim) -> Check {
        let (before, was) = (self.m.rows(), self.states());
        let told_of = |slot: &usize| match step.op {
            Op::BeatWithout | Op::BeatWithoutLater => *slot == step.slot,
            // Of the others, only what was not queued shows nothing by right.
            Op::Expire | Op::ComeDue => *slot == step.slot || was[*slot].public() != "queued",
            _ => true,
        };
        let mut rows = vec![aim.row; was.len()];
        match step.op {
            Op::Leave | Op::LeaveOther => {
                rows = ops::slots(None).map(|slot| ops::leave_row(&self.m, slot, aim.session)).collect();
                self.leave(aim).await?;
            }
            Op::Register => self.register(aim.model, step.pick % WORKERS).await?,
            Op::BeatWithout | Op::BeatWithoutLater => self.beat_without(step.op, aim).await?,
            Op::Flush => self.flush().await?,
            Op::Sweep => self.sweep().await?,
            Op::Pause | Op::Resume => {
                let paused = step.op == Op::Pause;
                let answer = self.admin.patch(&path_of(aim.model), json!({ "paused": paused })).await;
                same("pause", answer.status.as_u16(), 200)?;
                self.m.paused[aim.model] = paused;
            }
            Op::Limit | Op::Unlimit => {
                let limit = (step.op == Op::Limit).then_some(1 + step.pick % 2);
                let answer = self.admin.patch(&path_of(aim.model), json!({ "max_running": limit })).await;
                same("a limit", answer.status.as_u16(), 200)?;
                self.m.limits[aim.model] = limit;
            }
            Op::Forget => self.forget().await?,
            op => rows = self.pass_time(op, step, aim).await?,
        }
        // Before and after are the database's as well as the model's: they are compared after every step.
        self.compare().await?;
        let after = self.m.rows();
        for slot in ops::slots(None).filter(told_of).collect::<Vec<_>>() {
            let Some(job) = self.m.newest(slot) else { continue };
            let id = self.m.jobs[job].id;
            let told = told(before.get(&id), after.get(&id));
            self.hit(rows[slot], was[slot], &told)?;
        }
        Ok(())
    }

    /// Ages rows: the statement's only parameter is a job or a session.
    pub async fn sql(&self, sql: &'static str, id: Option<Uuid>) -> Check {
        let query = sqlx::query(sql);
        let query = if id.is_some() { query.bind(id) } else { query };
        query.execute(self.app.ctx.db.pool()).await.map(drop).map_err(|e| format!("{sql}: {e}"))
    }

    /// Forgets what Redis knows of this case.
    async fn flush(&mut self) -> Check {
        let pattern = format!("{{{}:*", self.app.settings.namespace);
        let lost: redis::RedisResult<Vec<String>> = redis::cmd("KEYS").arg(pattern).query_async(&mut self.redis).await;
        let lost = lost.map_err(|e| e.to_string())?;
        if !lost.is_empty() {
            let deleted: redis::RedisResult<()> = redis::cmd("DEL").arg(lost).query_async(&mut self.redis).await;
            deleted.map_err(|e| e.to_string())?;
        }
        Ok(())
    }
}
