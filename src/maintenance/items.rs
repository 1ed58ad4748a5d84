//! Writes down what results say, and rests for longer than it worked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::{jittered, tell};
use crate::service::Ctx;

/// How often it is looked for results that came.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many times as long as it worked it rests while there is more: under load the jobs come first, and this takes a tenth of one
/// processor.
const REST: u32 = 9;

pub(super) async fn run(ctx: Arc<Ctx>) {
    loop {
        let begun = Instant::now();
        let rest = match ctx.items.write_down(&ctx.upkeep).await {
            Ok(0) => jittered(LOOK_EVERY),
            Ok(_) => begun.elapsed() * REST,
            Err(error) => {
                tell("items", &error);
                jittered(LOOK_EVERY)
            }
        };
        tokio::time::sleep(rest).await;
    }
}
