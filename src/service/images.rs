//! Images that went: what is mirrored of them goes, then their bytes.

use std::iter;

use super::Ctx;
use crate::store::retention::GoneImage;

/// After the COMMIT that removed their rows. What is left when we die in between, or cannot be removed now, is the collector's.
pub async fn forget(ctx: &Ctx, gone: impl Iterator<Item = &GoneImage> + Clone) {
    let md5s: Vec<_> = gone.clone().map(|image| image.md5).collect();
    ctx.index.drop_statuses(&md5s).await;
    for image in gone {
        let thumbs = image.thumbs_sha256.as_ref().zip(image.thumbs_blob);
        for (sha256, blob) in iter::once((&image.sha256, image.blob)).chain(thumbs) {
            if let Err(error) = ctx.blobs.remove(sha256, blob).await {
                tracing::warn!(%error, "the bytes of an image that went could not be removed; the collector does");
            }
        }
    }
}
