//! Retention: what is older than the policy keeps it goes, in small bites; what a live job needs never does.

use uuid::Uuid;

use crate::service::{Ctx, Error, Result, images};
use crate::store::retention::{self, Days, GoneFiles, Kind};
use crate::store::{partitions, ticks};

/// The table of ended jobs, by months.
const ARCHIVE: &str = "job_archive";
/// How many rows one transaction removes.
const ROWS_MAX: i64 = 1_000;
/// How many training runs one transaction removes: each has up to ten thousand rows of metrics.
const RUNS_MAX: i64 = 20;
/// How many ended jobs one transaction readies to go.
const SETTLED_AT_ONCE: i64 = 10_000;
/// How many transactions one tick makes for each kind; the next goes on.
const BITES_MAX: usize = 100;

/// What has gone, or would go, of a kind.
#[derive(Debug, Clone, Copy)]
pub struct Old {
    pub kind: Kind,
    pub keep: Days,
    /// Rows; of what goes by whole days, those days.
    pub count: i64,
}

/// How many rows would go now, by kind; nothing for what is kept for ever. Counts exactly, however long that takes.
pub async fn count_old(ctx: &Ctx) -> Result<Vec<Old>> {
    let mut counts = Vec::new();
    for (kind, keep) in ctx.limits.keep.kinds() {
        let count = ctx.db.read_at_leisure(async |db| retention::count(db, kind, keep).await).await?;
        counts.push(Old { kind, keep, count });
    }
    Ok(counts)
}

/// Removes what is old; answers what has gone. Several replicas take turns, bite by bite.
pub async fn remove_old(ctx: &Ctx) -> Result<Vec<Old>> {
    let mut gone = Vec::new();
    for (kind, keep) in ctx.limits.keep.kinds() {
        let count = match kind {
            Kind::Images => remove_images(ctx, keep).await?,
            Kind::Results => remove_results(ctx, keep).await?,
            Kind::Jobs => drop_partitions(ctx, ARCHIVE, keep).await? + remove_rows(ctx, kind, keep).await?,
            Kind::Events => drop_partitions(ctx, "job_event", keep).await? + remove_rows(ctx, kind, keep).await?,
            Kind::Runs | Kind::Checkpoints => remove_of_runs(ctx, kind, keep).await?,
            Kind::Attempts | Kind::Submissions | Kind::Sessions => remove_rows(ctx, kind, keep).await?,
        };
        gone.push(Old { kind, keep, count });
    }
    Ok(gone)
}

/// Rows go first, then the mirrored status, then the bytes; what is left when we die in between is the collector's.
async fn remove_images(ctx: &Ctx, keep: Days) -> Result<i64> {
    // What is mirrored of them must not outlive them.
    if !ctx.index.is_live() {
        return Ok(0);
    }
    let (mut removed, mut after) = (0, 0);
    for _ in 0..BITES_MAX {
        let (last, gone) = ctx
            .chores
            .write(async |tx| {
                if !ticks::try_tick(tx, "retention").await? {
                    return Ok((None, Vec::new()));
                }
                let locked = retention::lock_images(tx, keep, after, ROWS_MAX).await?;
                let gone = retention::remove_images(tx, keep, &locked).await?;
                Ok::<_, Error>((locked.last().copied(), gone))
            })
            .await?;
        let Some(last) = last else { break };
        after = last;
        images::forget(ctx, gone.iter()).await;
        removed += gone.len() as i64;
    }
    Ok(removed)
}

async fn remove_results(ctx: &Ctx, keep: Days) -> Result<i64> {
    if !ctx.index.is_live() {
        return Ok(0);
    }
    let mut removed = 0;
    for _ in 0..BITES_MAX {
        let mut images = ctx
            .chores
            .write(async |tx| {
                if !ticks::try_tick(tx, "retention").await? {
                    return Ok(Vec::new());
                }
                retention::remove_results(tx, keep, ROWS_MAX).await
            })
            .await?;
        if images.is_empty() {
            break;
        }
        removed += images.len() as i64;
        images.sort();
        images.dedup();
        ctx.index.drop_statuses(&images).await;
    }
    Ok(removed)
}

