//! A training run on a terminal: followed while it goes, shown when it has ended.

use std::collections::BTreeSet;
use std::time::Duration;

use console::truncate_str;
use uuid::Uuid;

use super::exit::Exit;
use super::output::OutputFile;
use super::{plot, table};
use crate::client::follow::follow;
use crate::client::http::Api;
use crate::client::progress::Progress;
use crate::client::text;
use crate::client::training::{RunPoint, RunSeen};
use crate::domain::job::JobState;
use crate::report::curves::number;
use crate::report::training::{facts, render};

/// Epochs told at once; of more the last.
const EPOCHS_TOLD: usize = 20;
/// Narrowest and widest column of numbers.
const WIDTH: usize = 10;
const WIDTH_MAX: usize = 20;
/// Longest fact, in columns: a result may be whole megabytes.
const FACT_MAX: usize = 240;

/// How a run is shown.
pub(super) struct RunView {
    pub json: bool,
    pub page: Option<OutputFile>,
    /// With the epochs, too: where they were not followed.
    pub epochs: bool,
}

/// Follows a run, epoch by epoch; `None` when it was interrupted. Whatever ends the watching, the run goes on, and it is said how to go on.
///
/// # Errors
/// The server refuses to tell.
pub(super) async fn watch(api: &Api, id: Uuid, limit: Option<u64>) -> anyhow::Result<Option<RunSeen>> {
    let go_on = || {
        text::say(&format!(
            "The run goes on. Follow it: darkroom training show {id} --wait. End it: darkroom training cancel {id}"
        ));
    };
    let mut epochs = Epochs::default();
    let seen = |seen: &RunSeen| epochs.tell(&seen.metrics);
    let followed = follow(api, id, limit.map(Duration::from_secs), Progress::stderr(), seen);
    let ended = tokio::select! {
        ended = followed => ended,
        _ = tokio::signal::ctrl_c() => {
            text::say("Interrupted.");
            go_on();
            return Ok(None);
        }
    };
    if ended.as_ref().map_or(true, |seen| !seen.run.state.ended()) {
        go_on();
    }
    Ok(Some(ended?))
}

/// Prints a run, and writes its page; the exit is that of its state.
///
/// # Errors
/// A page that cannot be written, a closed disk.
pub(super) async fn show(api: &Api, seen: &RunSeen, shown: RunView) -> anyhow::Result<()> {
    if shown.json {
        text::print(&format!("{}\n", serde_json::to_string_pretty(seen)?))?;
    } else {
        let facts =
            facts(&seen.run).into_iter().map(|(title, told)| [title.to_uppercase(), text::one_line(&told, FACT_MAX)]);
        let mut parts = vec![table::aligned(&facts.collect::<Vec<_>>(), |_, _, cell| cell)];
        parts.extend(
            shown
                .epochs
                .then(|| Epochs::default().lines(&seen.metrics))
                .filter(|lines| !lines.is_empty())
                .map(|lines| lines.join("\n") + "\n"),
        );
        parts.push(plot::of_points(&seen.metrics));
        parts.retain(|part| !part.is_empty());
        text::print(&parts.join("\n"))?;
    }
    if let Some(page) = shown.page {
        text::say(&format!("Report: {}", page.write(&render(seen, api.server())?)?));
    }
    Ok(())
}

/// The exit for a run that was waited for.
pub(super) const fn exit(state: JobState) -> Exit {
    match state {
        JobState::Succeeded => Exit::Success,
        JobState::Failed | JobState::Cancelled => Exit::SomeFailed,
        JobState::Queued | JobState::Running => Exit::TimedOut,
    }
}

/// A table that grows by what is new.
#[derive(Default)]
struct Epochs {
    told: BTreeSet<(i16, i32)>,
    names: Vec<String>,
}

impl Epochs {
    fn tell(&mut self, points: &[RunPoint]) {
        for line in self.lines(points) {
            text::say(&line);
        }
    }

    /// The lines of what was not told yet, under their titles where these are new.
    fn lines(&mut self, points: &[RunPoint]) -> Vec<String> {
        let new: Vec<&RunPoint> = points.iter().filter(|p| self.told.insert((p.attempt, p.epoch))).collect();
        let more = new.len().saturating_sub(EPOCHS_TOLD);
        let earlier = format!("{more} epochs before these: --json has all");
        let mut lines: Vec<String> = (more > 0).then_some(earlier).into_iter().collect();
        for point in new.into_iter().skip(more) {
            let unknown = point.values.keys().filter(|name| !self.names.contains(name)).cloned().collect::<Vec<_>>();
            if !unknown.is_empty() {
                self.names.extend(unknown);
                lines.push(self.line("ATTEMPT", "EPOCH", |name| name.to_owned()));
            }
            let value = |name: &str| point.values.get(name).map_or_else(|| "-".to_owned(), |value| number(*value));
            lines.push(self.line(&point.attempt.to_string(), &point.epoch.to_string(), value));
        }
        lines
    }

    fn line(&self, attempt: &str, epoch: &str, cell: impl Fn(&str) -> String) -> String {
        let cells = self.names.iter().map(|name| {
            let width = name.len().clamp(WIDTH, WIDTH_MAX);
            format!("{:>width$}", truncate_str(&text::clean(&cell(name)), width, "…"))
        });
        format!("{attempt:>7}  {epoch:>7}  {}", cells.collect::<Vec<_>>().join("  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_are_told_once_and_new_measures_get_a_title() {
        let point = |attempt, epoch, names: &[&str]| RunPoint {
            attempt,
            epoch,
            values: names.iter().map(|name| ((*name).to_owned(), 0.5)).collect(),
        };
        let mut epochs = Epochs::default();
        let (one, two) = (point(1, 1, &["loss"]), point(1, 2, &["acc", "loss"]));
        assert_eq!(epochs.lines(&[one]), ["ATTEMPT    EPOCH        loss", "      1        1      0.5000"]);
        assert_eq!(epochs.lines(&[two])[0], "ATTEMPT    EPOCH        loss         acc");
        assert!(epochs.lines(&[point(1, 2, &["loss"])]).is_empty());
        let many: Vec<RunPoint> = (1..=50).map(|epoch| point(2, epoch, &["loss"])).collect();
        let lines = epochs.lines(&many);
        assert_eq!(lines.len(), EPOCHS_TOLD + 1);
        assert!(lines.iter().any(|line| line.contains("30 epochs before")), "{lines:?}");
    }
}
