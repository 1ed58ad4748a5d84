//! What every test stands on.

pub mod app;
pub mod client;
pub mod images;
pub mod process;
pub mod servers;

pub use app::TestApp;
pub use client::{Answer, Client, Form};

/// Polls a condition until it holds; fails after a minute.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !holds().await {
        assert!(std::time::Instant::now() < deadline, "{what} did not come to be");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
