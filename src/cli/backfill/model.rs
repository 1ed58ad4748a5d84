//! `darkroom backfill --model`: a model over stored photographs, at the lowest priority, from where it was stopped.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::api::accounts::UserOut;
use crate::api::cases::CaseOut;
use crate::api::search::ImagesCounted;
use crate::cli::exit::Exit;
use crate::cli::session::{Connection, folder, keep_private};
use crate::cli::table;
use crate::client::backfill::{self, BackfillOrder, BackfillPlace, backfill};
use crate::client::cases;
use crate::client::error::ClientFault;
use crate::client::http::{Api, REQUEST_TIMEOUT};
use crate::client::progress::Progress;
use crate::client::text;
use crate::domain::account::Role;
use crate::domain::case::CaseRole;

/// The widest name of a case.
const CASE_COLUMNS: usize = 60;

#[derive(Debug, Args)]
pub struct ModelArgs {
    /// The model to run
    // Wanted unless there is a subcommand, which knows nothing of it.
    #[arg(long, short, value_name = "MODEL", required = true)]
    model: Option<String>,
    /// On the photographs that fit this filter, as for `darkroom search`; '' for all
    #[arg(long = "where", value_name = "FILTER", required = true, allow_hyphen_values = true)]
    filter: Option<String>,
    /// Only those of this case, by name or id
    #[arg(long, value_name = "CASE")]
    case: Option<String>,
    /// Parameters of the model, e.g. '{"least":0.5}'; versions can be compared where they were asked with the same
    #[arg(long, value_name = "JSON", value_parser = params)]
    params: Option<Value>,
    /// Say how many photographs of which case that would be, and ask for nothing
    #[arg(long)]
    dry_run: bool,
    /// Ask for no more photographs than this in a second, a minute or an hour, e.g. 50/s or 100/min
    #[arg(long, value_name = "N/s", value_parser = rate)]
    rate: Option<f64>,
    /// From -100 to 100; a step is worth ten minutes of waiting
    #[arg(long, default_value_t = -100, allow_negative_numbers = true, value_parser = clap::value_parser!(i32).range(-100..=100))]
    priority: i32,
    /// Begin anew, not where the same command was stopped
    #[arg(long)]
    anew: bool,
    /// Print one JSON document on stdout in place of the sentences
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: Connection,
}

