//! An export is made: which images fit, then all that is told of them, a few at a time. Whoever makes it holds it, and says so again and
//! again; who has lost it stops.

use std::pin::pin;
use std::time::{Duration, Instant};

use uuid::Uuid;

use super::archive::Archive;
use super::document::Document;
use crate::blob::{BlobError, Staged};
use crate::domain::export::{EXPORT_IMAGES_MAX, ExportFormat};
use crate::domain::filter::SearchFilter;
use crate::export::ExportAbout;
use crate::service::search::{self, SearchAsk, SearchCursor};
use crate::service::{Ctx, Error};
use crate::store::exports::contents::{self, ExhibitInStore};
use crate::store::exports::{self, ExportAt, ExportInHand};

/// How long an export is held, in seconds: more than anything takes between two words that it is.
pub const HOLD_S: f64 = 300.0;
/// How often it is said that it is held, and how far it is.
const RENEW_EVERY: Duration = Duration::from_secs(1);
/// How many images are read at once.
const IMAGES_AT_ONCE: usize = 100;

/// Why an export was not made.
#[derive(Debug)]
pub enum NotBuilt {
    /// It is somebody else's, or nobody's any more.
    Lost,
    /// It cannot be made, however often that is tried; why, for who asked.
    Never(String),
    /// Something of ours failed.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for NotBuilt {
    fn from(error: E) -> Self {
        match error.into() {
            Error::Fault(fault) => Self::Never(fault.detail),
            error => Self::Failed(error),
        }
    }
}

/// Makes a held export; answers where its bytes lie, which no row names yet.
pub async fn build(ctx: &Ctx, held: &mut ExportInHand) -> Result<ExportAt, NotBuilt> {
    let mut build = Build { ctx, held, renewed: Instant::now(), images: None, done: 0, bytes: 0, kept: 0 };
    build.check_standing().await?;
    build.kept = ctx.chores.run(async |db| exports::kept_bytes(db, build.held.account_id).await).await?;
    let about = build.about().await?;
    let images = build.find().await?;
    build.images = i32::try_from(images.len()).ok();
    build.renew().await?;
    let mut output = Output::begin(ctx, build.held.format, &about).await?;
    let mut rest = images.as_slice();
    while !rest.is_empty() {
        let few = &rest[..rest.len().min(IMAGES_AT_ONCE)];
        let case = build.held.case_id;
        let (told, looked_at) = ctx.chores.run(async |db| contents::next(db, few, case).await).await?;
        for one in &told {
            let bytes = output.add(one).await?;
            build.count(bytes)?;
            build.done += 1;
            build.keep_hold().await?;
        }
        let bytes = output.audit(ctx, &few[..looked_at]).await?;
        build.count(bytes)?;
        rest = &rest[looked_at..];
        // Those that went meanwhile are done, too.
        build.done = i32::try_from(images.len() - rest.len()).unwrap_or(i32::MAX);
        build.keep_hold().await?;
    }
    let staged = build.holding(output.finish(ctx)).await?;
    // It took a while, and may not be theirs any more.
    build.check_standing().await?;
    build.renew().await?;
    let at = ExportAt {
        bytes: i64::try_from(staged.bytes).unwrap_or(i64::MAX),
        sha256: staged.sha256.to_vec(),
        blob: Uuid::new_v4(),
    };
    build.holding(async { Ok(ctx.blobs.keep(&staged, at.blob).await?) }).await?;
    Ok(at)
}

/// What an export is written into.
enum Output {
    Document(Box<Document>),
    Archive(Box<Archive>),
}

impl Output {
    async fn begin(ctx: &Ctx, format: ExportFormat, about: &ExportAbout) -> Result<Self, Error> {
        Ok(match Document::begin(&ctx.blobs, format, about).await? {
            Some(document) => Self::Document(Box::new(document)),
            None => Self::Archive(Box::new(Archive::begin(&ctx.blobs, about).await?)),
        })
    }

    async fn add(&mut self, one: &ExhibitInStore) -> Result<u64, Error> {
        match self {
            Self::Document(document) => document.add(&one.exhibit).await,
            Self::Archive(archive) => archive.add(one).await,
        }
    }

