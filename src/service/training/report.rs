//! What the worker of a run reports: metrics and files, each under the fence of its lease.

use crate::blob::Staged;
use crate::domain::fault::{Code, Fault};
use crate::metrics;
use crate::service::{Ctx, Error, Result};
use crate::store::training::{self, FileFate, FileKind, NewFile, Point, Replaced, RunFile, RunLease};
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// The most epochs that one run measures.
pub const POINTS_MAX: i64 = 10_000;

/// Keeps what a run measured, of which no epoch comes twice; answers how many epochs it has measured in all.
pub async fn measure(ctx: &Ctx, lease: &RunLease, points: &[Point]) -> Result<i64> {
    let measured = ctx
        .work
        .write(async |tx| {
            let held = training::lock_lease(tx, lease).await?.ok_or_else(|| stale(lease))?;
            let measured = training::put_metrics(tx, lease, held.attempt, points).await?;
            if measured > POINTS_MAX {
                let detail = format!("The run would have measured {measured} epochs; the limit is {POINTS_MAX}.");
                return Err(Error::from(Fault::new(Code::TooLarge, detail).on("/points")));
            }
            Ok(measured)
        })
        .await?;
    ctx.waiters.runs.tell([lease.run]);
    Ok(measured)
}

/// Refuses whoever does not hold the run: before any byte of a file is taken in, and before one is given out. Answers when it was held.
pub async fn fence(ctx: &Ctx, lease: &RunLease) -> Result<DateTime<Utc>> {
    let held = ctx.work.run(async |db| training::lock_lease(db, lease).await).await?;
    Ok(held.ok_or_else(|| stale(lease))?.at)
}

/// What is told of a file as it comes.
#[derive(Debug)]
pub struct FileSent {
    pub kind: FileKind,
    /// Of a model.
    pub name: Option<String>,
    /// Of a checkpoint.
    pub epoch: Option<i32>,
    /// What its bytes are to hash to.
    pub sha256: Option<[u8; 32]>,
}

/// Keeps a file that came whole, and what it replaces goes, unless one came meanwhile whose upload began later; answers whether. When
/// this returns, it is on stable storage.
pub async fn keep_file(
    ctx: &Ctx,
    lease: &RunLease,
    sent: &FileSent,
    begun_at: DateTime<Utc>,
    staged: &Staged,
) -> Result<bool> {
    if let Some(expected) = sent.sha256.filter(|expected| *expected != staged.sha256) {
        let (got, expected) = (hex::encode(staged.sha256), hex::encode(expected));
        let detail = format!("{} bytes came, whose SHA-256 is {got}, not {expected}.", staged.bytes);
        return Err(Fault::new(Code::ChecksumMismatch, detail).on("/sha256").into());
    }
    if staged.bytes == 0 {
        return Err(Fault::new(Code::EmptyFile, "The body has no bytes.").into());
    }
    let blob = Uuid::new_v4();
    ctx.blobs.keep(staged, blob).await?;
    let file = NewFile {
        kind: sent.kind,
        name: sent.name.as_deref(),
        epoch: sent.epoch,
        bytes: i64::try_from(staged.bytes).unwrap_or(i64::MAX),
        sha256: &staged.sha256,
        blob,
        begun_at,
    };
    let written = ctx
        .work
        .write(async |tx| {
            let held = training::lock_lease(tx, lease).await?.ok_or_else(|| stale(lease))?;
            Ok::<_, Error>(training::put_file(tx, lease, held.attempt, &file).await?)
        })
        .await;
    match written {
        Ok(FileFate { kept, unnamed }) => {
            metrics::artifact(staged.bytes);
            ctx.waiters.runs.tell([lease.run]);
            drop_files(ctx, &unnamed).await;
            Ok(kept)
        }
        Err(error) => {
            // Where it is not known whether it was committed, the collector finds out.
            if matches!(error, Error::Fault(_)) {
                drop_files(ctx, &[Replaced { sha256: staged.sha256.to_vec(), blob }]).await;
            }
            Err(error)
        }
    }
}

/// The newest checkpoint of a run, for who holds it.
pub async fn checkpoint(ctx: &Ctx, lease: &RunLease) -> Result<RunFile> {
    fence(ctx, lease).await?;
    let found = ctx.work.run(async |db| training::checkpoints(db, &[lease.run]).await).await?.pop();
    found.ok_or_else(|| Fault::new(Code::NoCheckpoint, "No attempt of this run has saved one.").into())
}

async fn drop_files(ctx: &Ctx, files: &[Replaced]) {
    for Replaced { sha256, blob } in files {
        if let Err(error) = ctx.blobs.remove(sha256, *blob).await {
            tracing::warn!(%error, %blob, "a file that no run names is left to the collector");
        }
    }
}

fn stale(lease: &RunLease) -> Fault {
    metrics::stale_lease();
    let RunLease { run, lease_no, .. } = lease;
    Fault::new(Code::StaleLease, format!("Run {run} is not running under lease {lease_no} of this worker."))
}