impl ModelArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`]; there is no place to remember how far it is.
    pub async fn run(self) -> anyhow::Result<Exit> {
        let api = self.connection.api()?;
        let case = match &self.case {
            Some(named) => Some(cases::find(&api, named).await?),
            None => None,
        };
        let order = BackfillOrder {
            model: self.model.unwrap_or_default(),
            filter: self.filter.unwrap_or_default(),
            case: case.map(|case| case.id),
            params: self.params,
            priority: self.priority,
            per_s: self.rate,
        };
        let account: UserOut = api.get(&["auth", "profile"], &[], REQUEST_TIMEOUT).await?;
        let model = backfill::model(&api, &order).await?;
        let counted = backfill::count(&api, &order).await?;
        let found = FirstCount { total: counted.count, told: told(&counted, &order) };
        if model.versions.len() > 1 {
            let versions: Vec<String> = model.versions.iter().map(|version| text::one_line(version, 80)).collect();
            text::say(&format!(
                "Live workers of {} serve {}: what any of these has said counts as known. Stop those of the others first.",
                order.model,
                versions.join(", ")
            ));
        }
        if self.dry_run {
            return dry_run(&api, &order, &account, &found, self.json).await;
        }
        let kept = KeptPlace::of(&api, &order, &account.name)?;
        run(&api, &order, &found, &kept, (self.anew, self.json)).await
    }
}

/// What was counted first.
struct FirstCount {
    total: usize,
    told: String,
}

fn told(counted: &ImagesCounted, order: &BackfillOrder) -> String {
    let more = if counted.at_least { " or more" } else { "" };
    let fit = if counted.count == 1 && !counted.at_least { "fits" } else { "fit" };
    let filter = text::one_line(&order.filter, 100);
    let of = if filter.is_empty() { "there".to_owned() } else { format!("{fit} {filter:?}") };
    let of = if filter.is_empty() { format!("{} {of}", if fit == "fits" { "is" } else { "are" }) } else { of };
    let count = text::count(counted.count, "photograph");
    let (n, noun) = count.split_once(' ').unwrap_or((&count, "photographs"));
    format!("{n}{more} {noun} {of}.")
}

async fn run(
    api: &Api,
    order: &BackfillOrder,
    found: &FirstCount,
    kept: &KeptPlace,
    (anew, json): (bool, bool),
) -> anyhow::Result<Exit> {
    let mut place = if anew { BackfillPlace::default() } else { kept.read()? };
    let before = if place.looked > 0 { format!(" {} were looked at before.", place.looked) } else { String::new() };
    text::say(&format!("{}{before}", found.told));
    let work = backfill(api, order, &mut place, found.total, Progress::stderr(), |place| kept.write(place));
    let done = tokio::select! {
        done = work => done,
        _ = tokio::signal::ctrl_c() => {
            text::say("Interrupted. What was asked for goes on; the same command goes on with the rest.");
            return Ok(Exit::Interrupted);
        }
    };
    if let Err(error) = done {
        if place.looked > 0 && error.downcast_ref::<ClientFault>().is_none() {
            text::say(&format!("{} were looked at; the same command goes on with the rest.", place.looked));
        }
        return Err(error);
    }
    kept.forget()?;
    show(api, order, &place, json).await
}

async fn show(api: &Api, order: &BackfillOrder, place: &BackfillPlace, json: bool) -> anyhow::Result<Exit> {
    let names: Vec<CaseOut> =
        if place.passed_over.is_empty() { Vec::new() } else { api.list(&["cases"], &[], None).await? };
    let passed = place.passed_over.iter();
    let shown = if json {
        let passed = passed.map(|(case, over)| json!({"case": case, "name": name_of(&names, *case), "images": over.images, "why": over.why}));
        let submissions: Vec<Uuid> = place.all_submissions().collect();
        serde_json::to_string_pretty(&json!({
            "model": order.model, "version": place.version, "images": place.looked, "made": place.made, "attached": place.attached,
            "known": place.known, "gone": place.gone, "passed_over": passed.collect::<Vec<_>>(), "submissions": submissions,
        }))?
    } else {
        let (made, version) = (text::count(place.made, "job"), text::one_line(&place.version, 80));
        let looked = text::count(place.looked, "photograph");
        let mut lines = vec![format!(
            "{looked} for {} {version}: {made} made, {} under way already, {} known already, {} gone meanwhile.",
            order.model, place.attached, place.known, place.gone
        )];
        lines.extend(passed.map(|(case, over)| {
            let name = text::one_line(&name_of(&names, *case), CASE_COLUMNS);
            format!("Passed over {} of {name}: {}", text::count(over.images, "photograph"), text::clean(&over.why))
        }));
        lines.extend(place.all_submissions().map(|id| format!("Look: darkroom status {id}")));
        lines.join("\n")
    };
    text::print(&format!("{shown}\n"))?;
    Ok(if place.passed_over.is_empty() { Exit::Success } else { Exit::SomeFailed })
}

async fn dry_run(
    api: &Api,
    order: &BackfillOrder,
    account: &UserOut,
    found: &FirstCount,
    json: bool,
) -> anyhow::Result<Exit> {
    text::say(&found.told);
    let stage = Progress::stderr().images(found.total as u64);
    let by_case = backfill::by_case(api, order, &stage).await?;
    drop(stage);
    let names: Vec<CaseOut> = api.list(&["cases"], &[], None).await?;
    let is_admin = account.roles.contains(&Role::Admin);
    let why = |case: &Uuid| {
        let case = names.iter().find(|known| known.id == *case)?;
        match case.role {
            _ if case.closed_at.is_some() => Some("it is closed"),
            Some(CaseRole::Viewer) if !is_admin => Some("you only look at it"),
            _ => None,
        }
    };
    let shown = if json {
        let cases = by_case.iter().map(|(case, images)| json!({"case": case, "name": name_of(&names, *case), "images": images, "passed_over": why(case)}));
        serde_json::to_string_pretty(
            &json!({"model": order.model, "images": by_case.values().sum::<usize>(), "cases": cases.collect::<Vec<_>>()}),
        )?
    } else {
        let row = |(case, images): (&Uuid, &usize)| {
            let over = why(case).map_or_else(String::new, |why| format!("passed over: {why}"));
            [images.to_string(), text::one_line(&name_of(&names, *case), CASE_COLUMNS), over]
        };
        let titles = ["PHOTOGRAPHS", "CASE", ""].map(str::to_owned);
        let lines: Vec<_> = std::iter::once(titles).chain(by_case.iter().map(row)).collect();
        table::aligned(&lines, |_, _, cell| cell)
    };
    text::print(&format!("{}\n", shown.trim_end()))?;
    Ok(Exit::Success)
}

fn name_of(names: &[CaseOut], case: Uuid) -> String {
    names.iter().find(|known| known.id == case).map_or_else(|| case.to_string(), |known| known.name.clone())
}

/// Where it is remembered how far the same command came.
struct KeptPlace(PathBuf);

impl KeptPlace {
    fn of(api: &Api, order: &BackfillOrder, user: &str) -> anyhow::Result<Self> {
        let folder = folder().ok_or_else(|| {
            ClientFault::Usage("no place to remember how far it is: set HOME or XDG_CONFIG_HOME".to_owned())
        })?;
        let same = json!([api.server(), user, order.model, order.filter, order.case, order.params]).to_string();
        let name = format!("{}.json", &hex::encode(Sha256::digest(same))[..16]);
        Ok(Self(folder.join("backfill").join(name)))
    }

    fn read(&self) -> anyhow::Result<BackfillPlace> {
        match fs::read(&self.0) {
            Ok(text) => serde_json::from_slice(&text)
                .with_context(|| format!("{} is damaged: give --anew to begin anew", self.0.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(BackfillPlace::default()),
            Err(error) => Err(error).with_context(|| format!("reading {}", self.0.display())),
        }
    }

    fn write(&self, place: &BackfillPlace) -> anyhow::Result<()> {
        keep_private(&self.0, place).with_context(|| format!("writing {}: make it writable", self.0.display()))
    }

    fn forget(&self) -> anyhow::Result<()> {
        match fs::remove_file(&self.0) {
            // The same command ran twice, and the other was done first.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            done => done.with_context(|| format!("removing {}", self.0.display())),
        }
    }
}

/// Photographs in a second, from `50/s`, `100/min` or `1000/h`.
fn rate(text: &str) -> Result<f64, String> {
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit.trim() {
        "s" => 1.0,
        "min" | "m" => 60.0,
        "h" => 3_600.0,
        _ => f64::NAN,
    };
    let per_s = number.trim().parse::<f64>().unwrap_or(f64::NAN) / seconds;
    // Slower than one in a day is none.
    if (1e-5..=1e6).contains(&per_s) {
        Ok(per_s)
    } else {
        Err("give a number of photographs as 50/s, 100/min or 1000/h".to_owned())
    }
}

fn params(text: &str) -> Result<Value, String> {
    serde_json::from_str::<Map<String, Value>>(text)
        .map(Value::Object)
        .map_err(|error| format!("{error}; give an object, e.g. '{{\"least\":0.5}}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_in_a_time() {
        for (text, per_s) in [("50/s", 50.0), ("50", 50.0), ("120/min", 2.0), ("1800/h", 0.5), (" 0.5 / s", 0.5)] {
            assert!(rate(text).is_ok_and(|told| (told - per_s).abs() < 1e-9), "{text}");
        }
        for text in ["", "0", "-1/s", "1/d", "NaN", "inf", "1e9/s", "x/s", "1/s/s"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_was_counted_is_told() {
        let said = |count, at_least, filter: &str| {
            let order = BackfillOrder {
                model: "ocr".into(),
                filter: filter.into(),
                case: None,
                params: None,
                priority: 0,
                per_s: None,
            };
            told(&ImagesCounted { count, at_least }, &order)
        };
        assert_eq!(said(1, false, "tag:x"), "1 photograph fits \"tag:x\".");
        assert_eq!(said(5000, true, ""), "5000 or more photographs are there.");
        assert_eq!(said(0, false, "tag:x"), "0 photographs fit \"tag:x\".");
    }
}
