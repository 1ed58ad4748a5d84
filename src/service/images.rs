//! Images that went: what is mirrored of them goes, then their bytes.

use super::{Ctx, Result};
use crate::store::retention::GoneImage;

/// After the COMMIT that removed their rows. What is left when we die in between is the collector's.
pub async fn forget(ctx: &Ctx, gone: impl Iterator<Item = &GoneImage> + Clone) -> Result<()> {
    let md5s: Vec<_> = gone.clone().map(|image| image.md5).collect();
    ctx.index.drop_statuses(&md5s).await;
    for image in gone {
        ctx.blobs.remove(&image.sha256, image.blob).await?;
        if let (Some(sha256), Some(blob)) = (&image.thumbs_sha256, image.thumbs_blob) {
            ctx.blobs.remove(sha256, blob).await?;
        }
    }
    Ok(())
}
