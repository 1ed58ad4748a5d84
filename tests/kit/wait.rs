//! Waiting for what others do in their own time.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Looks at a condition again and again; answers whether it came to hold in time.
pub async fn holds_within<F: Future<Output = bool>>(wait: Duration, mut holds: impl FnMut() -> F) -> bool {
    let start = Instant::now();
    while !holds().await {
        if start.elapsed() > wait {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}
