//! `darkroom submissions`: what was sent, and how far it is.

use clap::Args;

use super::exit::Exit;
use super::listing::{Listing, Question, minute};
use crate::api::submissions::SubmissionOut;
use crate::client::text;

/// List one's submissions, newest first; an administrator's list has everybody's
#[derive(Debug, Args)]
pub struct SubmissionsArgs {
    /// How many to list
    #[arg(long, default_value_t = 20, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    listing: Listing,
}

impl SubmissionsArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`].
    pub async fn run(self) -> anyhow::Result<Exit> {
        let question = Question {
            path: &["submissions"],
            query: Vec::new(),
            most: Some(self.limit as usize),
            nothing: "No submission yet: darkroom submit --models MODEL FOLDER",
        };
        self.listing.show(question, TITLES, row).await
    }
}

pub(super) const TITLES: [&str; 8] =
    ["SUBMISSION", "CREATED (UTC)", "STATUS", "IMAGES", "JOBS", "ENDED", "FAILED", "MODELS"];

pub(super) fn row(submission: &SubmissionOut) -> [String; 8] {
    let counts = &submission.counts;
    let models: Vec<&str> = submission.models.keys().map(String::as_str).collect();
    [
        submission.id.to_string(),
        minute(submission.created_at),
        submission.status.as_str().to_owned(),
        counts.images.to_string(),
        counts.jobs.to_string(),
        counts.ended.to_string(),
        counts.states.failed.to_string(),
        text::one_line(&models.join(","), 40),
    ]
}
