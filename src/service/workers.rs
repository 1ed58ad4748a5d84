//! Sessions of workers: registered, kept alive by every sign of life, and left.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use serde_json::{Value, json};
use uuid::Uuid;

use super::batch::Answers;
use super::{Ctx, Error, Result, announce, keys, queues};
use crate::domain::fault::{Code, Fault};
use crate::domain::key::Service;
use crate::domain::name::{Glob, Name};
use crate::store::keys::ApiKey;
use crate::store::models::{self, Described};
use crate::store::work;
use crate::store::workers::{self, Holder, NewSession, Standing, Touch, Turn};

/// What a microservice says of itself.
#[derive(Debug)]
pub struct Registration {
    pub model: Name,
    pub version: String,
    pub instance: Uuid,
    pub description: Option<String>,
    pub tags: Option<Vec<String>>,
    pub labels: Option<Vec<String>>,
    pub params_schema: Option<Value>,
    pub batch_max: i32,
    pub host: Option<String>,
    pub sdk: Option<String>,
}

/// Opens a session, or prolongs the live one of the same instance; answers its id and whether it is new.
///
/// A key reaches only models that its scope matches; one that a researcher made, only unknown models and
/// those of its owner.
pub async fn register(ctx: &Ctx, key: &ApiKey, new: &Registration) -> Result<(Uuid, bool)> {
    keys::need_service(key, Service::Predict)?;
    let name = new.model.as_str();
    let in_scope = key.models.iter().any(|glob| Glob::parse(glob).is_ok_and(|g| g.matches(name)));
    if !in_scope {
        let detail = format!("The key reaches {}, not {name:?}.", key.models.join(", "));
        return Err(Fault::new(Code::OutOfScope, detail).into());
    }
    ctx.db
        .within(async {
            let mut tx = ctx.db.begin().await?;
            // Locked in turn, so that a fleet that starts together does not deadlock.
            models::owner(&mut tx, name).await?;
            let described = Described {
                name,
                version: &new.version,
                description: new.description.as_deref(),
                tags: new.tags.as_deref(),
                labels: new.labels.as_deref(),
                params_schema: new.params_schema.as_ref(),
            };
            let owner = models::register(&mut tx, &described, key.owner, &key.id).await?;
            if !key.trusted && owner != key.owner {
                return Err(Fault::new(Code::OutOfScope, format!("{name:?} belongs to another researcher.")).into());
            }
            let session = NewSession {
                key_id: &key.id,
                model: name,
                version: &new.version,
                instance: new.instance,
                batch_max: new.batch_max,
                host: new.host.as_deref(),
                sdk: new.sdk.as_deref(),
            };
            let opened = workers::register(&mut tx, &session, ctx.limits.lease_s).await?;
            tx.commit().await?;
            queues::forget(ctx);
            Ok(opened)
        })
        .await
}

/// Keeps a session of a key alive; nothing when it is over.
pub async fn touch(ctx: &Arc<Ctx>, holder: &Holder, claim: Option<Uuid>) -> Result<Option<Standing>> {
    let run = {
        let ctx = Arc::clone(ctx);
        move |touches: Vec<Touch>| touch_together(Arc::clone(&ctx), touches)
    };
    let touch = Touch { holder: holder.clone(), claim };
    ctx.db.within(ctx.batches.touches.call(touch, 1, run, |_, _| {})).await
}

async fn touch_together(ctx: Arc<Ctx>, touches: Vec<Touch>) -> Result<Answers<Option<Standing>>> {
    let work = async {
        let mut db = ctx.db.hot().acquire().await?;
        Ok::<_, Error>(workers::touch(&mut db, &touches, ctx.limits.lease_s).await?.into())
    };
    ctx.db.within(work).await
}

/// Keeps a session free for a suspect if it is the first to meet one that nobody is free for.
pub async fn reserve(ctx: &Ctx, worker: Uuid, standing: &Standing) -> Result<()> {
    if standing.turn != Turn::Reserve {
        return Ok(());
    }
    let reserving = async {
        let mut db = ctx.db.pool().acquire().await?;
        Ok::<_, Error>(workers::reserve(&mut db, worker).await?)
    };
    ctx.db.within(reserving).await
}