/// Rows go first, then the bytes, as of images.
async fn remove_of_runs(ctx: &Ctx, kind: Kind, keep: Days) -> Result<i64> {
    let (mut removed, mut after) = (0, Uuid::nil());
    for _ in 0..BITES_MAX {
        let (looked_at, gone) = ctx
            .chores
            .write(async |tx| {
                if !ticks::try_tick(tx, "retention").await? {
                    return Ok((after, GoneFiles::default()));
                }
                if kind == Kind::Checkpoints {
                    return Ok((after, retention::remove_checkpoints(tx, keep, ROWS_MAX).await?));
                }
                let locked = retention::lock_runs(tx, keep, after, RUNS_MAX).await?;
                let gone = retention::remove_runs(tx, keep, &locked).await?;
                Ok::<_, Error>((locked.last().copied().unwrap_or(after), gone))
            })
            .await?;
        if gone.count == 0 && looked_at == after {
            break;
        }
        after = looked_at;
        removed += gone.count;
        for file in &gone.bytes {
            ctx.blobs.remove(&file.sha256, file.blob).await?;
        }
    }
    Ok(removed)
}

async fn remove_rows(ctx: &Ctx, kind: Kind, keep: Days) -> Result<i64> {
    let mut removed = 0;
    for _ in 0..BITES_MAX {
        let bite = ctx
            .chores
            .write(async |tx| {
                if !ticks::try_tick(tx, "retention").await? {
                    return Ok(0);
                }
                let bite = match kind {
                    Kind::Submissions => {
                        let locked = retention::lock_submissions(tx, keep, ROWS_MAX).await?;
                        retention::remove_submissions(tx, &locked, ROWS_MAX).await?
                    }
                    kind => retention::remove(tx, kind, keep, ROWS_MAX).await?,
                };
                Ok::<_, Error>(bite)
            })
            .await?;
        if bite == 0 {
            break;
        }
        removed += i64::try_from(bite).unwrap_or(i64::MAX);
    }
    Ok(removed)
}

/// Drops whole months; answers how many. One that is busy stays until the next tick.
async fn drop_partitions(ctx: &Ctx, parent: &str, keep: Days) -> Result<i64> {
    let mut dropped = 0;
    let old = ctx.chores.run(async |db| partitions::old_partitions(db, parent, keep).await).await?;
    for name in old {
        if parent == ARCHIVE && !settle(ctx, &name, keep).await? {
            continue;
        }
        let gone = ctx
            .chores
            .write(async |tx| {
                // Asked again under the tick: another replica may have dropped it, or an old job come back to life.
                if !ticks::try_tick(tx, "retention").await? {
                    return Ok(false);
                }
                Ok::<_, Error>(partitions::drop_partition(tx, parent, &name, keep).await?)
            })
            .await;
        match gone {
            Ok(gone) => dropped += i64::from(gone),
            Err(Error::Unavailable(error)) => tracing::info!(name, %error, "a partition is in use; it goes later"),
            Err(error) => return Err(error),
        }
    }
    Ok(dropped)
}

/// Readies the ended jobs of a month to go, bite by bite; answers whether all of them may.
async fn settle(ctx: &Ctx, partition: &str, keep: Days) -> Result<bool> {
    for _ in 0..BITES_MAX {
        let settled = ctx
            .chores
            .write(async |tx| {
                if !ticks::try_tick(tx, "retention").await? {
                    return Ok(None);
                }
                Ok::<_, Error>(Some(retention::settle(tx, partition, keep, SETTLED_AT_ONCE).await?))
            })
            .await?;
        match settled {
            Some(settled) if settled.whole => return Ok(true),
            Some(settled) if settled.jobs > 0 => {}
            // Some ended too lately, or another replica is at it.
            _ => return Ok(false),
        }
    }
    Ok(false)
}
