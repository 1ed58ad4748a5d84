//! `darkroom search`: images by what is known of them.

use clap::Args;

use super::exit::Exit;
use super::listing::{Listing, Question, minute};
use super::table::NAME_MAX;
use crate::api::search::Hit;
use crate::client::{cases, text};

/// Search images by a filter, newest first
#[derive(Debug, Args)]
#[command(
    after_help = "The filter is one argument, as 'label:person>=0.6 -label:car text:\"street\" after:2026-01-01'. Keys: label model text name \
    case tag by camera after before taken-after taken-before type is failed queued running succeeded cancelled similar like; width, height, bytes \
    and the fields of results are compared, as faces>=1. Other words are looked for in file names and texts."
)]
pub struct SearchArgs {
    /// What is searched for; every image, when left out
    // A term that is negated begins like an option.
    #[arg(allow_hyphen_values = true, default_value = "")]
    filter: String,
    /// Only images of this case, by its name or id
    #[arg(long)]
    case: Option<String>,
    /// How many to list
    #[arg(long, default_value_t = 100, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
    #[command(flatten)]
    listing: Listing,
}

impl SearchArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`].
    pub async fn run(self) -> anyhow::Result<Exit> {
        let case = match &self.case {
            Some(named) => Some(("case", cases::find(&self.listing.api()?, named).await?.id.to_string())),
            None => None,
        };
        let question = Question {
            path: &["search"],
            query: [("q", self.filter)].into_iter().chain(case).collect(),
            most: Some(self.limit as usize),
            nothing: "No image fits.",
        };
        let titles = ["NAME", "MD5", "UPLOADED (UTC)", "BY", "SIZE", "TAGS", "DISTANCE"];
        self.listing.show(question, titles, row).await
    }
}

fn row(hit: &Hit) -> [String; 7] {
    [
        text::middle_cut(&hit.name, NAME_MAX),
        hit.md5.clone(),
        minute(hit.uploaded_at),
        text::clean(&hit.by),
        format!("{}x{}", hit.width, hit.height),
        text::one_line(&hit.tags.join(","), 30),
        hit.distance.map_or_else(String::new, |distance| {
            format!("{distance:.4}").trim_end_matches('0').trim_end_matches('.').to_owned()
        }),
    ]
}
