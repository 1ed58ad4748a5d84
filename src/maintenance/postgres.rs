//! Watches whether PostgreSQL serves this replica, and says so once when it no longer does and once when it does again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::pace::jittered;
use crate::service::Ctx;

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_secs(1);

pub(super) async fn run(ctx: Arc<Ctx>) {
    let mut away: Option<Instant> = None;
    loop {
        match (ctx.readiness.ask().await, away) {
            (Err(error), None) => {
                tracing::warn!(error, "PostgreSQL is away; requests are answered 503 until it is back");
                away = Some(Instant::now());
            }
            (Ok(()), Some(since)) => {
                tracing::warn!(away_s = since.elapsed().as_secs(), "PostgreSQL is back");
                away = None;
            }
            _ => {}
        }
        tokio::time::sleep(jittered(ASK_EVERY)).await;
    }
}
