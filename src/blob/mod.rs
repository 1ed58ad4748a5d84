//! Image bytes over `object_store`. Staged is not stored: a staged file is an unlinked-on-drop spool file;
//! [`Blobs::keep`] makes it durable at a path that is never used again.

mod staging;

use std::error::Error;
use std::io::ErrorKind;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use object_store::local::LocalFileSystem;
use object_store::path::Path as BlobPath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt};
use tempfile::NamedTempFile;
use uuid::Uuid;

pub use staging::{Staged, StagedReader, Staging};

/// The folders of kept and of staged bytes, in the store's own.
const KEPT: &str = "images";
const STAGING: &str = "staging";
/// How much of a file is in memory at once while it is staged, in bytes.
const CHUNK_BYTES: usize = 512 * 1024;
/// How many blobs the collector looks at together.
const LISTED_AT_ONCE: usize = 1000;
/// How long what a dead process left behind stays: longer than any request.
const LEFTOVER_AGE: Duration = Duration::from_secs(24 * 3600);

/// What can go wrong with the storage.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    #[error("the image store cannot be used")]
    Io(#[from] std::io::Error),
    #[error("the image store cannot be used")]
    Store(#[from] object_store::Error),
    #[error("the image store does not answer")]
    Slow,
}

impl BlobError {
    /// Whether any cause down the chain is a full disk.
    pub fn is_full(&self) -> bool {
        std::iter::successors(Some(self as &(dyn Error + 'static)), |&error| error.source()).any(|error| {
            let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            matches!(io, Some(ErrorKind::StorageFull | ErrorKind::QuotaExceeded))
        })
    }

    /// Whether there are no such bytes.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Store(object_store::Error::NotFound { .. }))
    }
}

/// The store of image bytes.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<LocalFileSystem>,
    root: PathBuf,
    staging: PathBuf,
    /// How long any one call to the storage may take.
    call_wait: Duration,
}

impl Blobs {
    /// Opens the store under a folder, making it if need be. Spool files that a dead process left long ago are removed.
    pub fn open(folder: &Path, call_wait: Duration) -> Result<Self, BlobError> {
        let (root, staging) = (folder.join(KEPT), folder.join(STAGING));
        std::fs::create_dir_all(&root)?;
        std::fs::create_dir_all(&staging)?;
        remove_leftovers(&staging, storage_now(&staging)? - LEFTOVER_AGE)?;
        let store = LocalFileSystem::new_with_prefix(folder)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), root, staging, call_wait })
    }

    /// Removes the spool files that a dead process left long ago.
    pub async fn clear(&self) -> Result<(), BlobError> {
        let staging = self.staging.clone();
        self.blocking(move || remove_leftovers(&staging, storage_now(&staging)? - LEFTOVER_AGE)).await
    }

    /// Tries whether bytes can be written where the store lies or would be made; leaves nothing behind.
    pub fn probe(folder: &Path) -> std::io::Result<()> {
        for folder in [folder.join(KEPT), folder.join(STAGING)] {
            let there = folder.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
            tempfile::tempfile_in(there)?;
        }
        Ok(())
    }

    /// The folder that holds the kept bytes.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a staged file durable at `{sha256}/{blob}`: when this returns, file and folders are on stable storage. Its
    /// bytes were written when they came and are not written again: the file is renamed.
    pub async fn keep(&self, staged: &Staged, blob: Uuid) -> Result<(), BlobError> {
        let file = staged.file.reopen()?;
        self.blocking(move || Ok(file.sync_all()?)).await?;
        let name = staged.file.path().file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
        let from = BlobPath::from(format!("{STAGING}/{name}"));
        self.waited(self.store.rename(&from, &blob_path(&staged.sha256, blob))).await
    }

    /// Removes a blob that no row names; a missing one is as good as removed.
    pub async fn remove(&self, sha256: &[u8], blob: Uuid) -> Result<(), BlobError> {
        match self.waited(self.store.delete(&blob_path(sha256, blob))).await {
            Err(BlobError::Store(object_store::Error::NotFound { .. })) => Ok(()),
            other => other,
        }
    }

    /// Streams a blob, or a range of its bytes; each piece comes in time, or the stream ends with [`BlobError::Slow`].
    pub async fn read(
        &self,
        sha256: &[u8],
        blob: Uuid,
        range: Option<Range<u64>>,
    ) -> Result<impl Stream<Item = Result<Bytes, BlobError>> + Send + use<>, BlobError> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = self.waited(self.store.get_opts(&blob_path(sha256, blob), options)).await?;
        Ok(stream::try_unfold((self.clone(), found.into_stream()), |(blobs, mut pieces)| async move {
            let piece = blobs.waited(pieces.try_next()).await?;
            Ok(piece.map(|piece| (piece, (blobs, pieces))))
        }))
    }

    /// The storage's own clock less an age: files are as old as it says, and this machine's clock may be wrong.
    pub async fn horizon(&self, age: Duration) -> Result<SystemTime, BlobError> {
        let staging = self.staging.clone();
        self.blocking(move || Ok(storage_now(&staging)? - age)).await
    }

    /// Blobs not younger than an instant of [`Blobs::horizon`], page by page: candidates for the collector.
    pub fn older_than(
        &self,
        horizon: SystemTime,
    ) -> impl Stream<Item = Result<Vec<(Vec<u8>, Uuid)>, BlobError>> + Send + '_ {
        let horizon = chrono::DateTime::<chrono::Utc>::from(horizon);
        self.store.list(Some(&BlobPath::from(KEPT))).chunks(LISTED_AT_ONCE).map(move |page| {
            let page: Vec<_> = page.into_iter().collect::<Result<_, _>>()?;
            Ok(page.iter().filter(|entry| entry.last_modified <= horizon).filter_map(named_by_path).collect())
        })
    }

    async fn waited<T>(&self, call: impl Future<Output = Result<T, object_store::Error>>) -> Result<T, BlobError> {
        match tokio::time::timeout(self.call_wait, call).await {
            Ok(done) => Ok(done?),
            Err(_) => Err(BlobError::Slow),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        match tokio::time::timeout(self.call_wait, tokio::task::spawn_blocking(work)).await {
            Ok(done) => done.map_err(|e| BlobError::Io(std::io::Error::other(e)))?,
            Err(_) => Err(BlobError::Slow),
        }
    }
}

/// What time it is for a folder: that of a file made there now.
fn storage_now(folder: &Path) -> Result<SystemTime, BlobError> {
    let probe = NamedTempFile::with_prefix_in("clock-", folder)?;
    Ok(probe.as_file().metadata()?.modified()?)
}

/// Removes the files of a folder that are not younger than an instant.
fn remove_leftovers(folder: &Path, horizon: SystemTime) -> Result<(), BlobError> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let age = entry.metadata().and_then(|about| about.modified());
        match age.and_then(|age| if age > horizon { Ok(()) } else { std::fs::remove_file(entry.path()) }) {
            // Another replica was faster, or its upload is done.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

fn named_by_path(entry: &object_store::ObjectMeta) -> Option<(Vec<u8>, Uuid)> {
    let mut parts = entry.location.parts();
    let sha256 = hex::decode(parts.nth(1)?.as_ref()).ok()?;
    Some((sha256, Uuid::parse_str(parts.next()?.as_ref()).ok()?))
}

fn blob_path(sha256: &[u8], blob: Uuid) -> BlobPath {
    BlobPath::from(format!("{KEPT}/{}/{blob}", hex::encode(sha256)))
}
