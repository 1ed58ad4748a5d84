//! What owners and administrators do to models and datasets.

use uuid::Uuid;

use super::accounts::User;
use super::queues::Queues;
use super::transition;
use super::waiters::Wake;
use super::{Ctx, Result, announce};
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::store::models::{self, Model, ModelChange};
use crate::store::training::Dataset;

/// How many queued jobs of a retired model are cancelled in one transaction.
const CANCEL_AT_ONCE: i64 = 500;
/// How many waiters a resumed model wakes; each that finds nothing waits again.
const WAKE_MAX: usize = 1000;

/// The queue of a model or dataset, and whose it is.
#[derive(Debug)]
pub struct Owned<'a> {
    queue: i32,
    /// What the queue is called.
    path: &'a str,
    name: &'a str,
    owner: Option<Uuid>,
}

impl<'a> From<&'a Model> for Owned<'a> {
    fn from(model: &'a Model) -> Self {
        Self { queue: model.id, path: &model.name, name: &model.name, owner: model.owner }
    }
}

impl<'a> From<&'a Dataset> for Owned<'a> {
    fn from(dataset: &'a Dataset) -> Self {
        Self { queue: dataset.id, path: &dataset.path, name: &dataset.name, owner: dataset.owner }
    }
}

/// Changes a model or dataset. Retiring cancels its queued jobs; resuming wakes its workers.
pub async fn update(ctx: &Ctx, queues: &Queues, user: &User, of: Owned<'_>, change: &ModelChange) -> Result<()> {
    let owns = user.has(Role::Researcher) && of.owner == Some(user.account.id);
    if !user.is_admin() && !owns {
        let detail = format!("{:?} belongs to somebody else.", of.name);
        return Err(Fault::new(Code::MissingRole, detail).mend("Ask its owner or an administrator.").into());
    }
    ctx.db.run(async |db| models::update(db, of.queue, change, user.account.id).await).await?;
    queues.forget();
    if change.retired == Some(true) {
        // The first of them at once; the due pass goes on with the rest.
        let moved = ctx
            .db
            .write(async |tx| transition::cancel_retired(tx, CANCEL_AT_ONCE, true, Some(user.account.id)).await)
            .await?;
        announce::cancelled(ctx, &moved).await;
        ctx.index.clear_queue(of.path).await;
    }
    if change.served_by.is_some() {
        ctx.db.run(async |db| ctx.versions.refresh(db).await).await?;
    }
    if change.paused == Some(false) || change.max_running.is_some() || change.served_by.is_some() {
        ctx.waiters.wake_model(of.path, ctx.versions.first(of.path), WAKE_MAX, Wake::Probed);
        ctx.index.tell(ctx.replica, &[(of.path.to_owned(), WAKE_MAX)], &[]).await;
    }
    Ok(())
}
