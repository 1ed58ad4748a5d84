//! `darkroom queues`: how much of each model's work waits and runs.

use clap::Args;

use super::exit::Exit;
use super::listing::{Listing, Question};
use crate::api::queues::Queue;
use crate::client::text;

/// List how much of each model's work waits and runs
#[derive(Debug, Args)]
pub struct QueuesArgs {
    #[command(flatten)]
    listing: Listing,
}

impl QueuesArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`].
    pub async fn run(self) -> anyhow::Result<Exit> {
        let question =
            Question { path: &["queues"], query: Vec::new(), most: None, nothing: "No model has a queue yet." };
        self.listing.show(question, TITLES, row).await
    }
}

pub(super) const TITLES: [&str; 5] = ["MODEL", "QUEUED", "RUNNING", "WORKERS", "OLDEST WAITS"];

pub(super) fn row(queue: &Queue) -> [String; 5] {
    [
        text::clean(&queue.model),
        queue.queued.to_string(),
        queue.running.to_string(),
        queue.workers.to_string(),
        queue.oldest_wait_s.map_or_else(|| "-".to_owned(), text::duration),
    ]
}
