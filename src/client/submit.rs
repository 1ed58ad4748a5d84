//! A submission from files to results: upload, wait, look up.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use chrono::Utc;
use indicatif::HumanBytes;
use serde_json::Value;
use uuid::Uuid;

use super::error::ApiError;
use super::http::{Api, REQUEST_TIMEOUT, Repeat};
use super::outcome::{LookedUp, Photo, RejectedPhoto, SubmitReport};
use super::progress::Progress;
use super::verdict::Uploaded;
use super::walk::{self, LocalFile};
use super::{counts, text, upload};
use crate::api::status::{StatusItem, StatusRequest, Statuses};
use crate::api::submissions::SubmissionOut;
use crate::api::submit::SubmittedImage;

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
pub async fn submit(options: &Options, api: &Api, progress: Progress) -> anyhow::Result<SubmitReport> {
    let started_at = Utc::now();
    let files = walk::collect(&options.paths)?;
    let sent = upload_all(options, api, &files, progress).await?;
    let mut timed_out = false;
    let mut found: HashMap<String, LookedUp> = HashMap::new();
    if let Some(limit) = options.wait.filter(|_| !sent.taken.is_empty()) {
        let jobs = sent.taken.iter().map(|(_, image)| image.jobs.len()).sum();
        timed_out = !wait(options.submission, api, limit, progress, jobs).await?;
        let md5s: Vec<&str> = sent.taken.iter().map(|(_, image)| image.md5.as_str()).collect();
        for item in look_up(api, &md5s).await? {
            let item = LookedUp::try_from(item)?;
            found.insert(item.md5.clone(), item);
        }
    }
    let photo = |(position, image): (usize, SubmittedImage)| {
        let (file, found) = (&files[position], found.get(&image.md5));
        Photo::taken(file.name.clone(), file.path.clone(), image, found)
    };
    let photos: Vec<Photo> = sent.taken.into_iter().map(photo).collect();
    let rejected = |(position, problem): (usize, _)| RejectedPhoto { name: files[position].name.clone(), problem };
    let rejected: Vec<RejectedPhoto> = sent.rejected.into_iter().map(rejected).collect();
    Ok(SubmitReport {
        server: api.server().to_owned(),
        submission: options.submission,
        models: options.models.clone(),
        started_at,
        finished_at: Utc::now(),
        timed_out,
        counts: counts::count(&photos, &rejected),
        photos,
        rejected,
    })
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
    let (count, size) = (text::count(files.len(), "file"), HumanBytes(bytes));
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
            match api.get::<SubmissionOut>(&["submissions", &id], &query, timeout).await {
                Ok(now) => {
                    let states = &now.counts.states;
                    let remark = format!("({} running, {} failed)", states.running, states.failed);
                    stage.set(now.counts.ended, now.counts.jobs, remark);
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
pub async fn look_up(api: &Api, md5s: &[&str]) -> Result<Vec<StatusItem>, ApiError> {
    let mut seen = HashSet::new();
    let md5s: Vec<&str> = md5s.iter().copied().filter(|md5| seen.insert(*md5)).collect();
    let mut items = Vec::with_capacity(md5s.len());
    for chunk in md5s.chunks(LOOKUP_IMAGES) {
        let images = chunk.iter().map(|md5| (*md5).to_owned()).collect();
        let body = StatusRequest { images, results: Some(true) };
        let answer: Statuses = api.post(&["predict", "status"], &body, Repeat::Harmless).await?;
        items.extend(answer.items);
    }
    Ok(items)
}
