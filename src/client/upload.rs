//! Files to `POST /predict`: several per request, several requests at a time, bodies streamed.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use parking_lot::Mutex;
use reqwest::multipart::{Form, Part};
use reqwest::{Body, Method};
use serde::de::IgnoredAny;
use tokio::fs::File;
use tokio::io::AsyncReadExt;
use tokio_util::io::ReaderStream;

use super::error::{ApiError, Repeat};
use super::http::{Api, REQUEST_TIMEOUT, answer, decode};
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
    let counted = files.iter().map(|_| Arc::default()).collect();
    let sender = Sender { api, options, files, stage, counted };
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
    /// How much of each file was counted as sent: what is sent again counts once.
    counted: Vec<Arc<AtomicU64>>,
}

impl Sender<'_> {
    /// Sends the files at these positions as one request. A file that breaks it goes to the rejected, and the others again; where
    /// nobody can say which one it was, each goes alone: no file keeps its neighbours out.
    async fn send(&self, positions: Vec<usize>) -> Result<Uploaded, ApiError> {
        let mut all = Uploaded::default();
        let mut batches = VecDeque::from([positions]);
        while let Some(mut positions) = batches.pop_front() {
            match self.request(&positions).await {
                Err(ApiError::File { position, source, .. }) => {
                    self.count(position, self.files[position].bytes);
                    all.rejected.push((position, Problem::unreadable(&source)));
                    positions.retain(|other| *other != position);
                    batches.extend((!positions.is_empty()).then_some(positions));
                }
                Err(error) if positions.len() > 1 && error.may_lie_in_one_file() => {
                    batches.extend(positions.into_iter().map(|position| vec![position]));
                }
                Err(error) if error.may_lie_in_one_file() && error.status().is_none() && self.server_lives().await => {
                    all.rejected.extend(positions.iter().map(|position| (*position, Problem::unsendable(&error))));
                }
                answer => {
                    let one = judge(&positions, answer)?;
                    self.options.taken.fetch_add(one.taken.len(), Ordering::Relaxed);
                    all = all.join(one);
                }
            }
        }
        Ok(all)
    }

    async fn server_lives(&self) -> bool {
        self.api.get::<IgnoredAny>(&["health", "live"], &[], REQUEST_TIMEOUT).await.is_ok()
    }

    async fn request(&self, positions: &[usize]) -> Result<Submitted, ApiError> {
        // The submission's id makes a repeated request harmless.
        self.api
            .retrying(Repeat::Harmless, async || {
                let moved = Arc::new(AtomicU64::new(0));
                let broken = BrokenFile::default();
                let form = self.form(positions, &moved, &broken).await?;
                let request = self.api.request(Method::POST, &["predict"]).multipart(form);
                let result = tokio::select! {
                    result = async { decode(answer(request).await?).await } => result,
                    () = stalled(&moved) => Err(ApiError::Stalled(STALL)),
                };
                match broken.lock().take() {
                    Some((position, source)) if result.is_err() => Err(self.file_error(position, source)),
                    _ => result,
                }
            })
            .await
    }

    /// Small fields first, so that a server may refuse before it reads the files.
    async fn form(&self, positions: &[usize], moved: &Arc<AtomicU64>, broken: &BrokenFile) -> Result<Form, ApiError> {
        let options = self.options;
        let mut form = Form::new()
            .text("submission", options.submission.to_string())
            .text("priority", options.priority.to_string())
            .text("rerun", options.rerun.to_string());
        if let Some(case) = options.case {
            form = form.text("case", case.to_string());
        }
        if let Some(params) = &options.params {
            form = form.text("params", params.to_string());
        }
        for model in &options.models {
            form = form.text("models", model.clone());
        }
        for &position in positions {
            form = form.part("images", self.part(position, moved, broken).await?);
        }
        Ok(form)
    }

    async fn part(&self, position: usize, moved: &Arc<AtomicU64>, broken: &BrokenFile) -> Result<Part, ApiError> {
        let local = &self.files[position];
        let failed = |source| self.file_error(position, source);
        let file = File::open(&local.path).await.map_err(failed)?;
        let bytes = file.metadata().await.map_err(failed)?.len();
        let (stage, moved, counted) = (self.stage.clone(), Arc::clone(moved), Arc::clone(&self.counted[position]));
        let mut read = 0;
        // A file that grows meanwhile is sent as it was; one that shrinks cannot be.
        let body = ReaderStream::with_capacity(file.take(bytes), READ).map(Some).chain(stream::iter([None]));
        let body = body.filter_map(move |piece| {
            let whole = match piece {
                Some(Ok(piece)) => {
                    read += piece.len() as u64;
                    moved.fetch_add(piece.len() as u64, Ordering::Relaxed);
                    stage.add(read.saturating_sub(counted.fetch_max(read, Ordering::Relaxed)));
                    Some(Ok(piece))
                }
                Some(Err(error)) => Some(Err(error)),
                None => (read < bytes).then(|| Err(io::Error::other("it became shorter while it was read"))),
            };
            std::future::ready(whole)
        });
        let broken = Arc::clone(broken);
        let body = body.inspect_err(move |error| {
            broken.lock().get_or_insert_with(|| (position, io::Error::new(error.kind(), error.to_string())));
        });
        Ok(Part::stream_with_length(Body::wrap_stream(body), bytes).file_name(local.sent_as.clone()))
    }

    fn file_error(&self, position: usize, source: io::Error) -> ApiError {
        ApiError::File { position, name: self.files[position].name.clone(), source }
    }

    fn count(&self, position: usize, bytes: u64) {
        self.stage.add(bytes.saturating_sub(self.counted[position].fetch_max(bytes, Ordering::Relaxed)));
    }
}

/// The file that broke a request, and how.
type BrokenFile = Arc<Mutex<Option<(usize, io::Error)>>>;

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
