//! What can be known of images without any model is worked out in the background, an image at a time: each is held in PostgreSQL by
//! whoever is at it, so that replicas share the work, and what a killed one had in hand is another's when its time is up.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use uuid::Uuid;

use super::pace::{jittered, tell};
use crate::blob::{BlobError, Staging};
use crate::derive::{Decoder, NoReply, Photograph, Reply};
use crate::metrics;
use crate::service::{Ctx, Error, Result};
use crate::store::derived::{self, ImageInHand, ThumbsAt, WorkedOut};

/// How long an image is held, in seconds: more than bringing it, working it out and keeping what came of it may take together.
const HOLD_S: f64 = 180.0;
/// How often an image is begun before it is given up: it killed its decoder each time, or whoever held it.
pub const TRIES_MAX: i16 = 3;
/// How long an image that could not be brought, or whose thumbnails could not be kept, is left alone, in seconds.
const STORAGE_PAUSE_S: f64 = 60.0;
/// How often somebody with nothing to do looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The rest after an image: all of a replica's decoders together begin no more than some dozens a second.
const REST: Duration = Duration::from_millis(20);

/// Works images out as long as there are any, for ever.
pub(super) async fn run(ctx: Arc<Ctx>) {
    let mut decoder = None;
    loop {
        let rest = match derive_next(&ctx, &mut decoder).await {
            Ok(true) => REST,
            Ok(false) => {
                // Idle, it would only hold memory.
                decoder = None;
                LOOK_EVERY
            }
            Err(error) => {
                tell("derive", &error);
                LOOK_EVERY
            }
        };
        tokio::time::sleep(jittered(rest)).await;
    }
}

/// Works out the next image, if any waits; answers whether one did. A decoder that lives is used, and one that is left lives.
pub async fn derive_next(ctx: &Ctx, decoder: &mut Option<Decoder>) -> Result<bool> {
    let Some(held) = ctx.chores.run(async |db| derived::claim(db, HOLD_S).await).await? else { return Ok(false) };
    if held.tries > TRIES_MAX {
        let why = format!("Working it out was begun {TRIES_MAX} times, and never ended.");
        fail(ctx, &held, why).await?;
        return Ok(true);
    }
    match ask(ctx, &held, decoder).await {
        Ok((answered, thumbnails)) => match keep(ctx, &held, answered, thumbnails).await {
            Ok(()) => Ok(true),
            Err(error) => give_back(ctx, &held, error).await,
        },
        Err(failed) => {
            *decoder = None;
            match failed {
                NoReply::Source(error) if error.is_missing() => {
                    lost(ctx, &held, "Its bytes are not in the image store.".to_owned()).await
                }
                NoReply::Source(error) => give_back(ctx, &held, error.into()).await,
                NoReply::Start(error) => give_back(ctx, &held, Error::Internal(error.into())).await,
                NoReply::Died(how) => lost(ctx, &held, how).await,
            }
        }
    }
}

/// Brings the photograph to the decoder, and waits for what it says.
async fn ask(
    ctx: &Ctx,
    held: &ImageInHand,
    decoder: &mut Option<Decoder>,
) -> std::result::Result<(Reply, Bytes), NoReply<BlobError>> {
    if !decoder.as_ref().is_some_and(Decoder::is_fresh) {
        *decoder = Some(Decoder::start(&ctx.decoding).map_err(NoReply::Start)?);
    }
    let Some(decoder) = decoder else { return Err(NoReply::Start(std::io::ErrorKind::NotFound.into())) };
    let photograph = Photograph {
        bytes: u64::try_from(held.bytes).unwrap_or_default(),
        media_type: held.media_type.clone(),
        orientation: held.orientation.and_then(|turned| u8::try_from(turned).ok()),
    };
    let bytes = ctx.blobs.read(&held.sha256, held.blob, None).await.map_err(NoReply::Source)?;
    decoder.ask(&photograph, bytes, || BlobError::Slow).await
}

/// Keeps the thumbnails, then writes down where they are with all else.
async fn keep(ctx: &Ctx, held: &ImageInHand, answered: Reply, thumbnails: Bytes) -> Result<()> {
    let Reply { says, seen } = answered;
    let seen = match seen {
        Ok(seen) => Ok((seen, keep_thumbs(ctx, thumbnails).await?)),
        Err(why) => Err(why),
    };
    let out = WorkedOut { says, seen };
    let finished = ctx.chores.run(async |db| derived::finish(db, held, &out).await).await?;
    // What is left when we die in between is the collector's.
    let unnamed = match finished {
        Some(before) => before,
        None => out.seen.as_ref().ok().map(|(_, at)| at.clone()),
    };
    if let Some(ThumbsAt { sha256, blob }) = unnamed {
        ctx.blobs.remove(&sha256, blob).await?;
    }
    metrics::derived(if out.seen.is_ok() { "done" } else { "failed" });
    Ok(())
}

async fn keep_thumbs(ctx: &Ctx, thumbnails: Bytes) -> Result<ThumbsAt> {
    let mut staging = Staging::begin(&ctx.blobs).await?;
    staging.write(thumbnails).await?;
    let staged = staging.finish().await?;
    let at = ThumbsAt { sha256: staged.sha256.to_vec(), blob: Uuid::new_v4() };
    ctx.blobs.keep(&staged, at.blob).await?;
    Ok(at)
}

/// A try ended without an answer. The next may do better, unless it was the last.
async fn lost(ctx: &Ctx, held: &ImageInHand, how: String) -> Result<bool> {
    tracing::warn!(image = held.image_id, tries = held.tries, how, "an image was not worked out");
    metrics::derived("died");
    if held.tries < TRIES_MAX {
        ctx.chores.run(async |db| derived::give_back(db, held, 0.0, true).await).await?;
    } else {
        fail(ctx, held, how).await?;
    }
    Ok(true)
}

async fn fail(ctx: &Ctx, held: &ImageInHand, why: String) -> Result<()> {
    keep(ctx, held, Reply { says: Default::default(), seen: Err(why) }, Bytes::new()).await
}

/// Something of ours failed, and the photograph has nothing to do with it.
async fn give_back(ctx: &Ctx, held: &ImageInHand, error: Error) -> Result<bool> {
    ctx.chores.run(async |db| derived::give_back(db, held, STORAGE_PAUSE_S, false).await).await?;
    Err(error)
}
