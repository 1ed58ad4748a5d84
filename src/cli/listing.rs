//! What the subcommands that list have in common: pages read to the end, and a table or JSON of them.

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::exit::Exit;
use super::session::Connection;
use super::table;
use crate::client::http::Api;
use crate::client::text;

/// Options of every subcommand that lists.
#[derive(Debug, Args)]
pub struct Listing {
    /// Print one JSON document in place of the table
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

/// What is listed, and what there is to say when that is nothing.
pub struct Question<'a> {
    pub path: &'a [&'a str],
    pub query: Vec<(&'static str, String)>,
    /// The most items to ask for; all, when left out.
    pub most: Option<usize>,
    pub nothing: &'a str,
}

impl Listing {
    /// The server, as who logged in.
    ///
    /// # Errors
    /// Nobody has logged in there.
    pub fn api(&self) -> anyhow::Result<Api> {
        self.connection.api()
    }

    /// Reads what was asked for and prints it: whole as JSON, or each item as a row.
    ///
    /// # Errors
    /// See [`crate::client::error::ApiError`].
    pub async fn show<T, const N: usize>(
        self,
        question: Question<'_>,
        titles: [&str; N],
        row: impl Fn(&T) -> [String; N],
    ) -> anyhow::Result<Exit>
    where
        T: Serialize + DeserializeOwned,
    {
        let items: Vec<T> = self.api()?.list(question.path, &question.query, question.most).await?;
        let shown = if self.json {
            serde_json::to_string_pretty(&json!({ "items": items }))?
        } else if items.is_empty() {
            question.nothing.to_owned()
        } else {
            let rows = items.iter().map(row);
            let lines: Vec<_> = std::iter::once(titles.map(str::to_owned)).chain(rows).collect();
            table::aligned(&lines, |_, _, cell| cell)
        };
        text::print(&format!("{}\n", shown.trim_end()))?;
        if question.most == Some(items.len()) && !self.json {
            text::say(&format!("No more than {} are listed: --limit takes another number.", items.len()));
        }
        Ok(Exit::Success)
    }
}

/// A moment to the minute, as every list shows it: in UTC.
pub fn minute(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M").to_string()
}

/// How long ago that was, by this machine's clock; nothing is a dash.
pub fn since(at: Option<DateTime<Utc>>) -> String {
    at.map_or_else(|| "-".to_owned(), |at| text::duration((Utc::now() - at).as_seconds_f64()))
}
