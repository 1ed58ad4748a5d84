//! Releases: what a worker gives back at no cost, under the same fence as a completion.

use std::collections::HashSet;

use uuid::Uuid;

use super::verdict::{Done, Ended, answer, judge, stale};
use crate::service::workers::{Workers, lease_no as lease};
use crate::service::{Ctx, Result, announce, transition};
use crate::store::keys::ApiKey;
use crate::store::work::{Fence, Holder, Lease};

/// Gives back what the session holds, at no cost; answers every item in order.
pub async fn release(
    ctx: &Ctx,
    workers: &Workers,
    key: &ApiKey,
    worker: Uuid,
    items: &[(Uuid, i64)],
) -> Result<Vec<Done>> {
    let holder = Holder { session: worker, key: key.id.clone() };
    let fence = |(id, lease_no): &(Uuid, i64)| Fence {
        holder: holder.clone(),
        id: *id,
        lease_no: lease(*lease_no),
        said: "released",
    };
    let fences: Vec<Fence> = items.iter().map(fence).collect();
    let mut first = HashSet::new();
    let once = items.iter().filter(|(id, _)| first.insert(*id));
    let leases: Vec<Lease<'_>> =
        once.map(|(id, lease_no)| Lease { holder: &holder, id: *id, lease_no: lease(*lease_no) }).collect();
    workers.touch(&holder, None).await?;
    let moved = ctx.work.write(async |tx| transition::release(tx, &leases).await).await?;
    announce::moved(ctx, &moved).await;
    let ended: Ended<'_> = moved.iter().map(|job| ((&holder, job.id, job.lease_no), job.state)).collect();
    let verdicts = ctx.work.run(async |db| judge(db, ended.clone(), &[&fences]).await).await?;
    let done = items.iter().map(|(id, lease_no)| Done { id: *id, outcome: Err(stale(*id, *lease_no)) }).collect();
    Ok(answer(done, verdicts.into_iter().flatten().collect()))
}
