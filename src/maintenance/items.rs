//! Writes down what results say, and rests for longer than it worked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::{jittered, tell};
use crate::metrics;
use crate::service::Ctx;

/// How often it is looked for results that came.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How many times as long as it worked it rests while there is more: under load the jobs come first, and this takes a tenth of one
/// processor.
const REST: u32 = 9;

pub(super) async fn run(ctx: Arc<Ctx>) {
    let mut looked: Option<Instant> = None;
    loop {
        let begun = Instant::now();
        let rest = match ctx.items.write_down(&ctx.chores).await {
            Ok(0) => jittered(LOOK_EVERY),
            Ok(_) => begun.elapsed() * REST,
            Err(error) => {
                tell("items", &error);
                jittered(LOOK_EVERY)
            }
        };
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            looked = Some(Instant::now());
            // While PostgreSQL is away the last value stands.
            if let Ok(lag) = ctx.items.lag(&ctx.chores).await {
                metrics::items_lag(lag);
            }
        }
        tokio::time::sleep(rest).await;
    }
}
