//! Waiting for the jobs of a submission, or watching them, and how long each model will yet need.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::error::ApiError;
use super::events::{Followed, follow};
use super::http::{Api, REQUEST_TIMEOUT};
use super::progress::Progress;
use super::text;
use crate::api::submissions::{StateCounts, SubmissionOut};

/// Shortest pause between two questions about progress, for a server that does not wait.
const POLL_PAUSE: Duration = Duration::from_millis(250);
/// Pause before asking again while the server is away.
const AWAY_PAUSE: Duration = Duration::from_secs(2);
/// Models told of in one line; the others are counted.
const MODELS_TOLD: usize = 3;

/// Waits until every job of the submission has ended; `false` if `limit` passed first.
///
/// `jobs` is how many there seem to be until the server has said it.
/// A server that goes away meanwhile is waited for, too: the jobs are its, not ours.
///
/// # Errors
/// The server refuses to tell.
pub(super) async fn wait(
    submission: Uuid,
    api: &Api,
    limit: Duration,
    progress: Progress,
    jobs: usize,
) -> Result<bool, ApiError> {
    let id = submission.to_string();
    let stage = progress.jobs(jobs as u64);
    let begun = Instant::now();
    let mut pace = ModelPace::default();
    let poll = async {
        loop {
            let asked = Instant::now();
            let left = limit.saturating_sub(begun.elapsed()).as_secs();
            let wait_s = left.min(progress.poll_s());
            // One image is enough: the counts are always whole.
            let query = [("wait_s", wait_s.to_string()), ("limit", "1".to_owned())];
            let timeout = REQUEST_TIMEOUT + Duration::from_secs(wait_s);
            match api.get::<SubmissionOut>(&["submissions", &id], &query, timeout).await {
                Ok(now) => {
                    stage.set(now.counts.ended, now.counts.jobs, pace.remark(begun.elapsed(), &now.models));
                    if now.done {
                        return Ok(true);
                    }
                }
                // The tries within have said so.
                Err(error) if error.is_transient() => tokio::time::sleep(AWAY_PAUSE).await,
                Err(error) => return Err(error),
            }
            if begun.elapsed() >= limit {
                return Ok(false);
            }
            tokio::time::sleep(POLL_PAUSE.saturating_sub(asked.elapsed())).await;
        }
    };
    // The last question is asked at the limit itself and deserves its answer.
    tokio::time::timeout(limit + AWAY_PAUSE, poll).await.unwrap_or(Ok(false))
}

/// Watches a submission until all of its jobs have ended.
///
/// A server that goes away meanwhile is waited for.
///
/// # Errors
/// The server refuses to tell.
pub async fn watch(submission: Uuid, api: &Api, progress: Progress) -> Result<SubmissionOut, ApiError> {
    let id = submission.to_string();
    let stage = progress.jobs(0);
    let begun = Instant::now();
    let mut pace = ModelPace::default();
    let query = [("limit", "1".to_owned())];
    let what = Followed { topic: format!("submission:{id}"), path: &["submissions", &id], query: &query };
    let seen = |now: SubmissionOut| {
        stage.set(now.counts.ended, now.counts.jobs, pace.remark(begun.elapsed(), &now.models));
        now.done.then_some(now)
    };
    follow(api, &what, seen).await
}

/// How fast each model has been since it was first looked at.
#[derive(Default)]
struct ModelPace {
    /// When, and how many of its jobs had ended.
    first: BTreeMap<String, (Duration, usize)>,
}

impl ModelPace {
    /// `ocr 12/40, 30 s left` of every model that is not done.
    fn remark(&mut self, now: Duration, models: &BTreeMap<String, StateCounts>) -> String {
        let mut parts = Vec::new();
        for (model, counts) in models {
            let ended = counts.succeeded + counts.failed + counts.cancelled;
            let all = ended + counts.running + counts.queued;
            let (since, before) = *self.first.entry(model.clone()).or_insert((now, ended));
            if ended == all {
                continue;
            }
            let per_job = (now - since).as_secs_f64() / (ended - before.min(ended)) as f64;
            let left = (all - ended) as f64 * per_job;
            let left =
                if left.is_finite() && left > 0.0 { format!(", {} left", text::duration(left)) } else { String::new() };
            let failed = if counts.failed > 0 { format!(", {} failed", counts.failed) } else { String::new() };
            parts.push(format!("{} {ended}/{all}{failed}{left}", text::clean(model)));
        }
        let more = parts.len().saturating_sub(MODELS_TOLD);
        parts.truncate(MODELS_TOLD);
        parts.extend((more > 0).then(|| format!("{more} models more")));
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_left_follows_from_what_was_done_while_watching() {
        let counts = |succeeded, queued| StateCounts { succeeded, queued, ..StateCounts::default() };
        let models =
            |ended| BTreeMap::from([("ocr".to_owned(), counts(ended, 40 - ended)), ("done".to_owned(), counts(5, 0))]);
        let (mut pace, second) = (ModelPace::default(), Duration::from_secs(1));
        assert_eq!(pace.remark(second, &models(10)), "ocr 10/40", "nothing was seen yet");
        assert_eq!(pace.remark(11 * second, &models(20)), "ocr 20/40, 20 s left");
    }
}
