//! What keeps the house in order: short ticks, bounded in rows and time, that any replica may run.
//!
//! Each tick that changes the database is one transaction opened by an advisory lock; not got, skipped. There
//! is no leader.

mod cases;
mod collect;
mod derive;
mod due;
mod exports;
mod figures;
mod items;
mod pace;
mod partitions;
mod postgres;
mod redis;
mod rescue;
mod retention;
mod sweep;
mod waiting;

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use self::pace::{jittered, tell};
use crate::service::Ctx;

pub use cases::remove_deleted;
pub use collect::collect_blobs;
pub use derive::{TRIES_MAX, derive_next};
pub use due::due_pass;
pub use exports::{EXPORT_TRIES_MAX, export_next, remove_over};
pub use figures::keep_figures;
pub use partitions::make_partitions;
pub use redis::{compare_epochs, count_forged, reconnect};
pub use rescue::{rescue, rescue_every};
pub use retention::{Old, count_old, remove_old};
pub use sweep::Sweep;
pub use waiting::probe;

/// How often what is done often is written down: a killed server loses no more of it.
const TELL_ACTS_EVERY: Duration = Duration::from_secs(10);

/// How often deleted cases are looked for of which something is left.
const REMOVE_CASES_EVERY: Duration = Duration::from_secs(5);

/// How often exports are looked for whose time is up.
const REMOVE_EXPORTS_EVERY: Duration = Duration::from_secs(30);

/// Starts every loop; they end when the returned set is dropped.
pub fn start(ctx: &Arc<Ctx>) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    every(&mut loops, ctx, Duration::from_secs(1), "due", |ctx| async move { due_pass(&ctx).await });
    every(&mut loops, ctx, rescue_every(ctx.limits.lease_s), "rescue", |ctx| async move { rescue(&ctx).await });
    every(&mut loops, ctx, Duration::from_secs(3600), "partitions", |ctx| async move { make_partitions(&ctx).await });
    every(&mut loops, ctx, Duration::from_secs(3600), "collect", |ctx| async move {
        collect_blobs(&ctx, collect::BLOB_AGE).await.map(drop)
    });
    every(
        &mut loops,
        ctx,
        Duration::from_secs(3600),
        "retention",
        |ctx| async move { remove_old(&ctx).await.map(drop) },
    );
    every(&mut loops, ctx, TELL_ACTS_EVERY, "served", |ctx| async move { ctx.versions.write(&ctx.upkeep).await });
    every(&mut loops, ctx, TELL_ACTS_EVERY, "acts", |ctx| async move { ctx.acts.write().await });
    every(&mut loops, ctx, REMOVE_CASES_EVERY, "cases", |ctx| async move { remove_deleted(&ctx).await });
    every(&mut loops, ctx, REMOVE_EXPORTS_EVERY, "exports", |ctx| async move { remove_over(&ctx).await });
    loops.spawn(exports::run(Arc::clone(ctx)));
    every(&mut loops, ctx, figures::KEEP_EVERY, "figures", |ctx| async move { keep_figures(&ctx).await });
    loops.spawn(items::run(Arc::clone(ctx)));
    loops.spawn(sweep::run(Arc::clone(ctx)));
    for _ in 0..ctx.decoding.decoders {
        loops.spawn(derive::run(Arc::clone(ctx)));
    }
    loops.spawn(postgres::run(Arc::clone(ctx)));
    loops.spawn(redis::run(Arc::clone(ctx)));
    loops.spawn(redis::listen(Arc::clone(ctx)));
    loops.spawn(waiting::probe_loop(Arc::clone(ctx)));
    loops.spawn(waiting::prolong_loop(Arc::clone(ctx)));
    loops.spawn(waiting::put_back_loop(Arc::clone(ctx)));
    loops
}

/// Runs a tick again and again, a little irregularly so that replicas do not march in step. A failure is
/// logged and the next tick tries again.
fn every<F>(
    loops: &mut JoinSet<()>,
    ctx: &Arc<Ctx>,
    period: Duration,
    name: &'static str,
    tick: impl Fn(Arc<Ctx>) -> F + Send + 'static,
) where
    F: Future<Output = crate::service::Result<()>> + Send,
{
    let ctx = Arc::clone(ctx);
    loops.spawn(async move {
        loop {
            if let Err(error) = tick(Arc::clone(&ctx)).await {
                tell(name, &error);
            }
            tokio::time::sleep(jittered(period)).await;
        }
    });
}
