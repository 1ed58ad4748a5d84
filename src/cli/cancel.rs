//! `darkroom cancel`: takes submissions back.

use clap::Args;
use serde_json::json;
use uuid::Uuid;

use super::exit::Exit;
use super::session::Connection;
use crate::api::submissions::Cancelled;
use crate::client::error::Repeat;
use crate::client::text;

/// Cancel submissions: what has not ended, and for which nobody else waits, ends now
#[derive(Debug, Args)]
pub struct CancelArgs {
    /// Ids of submissions, as `darkroom submissions` lists them
    #[arg(required = true, value_name = "SUBMISSION")]
    submissions: Vec<Uuid>,
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl CancelArgs {
    /// Cancels one after another; what was cancelled before one is refused stays so.
    ///
    /// # Errors
    /// See [`crate::client::error::ApiError`].
    pub async fn run(self) -> anyhow::Result<Exit> {
        let api = self.connection.api()?;
        let mut items: Vec<Cancelled> = Vec::new();
        for id in &self.submissions {
            let path = ["submissions", &id.to_string(), "cancel"];
            let done: Cancelled = api.post(&path, &json!({}), Repeat::Harmless).await?;
            if !self.json {
                text::print(&format!("{id}: {} cancelled\n", text::count(done.cancelled, "job")))?;
            }
            items.push(done);
        }
        if self.json {
            text::print(&format!("{}\n", serde_json::to_string_pretty(&json!({ "items": items }))?))?;
        }
        Ok(Exit::Success)
    }
}
