//! Following a training run until it has ended.

use std::time::{Duration, Instant};

use uuid::Uuid;

use super::error::ApiError;
use super::http::Api;
use super::progress::Progress;
use super::text;
use super::training::{RunSeen, look};
use crate::domain::job::JobState;

/// Shortest pause between two questions, for a run that has news all the time.
const POLL_PAUSE: Duration = Duration::from_millis(250);
/// Pause before asking again while the server is away.
const AWAY_PAUSE: Duration = Duration::from_secs(2);
/// Longest remark beside the bar, in columns.
const REMARK_MAX: usize = 60;

/// Follows a run until it has ended, or until `limit` has passed; answers what was seen last. `seen` is told of everything new.
///
/// A server that goes away meanwhile is waited for: the run is its, not ours.
///
/// # Errors
/// The server refuses to tell.
pub async fn follow(
    api: &Api,
    id: Uuid,
    limit: Option<Duration>,
    progress: Progress,
    mut seen: impl FnMut(&RunSeen),
) -> Result<RunSeen, ApiError> {
    let begun = Instant::now();
    let left = || limit.map_or(Duration::MAX, |limit| limit.saturating_sub(begun.elapsed()));
    let stage = progress.run();
    let mut now = look(api, id, 0, None).await?;
    loop {
        seen(&now);
        stage.set(percent(&now), 100, remark(&now));
        if now.run.state.ended() || left().is_zero() {
            return Ok(now);
        }
        let asked = Instant::now();
        match look(api, id, left().as_secs().min(progress.poll_s()), Some(now.run.revision)).await {
            Ok(newer) => now = newer,
            // The tries within have said so.
            Err(error) if error.is_transient() => tokio::time::sleep(AWAY_PAUSE.min(left())).await,
            Err(error) => return Err(error),
        }
        tokio::time::sleep(POLL_PAUSE.saturating_sub(asked.elapsed()).min(left())).await;
    }
}

/// How far it says it is, else as many of its epochs as it has told of.
fn percent(seen: &RunSeen) -> usize {
    let epochs = seen.run.params.as_ref().and_then(|params| params.get("epochs")?.as_f64());
    let last = seen.metrics.last().map(|point| f64::from(point.epoch));
    let told = seen.run.progress.or_else(|| Some(last? / epochs?)).unwrap_or(0.0);
    (told.clamp(0.0, 1.0) * 100.0) as usize
}

fn remark(seen: &RunSeen) -> String {
    let attempt = if seen.run.attempt > 1 { format!(", attempt {}", seen.run.attempt) } else { String::new() };
    let note = seen.run.note.as_deref().filter(|_| seen.run.state == JobState::Running).unwrap_or_default();
    let gap = if note.is_empty() { "" } else { "; " };
    format!("{}{attempt}{gap}{}", seen.run.state.as_str(), text::one_line(note, REMARK_MAX))
}
