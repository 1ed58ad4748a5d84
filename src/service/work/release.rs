//! Releases: what a worker gives back at no cost, under the same fence as a completion.

use std::collections::HashSet;

use uuid::Uuid;

use super::verdict::{Done, answer, judge, stale};
use crate::service::workers::Workers;
use crate::service::{Ctx, Error, Result, announce};
use crate::store::keys::ApiKey;
use crate::store::work::{self, Fence};
use crate::store::workers::{Holder, belongs_to};

/// Gives back what the session holds, at no cost; answers every item in order.
pub async fn release(
    ctx: &Ctx,
    workers: &Workers,
    key: &ApiKey,
    worker: Uuid,
    items: &[(Uuid, i64)],
) -> Result<Vec<Done>> {
    let holder = Holder { session: worker, key: key.id.clone() };
    let fence =
        |(id, lease_no): &(Uuid, i64)| Fence { holder: holder.clone(), id: *id, lease_no: *lease_no, said: "released" };
    let fences: Vec<Fence> = items.iter().map(fence).collect();
    let mut first = HashSet::new();
    let once: Vec<(Uuid, i64)> = items.iter().copied().filter(|lease| first.insert(*lease)).collect();
    workers.touch(&holder, None).await?;
    let (moved, verdicts) = ctx
        .db
        .run(async |db| {
            let mine = belongs_to(db, worker, &key.id).await?;
            let moved = if mine { work::release(db, worker, &once).await? } else { Vec::new() };
            let verdicts = judge(db, &moved, &[&fences]).await?;
            Ok::<_, Error>((moved, verdicts))
        })
        .await?;
    announce::moved(ctx, &moved).await;
    let done = items.iter().map(|(id, lease_no)| Done { id: *id, outcome: Err(stale(*id, *lease_no)) }).collect();
    Ok(answer(done, verdicts.into_iter().flatten().collect()))
}
