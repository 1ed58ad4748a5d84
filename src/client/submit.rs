//! A submission from files to results: upload, wait, look up.

use std::collections::{HashMap, HashSet};
use std::time::Instant;

use chrono::{DateTime, Utc};
use indicatif::HumanBytes;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::counts::PhotoCounts;
use super::error::{ApiError, Repeat};
use super::http::Api;
use super::options::Options;
use super::outcome::{LookedUp, Photo, RejectedPhoto, SkippedFile};
use super::progress::Progress;
use super::verdict::Uploaded;
use super::wait::wait;
use super::walk::{self, Collected, LocalFile};
use super::{counts, text, upload};
use crate::api::status::{StatusItem, Statuses};
use crate::api::submit::SubmittedImage;
use crate::domain::fault::Code;

/// Images asked after in one request; the server's limit is 1,000.
const LOOKUP_IMAGES: usize = 500;

/// What came of a submission; `--json` prints it, the table and the report show it.
#[derive(Debug, Serialize)]
pub struct SubmitReport {
    /// Address of the server.
    pub server: String,
    /// Id of the submission, for `darkroom status` and the server's own pages.
    pub submission: Uuid,
    /// The models asked for.
    pub models: Vec<String>,
    /// When the upload began, by this machine's clock.
    pub started_at: DateTime<Utc>,
    /// When the last answer came, by this machine's clock.
    pub finished_at: DateTime<Utc>,
    /// Whether the time for waiting ran out first.
    pub timed_out: bool,
    /// The files taken, in the order of the command line.
    pub photos: Vec<Photo>,
    /// The files not taken.
    pub rejected: Vec<RejectedPhoto>,
    /// The files not sent: no photographs.
    pub skipped: Vec<SkippedFile>,
    /// All of it in numbers.
    pub counts: PhotoCounts,
}

/// Uploads the files, waits for their jobs and looks up the results.
///
/// Dropping the future leaves what was uploaded with the server, under `options.submission`.
///
/// # Errors
/// No file, a request-level refusal (an unknown model, say), or a server that stays away.
pub async fn submit(options: &Options, api: &Api, progress: Progress) -> anyhow::Result<SubmitReport> {
    let started_at = Utc::now();
    let paths = options.paths.clone();
    let Collected { files, skipped, unreadable } = tokio::task::spawn_blocking(move || walk::collect(&paths)).await??;
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
    let photos = photos(&files, sent.taken, &found);
    let rejected = |(position, problem): (usize, _)| RejectedPhoto { name: files[position].name.clone(), problem };
    let rejected: Vec<RejectedPhoto> = unreadable.into_iter().chain(sent.rejected.into_iter().map(rejected)).collect();
    Ok(SubmitReport {
        server: api.server().to_owned(),
        submission: options.submission,
        models: options.models.clone(),
        started_at,
        finished_at: Utc::now(),
        timed_out,
        counts: counts::count(&photos, &rejected, &skipped),
        photos,
        rejected,
        skipped,
    })
}

/// The files taken, each with what was found of it; of files with the same bytes all name the first.
fn photos(files: &[LocalFile], taken: Vec<(usize, SubmittedImage)>, found: &HashMap<String, LookedUp>) -> Vec<Photo> {
    let mut first: HashMap<String, &str> = HashMap::new();
    let photo = |(position, image): (usize, SubmittedImage)| {
        let file = &files[position];
        let original = *first.entry(image.md5.clone()).or_insert(&file.name);
        let seen = found.get(&image.md5);
        let photo = Photo::taken(file.name.clone(), file.path.clone(), image, seen);
        Photo { duplicate_of: (original != file.name).then(|| original.to_owned()), ..photo }
    };
    taken.into_iter().map(photo).collect()
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

/// Looks images up, each once, in requests of bounded size. Those that had no room in an answer are asked for again.
///
/// # Errors
/// See [`ApiError`].
pub async fn look_up(api: &Api, md5s: &[&str]) -> Result<Vec<StatusItem>, ApiError> {
    let mut seen = HashSet::new();
    let md5s: Vec<&str> = md5s.iter().copied().filter(|md5| seen.insert(*md5)).collect();
    let mut items: Vec<Option<StatusItem>> = md5s.iter().map(|_| None).collect();
    let mut left: Vec<usize> = (0..md5s.len()).collect();
    while !left.is_empty() {
        let asked: Vec<usize> = left.drain(..LOOKUP_IMAGES.min(left.len())).collect();
        let images: Vec<&str> = asked.iter().map(|place| md5s[*place]).collect();
        let body = json!({"images": images, "results": true});
        let answer: Statuses = api.post(&["predict", "status"], &body, Repeat::Harmless).await?;
        let crowded =
            |item: &StatusItem| item.problem.as_ref().is_some_and(|p| p.code == Code::AnswerTooLarge.as_str());
        // Alone it has all the room that there is.
        let again = asked.len() > 1 && !answer.items.iter().all(crowded);
        for (place, item) in asked.into_iter().zip(answer.items) {
            if again && crowded(&item) {
                left.push(place);
            } else {
                items[place] = Some(item);
            }
        }
    }
    Ok(items.into_iter().flatten().collect())
}
