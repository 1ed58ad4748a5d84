//! What the subcommands that list have in common: pages read to the end, and a table or JSON of them.

use chrono::{DateTime, Utc};
use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::exit::Exit;
use super::session::Connection;
use super::table;
use crate::api::page::{LIMIT_MAX, Page};
use crate::client::http::{Api, REQUEST_TIMEOUT};
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
        let items: Vec<T> = read(&self.connection.api()?, &question).await?;
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
        Ok(Exit::Success)
    }
}

/// Page after page, until the last one or until there are enough.
async fn read<T: DeserializeOwned>(api: &Api, question: &Question<'_>) -> anyhow::Result<Vec<T>> {
    let most = question.most.unwrap_or(usize::MAX);
    let limit = i64::try_from(most).unwrap_or(LIMIT_MAX).min(LIMIT_MAX);
    let mut items = Vec::new();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = question.query.clone();
        if let Some(cursor) = cursor {
            query.extend([("cursor", cursor), ("limit", limit.to_string())]);
        } else if question.most.is_some() {
            query.push(("limit", limit.to_string()));
        }
        let page: Page<T> = api.get(question.path, &query, REQUEST_TIMEOUT).await?;
        items.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() || items.len() >= most {
            items.truncate(most);
            return Ok(items);
        }
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
