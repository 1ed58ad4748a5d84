//! `darkroom exports`: what was taken away of cases and is kept for a while.

use clap::Args;
use indicatif::HumanBytes;
use uuid::Uuid;

use super::exit::Exit;
use super::listing::{Listing, Question, minute};
use crate::api::exports::ExportOut;
use crate::client::{cases, text};

/// List one's exports, and everybody's of the cases that one owns, newest first, or remove some
#[derive(Debug, Args)]
pub struct ExportsArgs {
    /// Only those of this case, by its name or id
    #[arg(long, value_name = "CASE")]
    case: Option<String>,
    /// Remove this one in place of listing, by its id; give it again for others
    #[arg(long, value_name = "ID", conflicts_with_all = ["case", "json"])]
    remove: Vec<Uuid>,
    #[command(flatten)]
    listing: Listing,
}

impl ExportsArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`]; of several, those before the one that is not there are removed.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let api = self.listing.api()?;
        for id in &self.remove {
            api.delete(&["exports", &id.to_string()]).await?;
            text::say(&format!("{id} is removed."));
        }
        if !self.remove.is_empty() {
            return Ok(Exit::Success);
        }
        let mut query = Vec::new();
        if let Some(named) = &self.case {
            query.push(("case", cases::find(&api, named).await?.id.to_string()));
        }
        let question = Question { path: &["exports"], query, most: None, nothing: "No export." };
        let titles = ["EXPORT", "BY", "FORMAT", "STATE", "IMAGES", "SIZE", "MADE (UTC)", "FILTER"];
        self.listing.show(question, titles, row).await
    }
}

fn row(export: &ExportOut) -> [String; 8] {
    [
        export.id.to_string(),
        text::one_line(&export.by, 24),
        export.format.as_str().to_owned(),
        export.state.as_str().to_owned(),
        export.images.map_or_else(|| "-".to_owned(), |images| images.to_string()),
        export.bytes.map_or_else(|| "-".to_owned(), |bytes| HumanBytes(bytes.unsigned_abs()).to_string()),
        minute(export.created_at),
        text::one_line(&export.q, 60),
    ]
}
