//! `darkroom watch`: work as it goes.

use std::io::{self, ErrorKind, IsTerminal, Write};

use clap::Args;
use console::{Term, truncate_str};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::exit::Exit;
use super::session::Connection;
use super::{queues, submissions, table};
use crate::api::page::Page;
use crate::client::events::{Followed, follow};
use crate::client::http::Api;
use crate::client::progress::Progress;
use crate::client::{cases, text, wait};

/// Watch work as it goes: a submission to its end, or submissions or queues until Ctrl-C
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// The submission to watch; it ends as `submit` does [default: the newest 50 submissions that one sees]
    submission: Option<Uuid>,
    /// The newest submissions to this case, by name or id
    #[arg(long, value_name = "CASE", conflicts_with_all = ["submission", "queues"])]
    case: Option<String>,
    /// How much of each model's work waits and runs
    #[arg(long, conflicts_with = "submission")]
    queues: bool,
    #[command(flatten)]
    connection: Connection,
}

impl WatchArgs {
    /// # Errors
    /// See [`crate::client::error::ApiError`].
    pub async fn run(self) -> anyhow::Result<Exit> {
        tokio::select! {
            done = self.watch() => done,
            _ = tokio::signal::ctrl_c() => Ok(Exit::Interrupted),
        }
    }

    async fn watch(&self) -> anyhow::Result<Exit> {
        let api = self.connection.api()?;
        if let Some(id) = self.submission {
            let done = wait::watch(id, &api, Progress::stderr()).await?;
            let rows = done.models.iter().map(|(model, counts)| {
                let counts = [counts.succeeded, counts.failed, counts.cancelled].map(|n| n.to_string());
                let [succeeded, failed, cancelled] = counts;
                [text::clean(model), succeeded, failed, cancelled]
            });
            text::print(&lined_up(["MODEL", "SUCCEEDED", "FAILED", "CANCELLED"], rows.collect()))?;
            let bad = done.counts.states.failed + done.counts.states.cancelled;
            return Ok(if bad == 0 { Exit::Success } else { Exit::SomeFailed });
        }
        if self.queues {
            let what = Followed { topic: "queues".to_owned(), path: &["queues"], query: &[] };
            return show(&api, &what, queues::TITLES, queues::row).await;
        }
        let mut query = vec![("limit", "50".to_owned())];
        let mut topic = "submissions".to_owned();
        if let Some(named) = &self.case {
            let case = cases::find(&api, named).await?.id.to_string();
            topic = format!("{topic}:{case}");
            query.push(("case", case));
        }
        let what = Followed { topic, path: &["submissions"], query: &query };
        show(&api, &what, submissions::TITLES, submissions::row).await
    }
}

/// Shows a list as it goes: on a terminal in its place, elsewhere a line for every row that is another than before.
async fn show<T: DeserializeOwned, const N: usize>(
    api: &Api,
    what: &Followed<'_>,
    titles: [&str; N],
    row: impl Fn(&T) -> [String; N],
) -> anyhow::Result<Exit> {
    let terminal = io::stdout().is_terminal().then(Term::stdout);
    let (mut before, mut lines): (Vec<[String; N]>, usize) = (Vec::new(), 0);
    let seen = |page: Page<T>| {
        let rows: Vec<_> = page.items.iter().map(&row).collect();
        let shown = match &terminal {
            Some(terminal) => {
                // What is wrong with the terminal, the next write says.
                let _ = terminal.clear_last_lines(lines);
                fitted(titles, &rows, terminal.size())
            }
            None => {
                let shown = lined_up(titles, rows.iter().filter(|row| !before.contains(row)).cloned().collect());
                // The titles once.
                shown.lines().skip(usize::from(lines > 0)).map(|line| format!("{line}\n")).collect()
            }
        };
        (before, lines) = (rows, shown.lines().count().max(1));
        let mut out = io::stdout().lock();
        out.write_all(shown.as_bytes()).and_then(|()| out.flush()).err()
    };
    let failed = follow(api, what, seen).await?;
    // A reader that went away (`| head`) has had enough.
    if failed.kind() == ErrorKind::BrokenPipe { Ok(Exit::Success) } else { Err(failed.into()) }
}

/// As much as a terminal of so many lines and columns shows: what it wrapped, or scrolled away, would not be taken back.
fn fitted<const N: usize>(titles: [&str; N], rows: &[[String; N]], (lines, columns): (u16, u16)) -> String {
    let most = usize::from(lines).saturating_sub(2);
    let whole = lined_up(titles, rows.iter().take(most).cloned().collect());
    whole.lines().map(|line| format!("{}\n", truncate_str(line, columns.into(), "…"))).collect()
}

fn lined_up<const N: usize>(titles: [&str; N], rows: Vec<[String; N]>) -> String {
    let lines: Vec<_> = std::iter::once(titles.map(str::to_owned)).chain(rows).collect();
    table::aligned(&lines, |_, _, cell| cell)
}

#[cfg(test)]
mod tests {
    use console::measure_text_width;

    use super::*;

    #[test]
    fn what_is_shown_fits_the_terminal() {
        let row = ["0198a0c2-7d2e-7b61-9d1d-3f0f6f1f2a10".to_owned(), "\u{1f600} ".repeat(40)];
        let rows = vec![row; 40];
        for size in [(24, 80), (24, 20), (5, 200)] {
            let shown = fitted(["SUBMISSION", "MODELS"], &rows, size);
            assert_eq!(shown.lines().count(), usize::from(size.0) - 1, "{size:?}");
            assert!(shown.lines().all(|line| measure_text_width(line) <= size.1.into()), "{size:?}: {shown}");
        }
    }
}
