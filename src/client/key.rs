//! `darkroom key`: API keys for microservices.

use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::exit::Exit;
use super::http::{REQUEST_TIMEOUT, Repeat};
use super::session::Connection;
use super::text;

/// Pages of keys asked for at most; the server chooses the size of a page.
const PAGES_MAX: usize = 1_000;

/// Make, list and disable API keys
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, Subcommand)]
enum KeyCommand {
    /// Make a key and print it, this once, on stdout
    Create(CreateArgs),
    /// List the keys that one may see
    List(ListArgs),
    /// Disable a key for good
    Disable(DisableArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What the microservice does
    #[arg(long)]
    service: Service,
    /// Models (of a train key: datasets) that it may work for, with globs, e.g. 'face_*,ocr'
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    models: Vec<String>,
    /// What the key is for, for people
    #[arg(long, value_name = "TEXT")]
    detail: Option<String>,
    /// When it stops working, e.g. 2027-01-31T00:00:00Z [default: never]
    #[arg(long, value_name = "RFC3339", value_parser = DateTime::parse_from_rfc3339)]
    expires_at: Option<DateTime<chrono::FixedOffset>>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Clone, Copy, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
enum Service {
    Predict,
    Train,
}

#[derive(Debug, Args)]
struct ListArgs {
    /// Print one JSON document
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct DisableArgs {
    /// The key's id, as listed
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Deserialize)]
struct Created {
    id: Value,
    key: String,
}

#[derive(Deserialize)]
struct Page {
    items: Vec<Value>,
    next_cursor: Option<String>,
}

impl KeyArgs {
    /// Runs the chosen operation.
    ///
    /// # Errors
    /// See [`super::http::ApiError`]; roles decide who may make a key for what.
    pub async fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            KeyCommand::Create(args) => create(args).await,
            KeyCommand::List(args) => list(args).await,
            KeyCommand::Disable(args) => {
                args.connection.api()?.delete(&["auth", "key", &args.id]).await?;
                text::say(&format!("Key {} is disabled.", text::clean(&args.id)));
                Ok(Exit::Success)
            }
        }
    }
}

async fn create(args: CreateArgs) -> anyhow::Result<Exit> {
    let models: Vec<&str> = args.models.iter().map(|model| model.trim()).collect();
    let expires_at = args.expires_at.map(|at| at.with_timezone(&Utc).to_rfc3339_opts(SecondsFormat::Secs, true));
    let body = json!({
        "service": args.service,
        "models": models,
        "detail": args.detail,
        "expires_at": expires_at,
    });
    let api = args.connection.api()?;
    // Sent twice it would make two keys, one of which nobody knows.
    let made: Created = api.post(&["auth", "key"], &body, Repeat::Never).await?;
    // The key alone on stdout, so that `KEY=$(darkroom key create …)` works.
    text::print(&format!("{}\n", made.key))?;
    text::say(&format!("Key {} is shown this once only: keep it now.", plain(&made.id)));
    Ok(Exit::Success)
}

async fn list(args: ListArgs) -> anyhow::Result<Exit> {
    let api = args.connection.api()?;
    let mut keys = Vec::new();
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES_MAX {
        let query: Vec<_> = cursor.into_iter().map(|cursor| ("cursor", cursor)).collect();
        let page: Page = api.get(&["auth", "key"], &query, REQUEST_TIMEOUT).await?;
        keys.extend(page.items);
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let shown = if args.json { serde_json::to_string_pretty(&json!({"items": keys}))? } else { table(&keys) };
    text::print(&format!("{}\n", shown.trim_end()))?;
    Ok(Exit::Success)
}

fn table(keys: &[Value]) -> String {
    const COLUMNS: [&str; 7] = ["ID", "SERVICE", "MODELS", "OWNER", "STATE", "LAST USED", "DETAIL"];
    if keys.is_empty() {
        return "No keys yet: darkroom key create --service predict --models 'face_*'".to_owned();
    }
    let mut lines = vec![COLUMNS.map(str::to_owned)];
    lines.extend(keys.iter().map(|key| row(key, Utc::now())));
    let widths: [usize; COLUMNS.len()] =
        std::array::from_fn(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0));
    let line = |cells: &[String; COLUMNS.len()]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    lines.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn row(key: &Value, now: DateTime<Utc>) -> [String; 7] {
    let cell = |name: &str, max| text::one_line(&plain(&key[name]), max);
    let names = key["models"].as_array().map(|names| names.iter().map(plain).collect::<Vec<_>>());
    let expired = key["expires_at"].as_str().and_then(|at| at.parse::<DateTime<Utc>>().ok());
    let state = match (key["disabled_at"].is_null(), expired) {
        (false, _) => "disabled".to_owned(),
        (true, Some(at)) if at <= now => "expired".to_owned(),
        (true, Some(at)) => format!("until {}", at.format("%Y-%m-%d")),
        (true, None) => "active".to_owned(),
    };
    let models = text::one_line(&names.unwrap_or_default().join(","), 40);
    let used = plain(&key["last_used_at"]).chars().take(16).collect::<String>().replace('T', " ");
    let used = if used.is_empty() { "never".to_owned() } else { text::clean(&used) };
    [cell("id", 40), cell("service", 10), models, cell("owner", 24), state, used, cell("detail", 50)]
}

/// A value as people write it: strings without quotes, null as nothing.
fn plain(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_show_whether_they_still_work() {
        let now = "2026-11-22T12:00:00Z".parse().unwrap();
        let state = |key: Value| row(&key, now)[4].clone();
        assert_eq!(state(json!({})), "active");
        assert_eq!(state(json!({"expires_at": "2026-11-22T11:00:00Z"})), "expired");
        assert_eq!(state(json!({"expires_at": "2027-01-31T00:00:00Z"})), "until 2027-01-31");
        assert_eq!(state(json!({"disabled_at": "2026-11-01T00:00:00Z"})), "disabled");
    }
}
