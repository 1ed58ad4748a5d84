//! `darkroom key`: API keys for microservices.

use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};

use super::exit::Exit;
use super::listing::{Listing, Question, minute};
use super::session::Connection;
use crate::api::keys::{CreateKey, CreatedKey, Key};
use crate::client::error::Repeat;
use crate::client::text;
use crate::domain::key::Service;

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
    List(Listing),
    /// Disable a key for good
    Disable(DisableArgs),
}

#[derive(Debug, Args)]
struct CreateArgs {
    /// What the microservice does
    #[arg(long, value_parser = PossibleValuesParser::new(["predict", "train"]).try_map(Service::try_from))]
    service: Service,
    /// Models (of a train key: datasets) that it may work for, with globs, e.g. 'face_*,ocr'
    #[arg(long, required = true, value_delimiter = ',', value_name = "NAMES")]
    models: Vec<String>,
    /// What the key is for, for people
    #[arg(long, value_name = "TEXT")]
    detail: Option<String>,
    /// When it stops working, e.g. 2027-01-31 or 2027-01-31T09:00:00Z; a date means its beginning, in UTC [default: never]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    expires_at: Option<DateTime<Utc>>,
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

impl KeyArgs {
    /// Runs the chosen operation.
    ///
    /// # Errors
    /// See [`crate::client::error::ApiError`]; roles decide who may make a key for what.
    pub async fn run(self) -> anyhow::Result<Exit> {
        match self.command {
            KeyCommand::Create(args) => create(args).await,
            KeyCommand::List(listing) => list(listing).await,
            KeyCommand::Disable(args) => {
                args.connection.api()?.delete(&["auth", "key", &args.id]).await?;
                text::say(&format!("Key {} is disabled.", text::clean(&args.id)));
                Ok(Exit::Success)
            }
        }
    }
}

/// A date, or a date and time with its zone.
fn moment(text: &str) -> Result<DateTime<Utc>, String> {
    let day = || Some(text.parse::<NaiveDate>().ok()?.and_time(NaiveTime::MIN).and_utc());
    let time = DateTime::parse_from_rfc3339(text).ok().map(|at| at.with_timezone(&Utc));
    let at = time.or_else(day).ok_or("write it as 2027-01-31 or 2027-01-31T09:00:00Z")?;
    if at <= Utc::now() { Err("that has passed".to_owned()) } else { Ok(at) }
}

async fn create(args: CreateArgs) -> anyhow::Result<Exit> {
    let body = CreateKey {
        service: args.service,
        models: args.models.iter().map(|model| model.trim().to_owned()).collect(),
        owner: None,
        detail: args.detail,
        expires_at: args.expires_at,
    };
    let api = args.connection.api()?;
    // Sent twice it would make two keys, one of which nobody knows.
    let made: CreatedKey = api.post(&["auth", "key"], &body, Repeat::Never).await?;
    // The key alone on stdout, so that `KEY=$(darkroom key create …)` works.
    text::print(&format!("{}\n", made.key))?;
    text::say(&format!("Key {} is shown this once only: keep it now.", made.about.id));
    Ok(Exit::Success)
}

async fn list(listing: Listing) -> anyhow::Result<Exit> {
    let nothing = "No keys yet: darkroom key create --service predict --models 'face_*'";
    let question = Question { path: &["auth", "key"], query: Vec::new(), most: None, nothing };
    let titles = ["ID", "SERVICE", "MODELS", "OWNER", "STATE", "LAST USED", "DETAIL"];
    listing.show(question, titles, |key| row(key, Utc::now())).await
}

fn row(key: &Key, now: DateTime<Utc>) -> [String; 7] {
    let state = match (key.disabled_at, key.expires_at) {
        (Some(_), _) => "disabled".to_owned(),
        (None, Some(at)) if at <= now => "expired".to_owned(),
        (None, Some(at)) => format!("until {}", at.format("%Y-%m-%d")),
        (None, None) => "active".to_owned(),
    };
    [
        text::one_line(&key.id, 40),
        key.service.as_str().to_owned(),
        text::one_line(&key.models.join(","), 40),
        text::one_line(key.owner.as_deref().unwrap_or_default(), 24),
        state,
        key.last_used_at.map_or_else(|| "never".to_owned(), minute),
        text::one_line(key.detail.as_deref().unwrap_or_default(), 50),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_a_moment_and_what_has_passed_is_refused() {
        assert_eq!(moment("2999-01-31").unwrap().to_rfc3339(), "2999-01-31T00:00:00+00:00");
        assert_eq!(moment("2999-01-31T09:00:00+01:00").unwrap().to_rfc3339(), "2999-01-31T08:00:00+00:00");
        assert!(
            moment("2999-1").unwrap_err().contains("write it as")
                && moment("2020-01-31").unwrap_err().contains("passed")
        );
    }

    #[test]
    fn keys_show_whether_they_still_work() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let state = |expires_at: Option<&str>, disabled_at: Option<&str>| {
            let key = Key {
                id: "a1b2c3d4e5f6".to_owned(),
                service: Service::Predict,
                models: vec!["face_*".to_owned()],
                owner: None,
                detail: None,
                created_at: at("2026-11-01T00:00:00Z"),
                expires_at: expires_at.map(at),
                disabled_at: disabled_at.map(at),
                last_used_at: None,
            };
            row(&key, at("2026-11-22T12:00:00Z"))[4].clone()
        };
        assert_eq!(state(None, None), "active");
        assert_eq!(state(Some("2026-11-22T11:00:00Z"), None), "expired");
        assert_eq!(state(Some("2027-01-31T00:00:00Z"), None), "until 2027-01-31");
        assert_eq!(state(None, Some("2026-11-01T00:00:00Z")), "disabled");
    }
}
