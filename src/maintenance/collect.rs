//! The collector: spool files that nobody writes any more, and blobs that no row names, of an image, of its thumbnails, of a run's file or of an export, old enough that no upload can still be on its way to naming
//! them, are removed.

use std::time::Duration;

use futures_util::StreamExt;
use sqlx::PgConnection;
use uuid::Uuid;

use crate::service::{Ctx, Result};
use crate::store::{derived, exports, images, training};

/// How old a blob must be; no request lasts nearly as long.
pub const BLOB_AGE: Duration = Duration::from_secs(24 * 3600);

/// Removes orphans older than `age`; answers how many.
pub async fn collect_blobs(ctx: &Ctx, age: Duration) -> Result<usize> {
    ctx.chores.run(training::forget_unselected).await?;
    ctx.blobs.clear().await?;
    let horizon = ctx.blobs.horizon(age).await?;
    let mut removed = 0;
    let mut pages = std::pin::pin!(ctx.blobs.older_than(horizon));
    while let Some(page) = pages.next().await {
        let page = page?;
        let ids: Vec<_> = page.iter().map(|(_, blob)| *blob).collect();
        let named = ctx.chores.run(async |db| named_blobs(db, &ids).await).await?;
        for (sha256, blob) in page.iter().filter(|(_, blob)| !named.contains(blob)) {
            ctx.blobs.remove(sha256, *blob).await?;
            removed += 1;
        }
    }
    Ok(removed)
}

/// Those of these blobs that an image, what is known of one, a file of a run, or an export names.
async fn named_blobs(db: &mut PgConnection, blobs: &[Uuid]) -> sqlx::Result<Vec<Uuid>> {
    let mut named = images::named_blobs(db, blobs).await?;
    named.extend(derived::named_blobs(db, blobs).await?);
    named.extend(training::named_blobs(db, blobs).await?);
    named.extend(exports::named_blobs(db, blobs).await?);
    Ok(named)
}
