//! `darkroom workers`: which microservices are there, and what they hold.

use clap::Args;

use super::exit::Exit;
use super::listing::{Listing, Question, minute, since};
use crate::api::workers::WorkerOut;
use crate::client::text;

/// List the running microservices, what they hold and when they were last heard of
#[derive(Debug, Args)]
pub struct WorkersArgs {
    /// Only those of this model
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    #[command(flatten)]
    listing: Listing,
}

impl WorkersArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`].
    pub async fn run(self) -> anyhow::Result<Exit> {
        let question = Question {
            path: &["workers"],
            query: self.model.map(|model| ("model", model)).into_iter().collect(),
            most: None,
            nothing: "No worker is registered: start one; README.md shows how.",
        };
        let titles = ["MODEL", "VERSION", "STATE", "HOLDS", "LAST BEAT", "SINCE (UTC)", "HOST", "WORKER", "TROUBLE"];
        self.listing.show(question, titles, row).await
    }
}

fn row(worker: &WorkerOut) -> [String; 9] {
    let state = match worker {
        WorkerOut { alive: false, .. } => "overdue",
        WorkerOut { draining: true, .. } => "draining",
        _ => "alive",
    };
    [
        text::clean(worker.model.as_deref().or(worker.dataset.as_deref()).unwrap_or_default()),
        text::one_line(&worker.version, 24),
        state.to_owned(),
        worker.running.to_string(),
        format!("{} ago", since(Some(worker.beat_at))),
        minute(worker.registered_at),
        text::one_line(worker.host.as_deref().unwrap_or("-"), 24),
        worker.worker.to_string(),
        text::one_line(worker.trouble.as_deref().unwrap_or("-"), 80),
    ]
}
