//! Sessions of workers: registered, kept alive by every sign of life, and left.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::accounts::User;
use super::batch::{Answers, Batcher, Capacity};
use super::queues::Queues;
use super::transition;
use super::waiters::Wake;
use super::{Ctx, Error, Result, announce, keys};
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::domain::key::Service;
use crate::domain::name::Name;
use crate::store::keys::ApiKey;
use crate::store::models::{self, Described, ModelVersion};
use crate::store::work::{Holder, Lease};
use crate::store::workers::{self, NewSession, Standing, Touch, Turn, Worker};

/// The lines of signs of life; one may come twice.
const LINE: Capacity = Capacity { repeatable: true, ..Capacity::USUAL };

/// What a microservice says of itself.
#[derive(Debug)]
pub struct Registration {
    /// Whether it looks at images, or trains.
    pub service: Service,
    /// Its model, or the dataset that it trains on.
    pub name: Name,
    pub version: String,
    pub instance: Uuid,
    pub description: Option<String>,
    pub tags: Option<Vec<String>>,
    pub labels: Option<Vec<String>>,
    pub params_schema: Option<Value>,
    pub result_schema: Option<Value>,
    pub batch_max: i32,
    pub host: Option<String>,
    pub sdk: Option<String>,
}

/// A job that a worker says it holds.
#[derive(Debug, Clone)]
pub struct Listed {
    pub id: Uuid,
    pub lease_no: i64,
    pub progress: Option<f64>,
    pub note: Option<String>,
}

/// What a worker says of itself when it beats.
#[derive(Debug)]
pub struct SignOfLife {
    pub draining: bool,
    /// Why it serves old code, or none.
    pub trouble: Option<String>,
    /// All that it holds.
    pub listed: Vec<Listed>,
}

/// What a worker is told by its beat.
#[derive(Debug)]
pub struct BeatAnswer {
    /// Listed jobs that it does not hold (any more).
    pub stop: Vec<Uuid>,
    /// It is to take no more.
    pub drain: bool,
}

/// The sessions of all workers.
pub struct Workers {
    ctx: Arc<Ctx>,
    queues: Arc<Queues>,
    touches: Arc<Batcher<Touch, Option<Standing>>>,
    beats: Arc<Batcher<workers::Beat, Option<workers::Beaten>>>,
}

impl Workers {
    /// The connections that its lines use at once.
    pub const CONNECTIONS: u32 = 2 * LINE.at_once;

    pub fn new(ctx: &Arc<Ctx>, queues: &Arc<Queues>) -> Self {
        let (touching, beating) = (Arc::clone(ctx), Arc::clone(ctx));
        Self {
            ctx: Arc::clone(ctx),
            queues: Arc::clone(queues),
            touches: Batcher::new(LINE, move |touches| touch_together(Arc::clone(&touching), touches), |_, _| {}),
            beats: Batcher::new(LINE, move |beats| beat_together(Arc::clone(&beating), beats), |_, _| {}),
        }
    }

    /// Opens a session, or prolongs the live one of the same instance; answers its id and whether it is new.
    ///
    /// A key reaches only models, or datasets, that its scope matches; one that a researcher made, only unknown models and
    /// those of its owner. A retired model comes back by its owner's word, not by a worker that was restarted.
    pub async fn register(&self, key: &ApiKey, new: &Registration) -> Result<(Uuid, bool)> {
        keys::need_service(key, new.service)?;
        let name = new.name.as_str();
        if !keys::in_scope(key, name) {
            let detail = format!("The key reaches {}, not {name:?}.", key.models.join(", "));
            return Err(Fault::new(Code::OutOfScope, detail).into());
        }
        let (opened, new_version) = self
            .ctx
            .work
            .write(async |tx| {
                // Locked in turn, so that a fleet that starts together does not deadlock.
                if models::is_retired(tx, new.service, name).await? {
                    let detail = format!("{name:?} is retired.");
                    return Err(Error::from(Fault::new(Code::RetiredModel, detail)));
                }
                let described = Described {
                    service: new.service,
                    name,
                    version: &new.version,
                    description: new.description.as_deref(),
                    tags: new.tags.as_deref(),
                    labels: new.labels.as_deref(),
                    params_schema: new.params_schema.as_ref(),
                    result_schema: new.result_schema.as_ref(),
                };
                let ModelVersion { owner, queue_id, version_id, new_version } =
                    models::register(tx, &described, key.owner, &key.id).await?;
                if !key.trusted && owner != key.owner {
                    return Err(Error::from(Fault::new(
                        Code::OutOfScope,
                        format!("{name:?} belongs to another researcher."),
                    )));
                }
                let session = NewSession {
                    key_id: &key.id,
                    queue_id,
                    version_id,
                    instance: new.instance,
                    batch_max: new.batch_max,
                    host: new.host.as_deref(),
                    sdk: new.sdk.as_deref(),
                };
                Ok((workers::register(tx, &session, self.ctx.limits.lease_s).await?, new_version))
            })
            .await?;
        self.queues.forget();
        if new_version && let Err(error) = self.ctx.work.run(async |db| self.ctx.versions.refresh(db).await).await {
            tracing::debug!(%error, "the next probe sees the new version");
        }
        Ok(opened)
    }

    /// Keeps a session of a key alive; nothing when it is over.
    pub async fn touch(&self, holder: &Holder, claim: Option<Uuid>) -> Result<Option<Standing>> {
        self.touches.call(Touch { holder: holder.clone(), claim }, 1).await
    }