    async fn audit(&mut self, ctx: &Ctx, images: &[i64]) -> Result<u64, Error> {
        match self {
            Self::Document(_) => Ok(0),
            Self::Archive(archive) => archive.audit_jobs(ctx, images).await,
        }
    }

    async fn finish(self, ctx: &Ctx) -> Result<Staged, Error> {
        match self {
            Self::Document(document) => document.finish().await,
            Self::Archive(archive) => archive.finish(ctx).await,
        }
    }
}

struct Build<'a> {
    ctx: &'a Ctx,
    held: &'a mut ExportInHand,
    renewed: Instant,
    images: Option<i32>,
    done: i32,
    bytes: u64,
    /// What the other exports of the account have.
    kept: u64,
}

impl Build<'_> {
    /// Members are asked about again: whoever asked may have been taken out since.
    async fn check_standing(&self) -> Result<(), NotBuilt> {
        let (account, case) = (self.held.account_id, self.held.case_id);
        if self.ctx.chores.run(async |db| exports::may_see(db, account, case).await).await? {
            return Ok(());
        }
        Err(NotBuilt::Never("Who asked for it may not see the case any more.".to_owned()))
    }

    async fn about(&self) -> Result<ExportAbout, NotBuilt> {
        let case = self.held.case_id;
        let told = self.ctx.chores.run(async |db| contents::about(db, case, self.held.account_id).await).await?;
        let (case_name, description, by) = told.ok_or(NotBuilt::Lost)?;
        Ok(ExportAbout {
            export: self.held.id,
            case,
            case_name,
            description,
            by,
            asked_at: self.held.created_at,
            filter: self.held.filter.clone(),
        })
    }

    /// The numbers of all images that fit, in the order of a search.
    async fn find(&mut self) -> Result<Vec<i64>, NotBuilt> {
        let filter = SearchFilter::parse(&self.held.filter).map_err(|flaw| flaw.fault("/q"))?;
        let ask = SearchAsk { filter, case: Some(self.held.case_id) };
        let (mut images, mut after): (Vec<i64>, Option<SearchCursor>) = (Vec::new(), None);
        loop {
            let (found, next) = search::numbers(self.ctx, &ask, after).await?;
            images.extend(found);
            if images.len() > EXPORT_IMAGES_MAX {
                let why = format!("More than {EXPORT_IMAGES_MAX} images fit; narrow the filter, as by `before:`.");
                return Err(NotBuilt::Never(why));
            }
            after = next;
            if after.is_none() {
                return Ok(images);
            }
            self.keep_hold().await?;
        }
    }

    fn count(&mut self, bytes: u64) -> Result<(), NotBuilt> {
        self.bytes += bytes;
        let most = self.ctx.limits.export_bytes_max;
        if self.kept + self.bytes > most {
            let why = format!(
                "Your exports would have more than {most} bytes together; narrow the filter, or remove others."
            );
            return Err(NotBuilt::Never(why));
        }
        Ok(())
    }

    async fn keep_hold(&mut self) -> Result<(), NotBuilt> {
        if self.renewed.elapsed() < RENEW_EVERY { Ok(()) } else { self.renew().await }
    }

    /// Waits for what takes long at once, and says meanwhile that it is held. Whatever waits in it has a time-out.
    async fn holding<T>(&mut self, work: impl Future<Output = Result<T, Error>>) -> Result<T, NotBuilt> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done?),
                () = tokio::time::sleep(RENEW_EVERY) => self.renew().await?,
            }
        }
    }

    async fn renew(&mut self) -> Result<(), NotBuilt> {
        let (held, images, done) = (&*self.held, self.images, self.done);
        let until = self.ctx.chores.run(async |db| exports::renew(db, held, HOLD_S, images, done).await).await?;
        self.held.held_until = until.ok_or(NotBuilt::Lost)?;
        self.renewed = Instant::now();
        Ok(())
    }
}

/// What is told of something of ours that failed to who asked for an export.
pub fn told_failure(error: &Error) -> &'static str {
    let source: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    match source.and_then(|source| source.downcast_ref::<BlobError>()) {
        Some(blob) if blob.is_full() => "The image store is full; tell the operator.",
        Some(blob) if blob.is_missing() => "The bytes of an image are not in the image store; tell the operator.",
        Some(_) => "The image store cannot be used; tell the operator.",
        None => "Something here failed; the log of the server has the cause under the id of the export.",
    }
}
