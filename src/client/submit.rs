//! A submission from files to results: upload, wait, look up.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::Utc;
use serde_json::{Value, json};
use uuid::Uuid;

use super::http::{Api, ApiError, REQUEST_TIMEOUT, Repeat};
use super::outcome::{Outcome, Photo, Rejected};
use super::progress::Progress;
pub use super::submit_args::SubmitArgs;
use super::verdict::Uploaded;
use super::walk::{self, LocalFile};
use super::wire::{LookupAnswer, LookupItem, SubmissionAnswer};
use super::{counts, text, upload};

/// Images asked after in one request; the server's limit is 1,000.
const LOOKUP_IMAGES: usize = 500;
/// Shortest pause between two questions about progress, for a server that does not wait.
const POLL_PAUSE: Duration = Duration::from_millis(250);
/// Pause before asking again while the server is away.
const AWAY_PAUSE: Duration = Duration::from_secs(2);

/// What to submit and how, for callers of [`submit`].
#[derive(Debug, Clone)]
pub struct Options {
    /// Files and folders.
    pub paths: Vec<PathBuf>,
    /// Names of the models.
    pub models: Vec<String>,
    /// From −100 to 100, higher is sooner.
    pub priority: i32,
    /// Skip the cache.
    pub rerun: bool,
    /// An object keyed by model.
    pub params: Option<Value>,
    /// Identifies the submission; sending it again does nothing twice.
    pub submission: Uuid,
    /// How long to wait for the jobs after the upload; `None` does not wait.
    pub wait: Option<Duration>,
    /// Requests in flight at a time.
    pub parallel: usize,
}

impl Options {
    /// The command's own defaults: priority 0, the cache used, ten minutes of waiting.
    pub fn new(paths: Vec<PathBuf>, models: Vec<String>) -> Self {
        Self {
            paths,
            models,
            priority: 0,
            rerun: false,
            params: None,
            submission: Uuid::new_v4(),
            wait: Some(Duration::from_secs(600)),
            parallel: 4,
        }
    }
}

/// Uploads the files, waits for their jobs and looks up the results.
///
/// Dropping the future leaves what was uploaded with the server, under `options.submission`.
///
/// # Errors
/// No file, a request-level refusal (an unknown model, say), or a server that stays away.
pub async fn submit(options: &Options, api: &Api, progress: Progress) -> anyhow::Result<Outcome> {
    let started_at = Utc::now();
    let files = walk::collect(&options.paths)?;
    let sent = upload_all(options, api, &files, progress).await?;
    let mut timed_out = false;
    let mut found = HashMap::new();
    if let Some(limit) = options.wait.filter(|_| !sent.taken.is_empty()) {
        let jobs = sent.taken.iter().map(|(_, image)| image.jobs.len()).sum();
        timed_out = !wait(options.submission, api, limit, progress, jobs).await?;
        let md5s: Vec<&str> = sent.taken.iter().map(|(_, image)| image.md5.as_str()).collect();
        found = look_up(api, &md5s, true).await?.into_iter().map(|i| (i.md5.clone(), i)).collect();
    }
    let photos: Vec<Photo> = sent
        .taken
        .into_iter()
        .map(|(position, image)| {
            let item = found.get(&image.md5);
            photo(&files[position]).put_in(image, item)
        })
        .collect();
    let rejected: Vec<Rejected> = sent
        .rejected
        .into_iter()
        .map(|(position, problem)| Rejected { name: files[position].name.clone(), problem })
        .collect();
    Ok(Outcome {
        server: api.server().to_owned(),
        submission: options.submission.to_string(),
        models: options.models.clone(),
        started_at,
        finished_at: Utc::now(),
        timed_out,
        counts: counts::count(&photos, &rejected),
        photos,
        rejected,
    })
}

fn photo(file: &LocalFile) -> Photo {
    Photo {
        name: file.name.clone(),
        path: file.path.clone(),
        md5: String::new(),
        bytes: file.bytes,
        new: false,
        warnings: Vec::new(),
        jobs: Vec::new(),
    }
}

async fn upload_all(
    options: &Options,
    api: &Api,
    files: &[LocalFile],
    progress: Progress,
) -> Result<Uploaded, ApiError> {
    let bytes = files.iter().map(|file| file.bytes).sum();
    let begun = Instant::now();
    let stage = progress.upload(bytes);
    let sent = upload::upload(api, options, files, &stage).await?;
    drop(stage);
    let (count, size) = (text::count(files.len(), "file"), text::size(bytes));
    let seconds = begun.elapsed().as_secs_f64();
    progress.say(&format!("Sent {count}, {size}, in {seconds:.1} s as {}", options.submission));
    for model in &sent.idle {
        progress.say(&format!("No worker of {} is alive: its jobs wait.", text::clean(model)));
    }
    Ok(sent)
}

/// Waits until every job of the submission has ended; `false` if `limit` passed first.
///
/// `jobs` is how many there seem to be until the server has said it.
/// A server that goes away meanwhile is waited for, too: the jobs are its, not ours.
async fn wait(submission: Uuid, api: &Api, limit: Duration, progress: Progress, jobs: usize) -> Result<bool, ApiError> {
    let id = submission.to_string();
    let stage = progress.jobs(jobs as u64);
    let begun = Instant::now();
    let poll = async {
        loop {
            let asked = Instant::now();
            let left = limit.saturating_sub(begun.elapsed()).as_secs();
            let wait_s = left.min(progress.poll_s());
            let query = [("wait_s", wait_s.to_string())];
            let timeout = REQUEST_TIMEOUT + Duration::from_secs(wait_s);
            match api.get::<SubmissionAnswer>(&["submissions", &id], &query, timeout).await {
                Ok(now) => {
                    let counts = &now.counts;
                    let remark = format!("({} running, {} failed)", counts.running, counts.failed);
                    stage.set(counts.ended, counts.jobs, remark);
                    if now.done {
                        return Ok(true);
                    }
                }
                Err(error) if error.is_transient() => {
                    stage.say(&format!("{error}; asking again"));
                    tokio::time::sleep(AWAY_PAUSE).await;
                }
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

/// Looks images up, each once, in requests of bounded size.
///
/// # Errors
/// See [`ApiError`].
pub(super) async fn look_up(api: &Api, md5s: &[&str], results: bool) -> Result<Vec<LookupItem>, ApiError> {
    let mut seen = std::collections::HashSet::new();
    let md5s: Vec<&str> = md5s.iter().copied().filter(|md5| seen.insert(*md5)).collect();
    let mut items = Vec::with_capacity(md5s.len());
    for chunk in md5s.chunks(LOOKUP_IMAGES) {
        let body = json!({"images": chunk, "results": results});
        let answer: LookupAnswer = api.post(&["predict", "status"], &body, Repeat::Harmless).await?;
        items.extend(answer.items);
    }
    Ok(items)
}