    /// Keeps a session free for a suspect if it is the first to meet one that nobody is free for; the others go on.
    pub async fn reserve(&self, worker: Uuid, standing: &mut Arc<Standing>) -> Result<()> {
        if standing.turn == Turn::Reserve {
            let queue = standing.queue_id;
            let kept = self.ctx.work.write(async |tx| workers::reserve(tx, worker, queue).await).await?;
            Arc::make_mut(standing).turn = if kept { Turn::Wait } else { Turn::Open };
        }
        Ok(())
    }

    /// One beat: keeps the session alive, and answers which of the listed jobs it does not hold (any more). What it
    /// holds by our books but did not list, one lease after its claim, goes back at no cost.
    pub async fn beat(&self, key: &ApiKey, worker: Uuid, sign: SignOfLife) -> Result<BeatAnswer> {
        let SignOfLife { draining, trouble, listed } = sign;
        let holds: Value = listed
            .iter()
            .map(|h| json!({ "id": h.id, "lease_no": h.lease_no, "progress": h.progress, "note": h.note }))
            .collect();
        let beat = workers::Beat { holder: Holder { session: worker, key: key.id.clone() }, draining, holds, trouble };
        let alive = self.beats.call(beat, 1).await?.ok_or_else(unknown_worker)?;
        let fences: Vec<(Uuid, i32)> = listed.iter().map(|h| (h.id, lease_no(h.lease_no))).collect();
        let held: HashSet<(Uuid, i32)> = alive.held.into_iter().collect();
        let stop = fences.iter().filter(|fence| !held.contains(fence)).map(|(id, _)| *id).collect();
        if held.iter().any(|fence| !fences.contains(fence)) {
            let moved = self
                .ctx
                .work
                .write(async |tx| transition::release_unlisted(tx, worker, &fences, self.ctx.limits.lease_s).await)
                .await?;
            announce::moved(&self.ctx, &moved).await;
        }
        Ok(BeatAnswer { stop, drain: alive.draining })
    }

    /// Asks a worker to take no more, or asks it no longer; answers how it stands then. For the owner of its key, and administrators.
    pub async fn ask_to_drain(&self, user: &User, worker: Uuid, draining: bool) -> Result<Worker> {
        let find = async || self.ctx.db.run(async |db| workers::find(db, worker).await).await;
        let found = find().await?.ok_or_else(|| Fault::not_found("worker"))?;
        let owns = user.has(Role::Researcher) && found.owner == Some(user.account.id);
        if !user.is_admin() && !owns {
            let fault = Fault::new(Code::MissingRole, "The worker's key belongs to somebody else.");
            return Err(fault.mend("Ask its owner or an administrator.").into());
        }
        if self.ctx.db.run(async |db| workers::ask_to_drain(db, worker, draining, user.account.id).await).await? {
            // Its claim may wait here; elsewhere, its beat tells it.
            self.ctx.waiters.wake_model(&found.path, 0, WAKE_MAX, Wake::Probed);
        }
        Ok(find().await?.ok_or_else(|| Fault::not_found("worker"))?)
    }

    /// Ends a session by its own wish: what it still holds goes back at no cost.
    pub async fn leave(&self, key: &ApiKey, worker: Uuid) -> Result<()> {
        let holder = Holder { session: worker, key: key.id.clone() };
        let moved = self
            .ctx
            .work
            .write(async |tx| {
                let held = workers::leave(tx, worker, &key.id).await?.ok_or_else(unknown_worker)?;
                let lease = |(id, lease_no): &(Uuid, i32)| Lease { holder: &holder, id: *id, lease_no: *lease_no };
                transition::release(tx, &held.iter().map(lease).collect::<Vec<_>>()).await
            })
            .await?;
        announce::moved(&self.ctx, &moved).await;
        Ok(())
    }
}

/// How many claims that wait look again when a worker of their model is asked to end; what they find, they find by themselves otherwise.
const WAKE_MAX: usize = 1_000;

async fn touch_together(ctx: Arc<Ctx>, touches: Vec<Touch>) -> Result<Answers<Option<Standing>>> {
    Ok(ctx.hot.run(async |db| workers::touch(db, &touches, ctx.limits.lease_s).await).await?.into())
}

/// Carries out several beats in one statement; of one session's the last counts.
async fn beat_together(ctx: Arc<Ctx>, beats: Vec<workers::Beat>) -> Result<Answers<Option<workers::Beaten>>> {
    let mut last: HashMap<&Holder, &workers::Beat> = HashMap::new();
    for beat in &beats {
        last.insert(&beat.holder, beat);
    }
    let distinct: Vec<workers::Beat> = last.into_values().cloned().collect();
    let beaten = ctx.hot.run(async |db| workers::beat(db, &distinct, ctx.limits.lease_s).await).await?;
    let by_holder: HashMap<&Holder, &Option<workers::Beaten>> =
        distinct.iter().map(|beat| &beat.holder).zip(&beaten).collect();
    let of = |beat: &workers::Beat| by_holder.get(&beat.holder).and_then(|beaten| (*beaten).clone());
    Ok(beats.iter().map(of).collect::<Vec<_>>().into())
}

/// A lease number as the database counts it: none is so great, and one that is names no lease.
pub fn lease_no(sent: i64) -> i32 {
    i32::try_from(sent).unwrap_or(-1)
}

/// What is told to a session that is over, or of another key.
pub fn unknown_worker() -> Fault {
    Fault::new(Code::UnknownWorker, "This session is not alive, or was not opened with this key.")
}
