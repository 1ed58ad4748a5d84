//! Files to `POST /predict`: several per request, several requests at a time, bodies streamed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::error::{ApiError, Repeat};
use super::http::{Api, answer, decode};
use super::options::Options;
use super::progress::Stage;
use super::verdict::{Uploaded, judge};
use super::walk::{self, LocalFile};
use crate::api::problem::Problem;
use crate::api::submit::Submitted;

/// A transfer in which nothing moves for this long is given up; after the last byte it is the time
/// that the server has to answer.
const STALL: Duration = Duration::from_secs(90);
/// Unit of reading and of counting progress, in bytes.
const READ: usize = 128 << 10;

/// Sends all files; the order of the answer is that of the files.
///
/// # Errors
/// The first request-level refusal or lost server; what was sent by then stays submitted, and
/// sending everything again under the same submission is harmless.
pub(super) async fn upload(
    api: &Api,
    options: &Options,
    files: &[LocalFile],
    stage: &Stage,
) -> Result<Uploaded, ApiError> {
    let sender = Sender { api, options, files, stage };
    let mut all: Uploaded = stream::iter(walk::chunks(files))
        .map(|chunk| sender.send(chunk.collect()))
        .buffer_unordered(options.parallel.max(1))
        .try_fold(Uploaded::default(), async |all, one| Ok(all.join(one)))
        .await?;
    all.taken.sort_by_key(|(index, _)| *index);
    all.rejected.sort_by_key(|(index, _)| *index);
    Ok(all)
}

struct Sender<'a> {
    api: &'a Api,
    options: &'a Options,
    files: &'a [LocalFile],
    stage: &'a Stage,
}

impl Sender<'_> {
    /// Sends the files at these positions as one request; one that is too large is cut into one
    /// request per file, so that a single file cannot keep its neighbours out.
    async fn send(&self, positions: Vec<usize>) -> Result<Uploaded, ApiError> {
        let (positions, unreadable) = self.readable(positions).await;
        let mut all = Uploaded { rejected: unreadable, ..Uploaded::default() };
        if positions.is_empty() {
            return Ok(all);
        }
        match self.request(&positions).await {
            Err(ApiError::Refused { problem, .. }) if problem.status == 413 && positions.len() > 1 => {
                for position in positions {
                    let one = self.request(&[position]).await;
                    all = all.join(judge(&[position], one)?);
                }
                Ok(all)
            }
            answer => Ok(all.join(judge(&positions, answer)?)),
        }
    }

    /// Parts the files that can be opened from those that cannot.
    async fn readable(&self, positions: Vec<usize>) -> (Vec<usize>, Vec<(usize, Problem)>) {
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for position in positions {
            match File::open(&self.files[position].path).await {
                Ok(_) => good.push(position),
                Err(error) => {
                    let mend = "Check that the file is still there and that you may read it.";
                    let title = "File cannot be read";
                    let problem = Problem::local("unreadable_file", title, error.to_string(), mend);
                    bad.push((position, problem));
                }
            }
        }
        (good, bad)
    }

    async fn request(&self, positions: &[usize]) -> Result<Submitted, ApiError> {
        // The submission's id makes a repeated request harmless.
        self.api
            .retrying(Repeat::Harmless, async || {
                let moved = Arc::new(AtomicU64::new(0));
                let form = self.form(positions, &moved).await?;
                let request = self.api.request(Method::POST, &["predict"]).multipart(form);
                let result = tokio::select! {
                    result = async { decode(answer(request).await?).await } => result,
                    () = stalled(&moved) => Err(ApiError::Stalled(STALL)),
                };
                if result.is_err() {
                    self.stage.take_back(moved.load(Ordering::Relaxed));
                }
                result
            })
            .await
    }

    /// Small fields first, so that a server may refuse before it reads the files.
    async fn form(&self, positions: &[usize], moved: &Arc<AtomicU64>) -> Result<Form, ApiError> {
        let options = self.options;
        let mut form = Form::new()
            .text("submission", options.submission.to_string())
            .text("priority", options.priority.to_string())
            .text("rerun", options.rerun.to_string());
        if let Some(params) = &options.params {
            form = form.text("params", params.to_string());
        }
        for model in &options.models {
            form = form.text("models", model.clone());
        }
        for &position in positions {
            form = form.part("images", self.part(position, moved).await?);
        }
        Ok(form)
    }

    async fn part(&self, position: usize, moved: &Arc<AtomicU64>) -> Result<Part, ApiError> {
        let local = &self.files[position];
        let failed = |source| ApiError::File { name: local.name.clone(), source };
        let file = File::open(&local.path).await.map_err(failed)?;
        let bytes = file.metadata().await.map_err(failed)?.len();
        let (stage, moved) = (self.stage.clone(), Arc::clone(moved));
        // A file that grows meanwhile is sent as it was; one that shrinks breaks the request.
        let body = ReaderStream::with_capacity(file.take(bytes), READ).inspect_ok(move |read| {
            let read = read.len() as u64;
            moved.fetch_add(read, Ordering::Relaxed);
            stage.add(read);
        });
        let name = local.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Part::stream_with_length(Body::wrap_stream(body), bytes).file_name(name))
    }
}

/// Ends when the count has not moved for [`STALL`].
async fn stalled(moved: &AtomicU64) {
    let mut before = moved.load(Ordering::Relaxed);
    loop {
        tokio::time::sleep(STALL).await;
        let now = moved.load(Ordering::Relaxed);
        if now == before {
            return;
        }
        before = now;
    }
}