/// A job that a worker says it holds.
#[derive(Debug, Clone)]
pub struct Held {
    pub id: Uuid,
    pub lease_no: i64,
    pub progress: Option<f64>,
    pub note: Option<String>,
}

/// What a worker is told by its beat.
#[derive(Debug)]
pub struct Beaten {
    /// Listed jobs that it does not hold (any more).
    pub stop: Vec<Uuid>,
    /// It is to take no more.
    pub drain: bool,
}

/// One beat: keeps the session alive, and answers which of the listed jobs it does not hold (any more). What it
/// holds by our books but did not list, one lease after its claim, goes back at no cost.
pub async fn beat(ctx: &Arc<Ctx>, key: &ApiKey, worker: Uuid, draining: bool, listed: &[Held]) -> Result<Beaten> {
    let holds: Value = listed
        .iter()
        .map(|h| json!({ "id": h.id, "lease_no": h.lease_no, "progress": h.progress, "note": h.note }))
        .collect();
    let beat = workers::Beat { holder: Holder { session: worker, key: key.id.clone() }, draining, holds };
    let run = {
        let ctx = Arc::clone(ctx);
        move |beats| beat_together(Arc::clone(&ctx), beats)
    };
    let alive = ctx.db.within(ctx.batches.beats.call(beat, 1, run, |_, _| {})).await?.ok_or_else(unknown_worker)?;
    let fences: Vec<(Uuid, i64)> = listed.iter().map(|h| (h.id, h.lease_no)).collect();
    let held: HashSet<(Uuid, i64)> = alive.held.into_iter().collect();
    let stop = fences.iter().filter(|fence| !held.contains(fence)).map(|(id, _)| *id).collect();
    if held.iter().any(|fence| !fences.contains(fence)) {
        let moved = ctx
            .db
            .within(async {
                let mut db = ctx.db.hot().acquire().await?;
                let released = work::release_unlisted(&mut db, worker, &fences, ctx.limits.lease_s).await?;
                Ok::<_, Error>(released)
            })
            .await?;
        announce::moved(ctx, &moved).await;
    }
    Ok(Beaten { stop, drain: alive.draining })
}

/// Carries out several beats in one statement; of one session's the last counts.
async fn beat_together(ctx: Arc<Ctx>, beats: Vec<workers::Beat>) -> Result<Answers<Option<workers::Beaten>>> {
    let mut last: HashMap<&Holder, &workers::Beat> = HashMap::new();
    for beat in &beats {
        last.insert(&beat.holder, beat);
    }
    let distinct: Vec<workers::Beat> = last.into_values().cloned().collect();
    let beaten = ctx
        .db
        .within(async {
            let mut db = ctx.db.hot().acquire().await?;
            Ok::<_, Error>(workers::beat(&mut db, &distinct, ctx.limits.lease_s).await?)
        })
        .await?;
    let by_holder: HashMap<&Holder, &Option<workers::Beaten>> =
        distinct.iter().map(|beat| &beat.holder).zip(&beaten).collect();
    let of = |beat: &workers::Beat| by_holder.get(&beat.holder).and_then(|beaten| (*beaten).clone());
    Ok(beats.iter().map(of).collect::<Vec<_>>().into())
}

/// Ends a session by its own wish: what it still holds goes back at no cost.
pub async fn leave(ctx: &Ctx, key: &ApiKey, worker: Uuid) -> Result<()> {
    let moved = ctx
        .db
        .within(async {
            let mut db = ctx.db.pool().acquire().await?;
            // Two commits: a job's end may take its session's row, so that one is not held while jobs are waited for.
            // What is cut off in between is given back by the rescue.
            let held = workers::leave(&mut db, worker, &key.id).await?.ok_or_else(unknown_worker)?;
            let moved = work::release(&mut db, worker, &held).await?;
            Ok::<_, Error>(moved)
        })
        .await?;
    announce::moved(ctx, &moved).await;
    Ok(())
}

pub fn unknown_worker() -> Fault {
    Fault::new(Code::UnknownWorker, "This session is not alive, or was not opened with this key.")
}
