//! `darkroom models`: what photographs can be sent to.

use clap::Args;

use super::exit::Exit;
use super::listing::{Listing, Question, since};
use crate::api::models::ModelOut;
use crate::client::text;

/// List the models, their workers and what waits for them
#[derive(Debug, Args)]
pub struct ModelsArgs {
    /// List retired ones, too
    #[arg(long)]
    retired: bool,
    #[command(flatten)]
    listing: Listing,
}

impl ModelsArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`].
    pub async fn run(self) -> anyhow::Result<Exit> {
        let question = Question {
            path: &["models"],
            query: if self.retired { vec![("retired", "true".to_owned())] } else { Vec::new() },
            most: None,
            nothing: "No model yet: one is known from the first time that a microservice registers it.",
        };
        let titles = ["MODEL", "STATE", "WORKERS", "QUEUED", "RUNNING", "OLDEST", "VERSIONS", "DESCRIPTION"];
        self.listing.show(question, titles, row).await
    }
}

fn row(model: &ModelOut) -> [String; 8] {
    let state = match model {
        ModelOut { retired_at: Some(_), .. } => "retired",
        ModelOut { paused: true, .. } => "paused",
        ModelOut { workers: 0, .. } => "no worker",
        _ => "live",
    };
    let versions = if model.versions.is_empty() { model.last_version.clone() } else { model.versions.join(",") };
    [
        text::clean(&model.name),
        state.to_owned(),
        model.workers.to_string(),
        model.queued.to_string(),
        model.max_running.map_or_else(|| model.running.to_string(), |most| format!("{} of {most}", model.running)),
        since(model.oldest_due_at),
        text::one_line(&versions, 30),
        text::one_line(&model.description, 60),
    ]
}
