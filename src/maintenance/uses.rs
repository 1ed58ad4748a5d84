//! When API keys were last used, written down now and then.

use std::time::Duration;

use crate::service::{Ctx, Result};
use crate::store::keys;

/// How often it is: the last use of a key is known as exactly as this.
pub(super) const USES_EVERY: Duration = Duration::from_secs(60);

/// Writes down which keys were used here since the last time.
pub async fn write_uses(ctx: &Ctx) -> Result<()> {
    let used = ctx.key_uses.take();
    if used.is_empty() {
        return Ok(());
    }
    let written = ctx.upkeep.run(async |db| keys::write_uses(db, &used).await).await;
    if written.is_err() {
        used.iter().for_each(|id| ctx.key_uses.note(id));
    }
    Ok(written?)
}
