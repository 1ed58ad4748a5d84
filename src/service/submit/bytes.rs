//! The bytes: durable before anything names them, removed when nothing does.

use std::collections::{HashMap, HashSet};

use futures_util::StreamExt;
use uuid::Uuid;

use super::judge::{GoodFile, warnings};
use super::order::Upload;
use crate::domain::image::ContentMd5;
use crate::service::{Ctx, Error, Result};
use crate::store::images::NewImage;

/// How many blobs one request makes durable at once.
const KEEP_AT_ONCE: usize = 4;

pub(super) type KeptBlobs = HashMap<ContentMd5, ([u8; 32], Uuid)>;

/// Makes the bytes durable, each distinct image once, at a path of its own.
pub(super) async fn keep(ctx: &Ctx, good: &[GoodFile]) -> Result<KeptBlobs> {
    let mut seen = HashSet::new();
    let distinct = good.iter().filter(|f| seen.insert(f.staged.md5));
    let keeping: Vec<_> = distinct.map(|f| keep_one(ctx, f)).collect();
    let kept: Vec<_> = futures_util::stream::iter(keeping).buffer_unordered(KEEP_AT_ONCE).collect().await;
    let mut blobs = KeptBlobs::new();
    let mut failed = None;
    for (md5, blob, error) in kept {
        blobs.insert(md5, blob);
        failed = failed.or(error);
    }
    match failed {
        None => Ok(blobs),
        Some(error) => {
            drop_blobs(ctx, &blobs.into_values().collect::<Vec<_>>()).await;
            Err(error)
        }
    }
}

pub(super) async fn keep_one(ctx: &Ctx, f: &GoodFile) -> (ContentMd5, ([u8; 32], Uuid), Option<Error>) {
    let blob = Uuid::new_v4();
    let error = ctx.blobs.keep(&f.staged, blob).await.err().map(Error::from);
    (f.staged.md5, (f.staged.sha256, blob), error)
}

pub(super) async fn drop_blobs(ctx: &Ctx, blobs: &[([u8; 32], Uuid)]) {
    for (sha256, blob) in blobs {
        if let Err(error) = ctx.blobs.remove(sha256, *blob).await {
            tracing::warn!(%error, %blob, "a blob that no row names is left to the collector");
        }
    }
}

/// The rows of good files and the names they came with.
pub(super) fn uploads(good: &[GoodFile], blobs: &KeptBlobs) -> Vec<Upload> {
    let side = |pixels: u32| i32::try_from(pixels).unwrap_or(i32::MAX);
    let upload = |f: &GoodFile| {
        let (sha256, blob) = blobs.get(&f.staged.md5)?;
        let row = NewImage {
            md5: f.staged.md5,
            sha256: *sha256,
            bytes: i64::try_from(f.staged.bytes).unwrap_or(i64::MAX),
            media_type: f.structure.format.media_type(),
            width: side(f.structure.width),
            height: side(f.structure.height),
            frames: side(f.structure.frames),
            orientation: f.structure.orientation.map(i16::from),
            warnings: warnings(&f.structure),
            blob: *blob,
        };
        Some(Upload { name: f.name.clone(), row })
    };
    good.iter().filter_map(upload).collect()
}
