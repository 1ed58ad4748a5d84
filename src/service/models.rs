//! What owners and administrators do to models.

use super::accounts::User;
use super::queues::Queues;
use super::transition;
use super::waiters::Wake;
use super::{Ctx, Result, announce};
use crate::domain::account::Role;
use crate::domain::fault::{Code, Fault};
use crate::store::models::{self, Model, ModelChange};

/// How many queued jobs of a retired model are cancelled in one transaction.
const CANCEL_AT_ONCE: i64 = 500;
/// How many waiters a resumed model wakes; each that finds nothing waits again.
const WAKE_MAX: usize = 1000;

/// Changes a model. Retiring cancels its queued jobs; resuming wakes its workers.
pub async fn update(ctx: &Ctx, queues: &Queues, user: &User, model: &Model, change: &ModelChange) -> Result<()> {
    let owns = user.has(Role::Researcher) && model.owner == Some(user.account.id);
    if !user.is_admin() && !owns {
        let detail = format!("{:?} belongs to somebody else.", model.name);
        return Err(Fault::new(Code::MissingRole, detail).mend("Ask its owner or an administrator.").into());
    }
    ctx.db.run(async |db| models::update(db, model.id, change, user.account.id).await).await?;
    queues.forget();
    if change.retired == Some(true) {
        // The first of them at once; the due pass goes on with the rest.
        let moved = ctx
            .db
            .write(async |tx| transition::cancel_retired(tx, CANCEL_AT_ONCE, true, Some(user.account.id)).await)
            .await?;
        announce::cancelled(ctx, &moved).await;
        ctx.index.clear_queue(&model.name).await;
    }
    if change.served_by.is_some() {
        ctx.db.run(async |db| ctx.versions.refresh(db).await).await?;
    }
    if change.paused == Some(false) || change.max_running.is_some() || change.served_by.is_some() {
        ctx.waiters.wake_model(&model.name, ctx.versions.first(&model.name), WAKE_MAX, Wake::Probed);
        ctx.index.tell(ctx.replica, &[(model.name.clone(), WAKE_MAX)], &[]).await;
    }
    Ok(())
}
