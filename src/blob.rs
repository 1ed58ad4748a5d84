//! Image bytes over `object_store`. Staged is not stored: a staged file is an unlinked-on-drop spool file;
//! [`Blobs::keep`] makes it durable at a path that is never used again.

use std::io::{Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use md5::{Digest, Md5};
use object_store::local::LocalFileSystem;
use object_store::path::Path as BlobPath;
use object_store::{GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload};
use sha2::Sha256;
use tempfile::NamedTempFile;
use uuid::Uuid;

use crate::domain::image::ContentMd5;
use crate::domain::inspect::{self, Bounds, Refusal, Structure};

/// How much of a file is in memory at once while it is staged or kept, in bytes.
const CHUNK_BYTES: usize = 512 * 1024;
/// How many blobs the collector looks at together.
const LISTED_AT_ONCE: usize = 1000;
/// How long any one call to the storage may take.
const CALL_WAIT: Duration = Duration::from_secs(20);

/// What can go wrong with the storage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the image store has no room")]
    Full(#[source] std::io::Error),
    #[error("the image store cannot be used")]
    Io(#[source] std::io::Error),
    #[error("the image store cannot be used")]
    Store(#[from] object_store::Error),
    #[error("the image store does not answer")]
    Slow,
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full(error),
            _ => Self::Io(error),
        }
    }
}

impl Error {
    /// Whether any cause down the chain is a full disk.
    pub fn is_full(&self) -> bool {
        let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = cause {
            let io = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
            if matches!(io, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) {
                return true;
            }
            cause = error.source();
        }
        false
    }
}

/// The store of image bytes.
#[derive(Clone)]
pub struct Blobs {
    store: Arc<LocalFileSystem>,
    root: PathBuf,
    staging: PathBuf,
}

impl Blobs {
    /// Opens the store under a folder, making it if need be. Spool files that a dead process left long ago are removed.
    pub fn open(folder: &Path) -> Result<Self, Error> {
        let (root, staging) = (folder.join("images"), folder.join("staging"));
        std::fs::create_dir_all(&root)?;
        std::fs::create_dir_all(&staging)?;
        remove_old_files(&staging)?;
        let store = LocalFileSystem::new_with_prefix(&root)?.with_fsync(true);
        Ok(Self { store: Arc::new(store), root, staging })
    }

    /// The folder that holds the kept bytes.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Begins to stage one file.
    pub async fn stage(&self) -> Result<Staging, Error> {
        let folder = self.staging.clone();
        let file = blocking(move || Ok(NamedTempFile::with_prefix_in("upload-", folder)?)).await?;
        Ok(Staging {
            work: Some(Work { file, md5: Md5::new(), sha256: Sha256::new(), bytes: 0 }),
            buffer: BytesMut::new(),
        })
    }

    /// Makes a staged file durable at `{sha256}/{blob}`: when this returns, file and folders are on stable storage.
    pub async fn keep(&self, staged: &Staged, blob: Uuid) -> Result<(), Error> {
        let path = blob_path(&staged.sha256, blob);
        let source = staged.file.reopen()?;
        if staged.bytes <= CHUNK_BYTES as u64 {
            let (payload, _) = read_chunk(source, CHUNK_BYTES).await?;
            waited(self.store.put(&path, PutPayload::from(payload))).await?;
            return Ok(());
        }
        let mut upload = waited(self.store.put_multipart(&path)).await?;
        let mut source = source;
        loop {
            let (chunk, rest) = match read_chunk(source, CHUNK_BYTES).await {
                Ok(read) => read,
                Err(error) => return abort(upload, error).await,
            };
            source = rest;
            if chunk.is_empty() {
                break;
            }
            if let Err(error) = waited(upload.put_part(PutPayload::from(chunk))).await {
                return abort(upload, error).await;
            }
        }
        match waited(upload.complete()).await {
            Ok(_) => Ok(()),
            Err(error) => abort(upload, error).await,
        }
    }

    /// Removes a blob that no row names; a missing one is as good as removed.
    pub async fn remove(&self, sha256: &[u8], blob: Uuid) -> Result<(), Error> {
        match waited(self.store.delete(&blob_path(sha256, blob))).await {
            Err(Error::Store(object_store::Error::NotFound { .. })) => Ok(()),
            other => other,
        }
    }

    /// Streams a blob, or a range of its bytes.
    pub async fn read(
        &self,
        sha256: &[u8],
        blob: Uuid,
        range: Option<Range<u64>>,
    ) -> Result<impl Stream<Item = Result<Bytes, object_store::Error>> + Send + use<>, Error> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let found = waited(self.store.get_opts(&blob_path(sha256, blob), options)).await?;
        Ok(found.into_stream())
    }

    /// Blobs older than an age, page by page: candidates for the collector.
    pub fn older_than(&self, age: Duration) -> impl Stream<Item = Result<Vec<(Vec<u8>, Uuid)>, Error>> + Send + '_ {
        let horizon = chrono::Utc::now() - age;
        self.store.list(None).chunks(LISTED_AT_ONCE).map(move |page| {
            let page: Vec<_> = page.into_iter().collect::<Result<_, _>>()?;
            Ok(page.iter().filter(|entry| entry.last_modified < horizon).filter_map(named_by_path).collect())
        })
    }
}

/// Removes spool files of processes that are gone; a day is longer than any request.
fn remove_old_files(folder: &Path) -> Result<(), Error> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let age = entry.metadata()?.modified()?.elapsed().unwrap_or_default();
        if age > Duration::from_secs(24 * 3600) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn named_by_path(entry: &object_store::ObjectMeta) -> Option<(Vec<u8>, Uuid)> {
    let mut parts = entry.location.parts();
    let sha256 = hex::decode(parts.next()?.as_ref()).ok()?;
    Some((sha256, Uuid::parse_str(parts.next()?.as_ref()).ok()?))
}

fn blob_path(sha256: &[u8], blob: Uuid) -> BlobPath {
    BlobPath::from(format!("{}/{blob}", hex::encode(sha256)))
}

async fn abort(mut upload: Box<dyn object_store::MultipartUpload>, error: Error) -> Result<(), Error> {
    // The upload failed already; what is left of it is the collector's.
    let _ = waited(upload.abort()).await;
    Err(error)
}

async fn waited<T>(call: impl Future<Output = Result<T, object_store::Error>>) -> Result<T, Error> {
    match tokio::time::timeout(CALL_WAIT, call).await {
        Ok(done) => Ok(done?),
        Err(_) => Err(Error::Slow),
    }
}

async fn read_chunk(mut file: std::fs::File, bytes: usize) -> Result<(Bytes, std::fs::File), Error> {
    blocking(move || {
        let mut chunk = Vec::with_capacity(bytes);
        (&mut file).take(bytes as u64).read_to_end(&mut chunk)?;
        Ok((Bytes::from(chunk), file))
    })
    .await
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Io(std::io::Error::other(e)))?
}

/// A file that is being staged. Hashing and writing happen off the async threads, a chunk at a time.
pub struct Staging {
    work: Option<Work>,
    buffer: BytesMut,
}

struct Work {
    file: NamedTempFile,
    md5: Md5,
    sha256: Sha256,
    bytes: u64,
}

impl Staging {
    /// Takes the next bytes.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), Error> {
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() >= CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), Error> {
        let chunk = self.buffer.split().freeze();
        let Some(mut work) = self.work.take() else { return Err(Error::Slow) };
        let work = blocking(move || {
            work.md5.update(&chunk);
            work.sha256.update(&chunk);
            work.file.write_all(&chunk)?;
            work.bytes += chunk.len() as u64;
            Ok(work)
        })
        .await?;
        self.work = Some(work);
        Ok(())
    }

    /// Ends staging.
    pub async fn finish(mut self) -> Result<Staged, Error> {
        self.flush().await?;
        let Some(work) = self.work else { return Err(Error::Slow) };
        Ok(Staged {
            file: work.file,
            md5: ContentMd5(work.md5.finalize().into()),
            sha256: work.sha256.finalize().into(),
            bytes: work.bytes,
        })
    }
}

/// A whole file, staged: gone when dropped.
pub struct Staged {
    file: NamedTempFile,
    pub md5: ContentMd5,
    pub sha256: [u8; 32],
    pub bytes: u64,
}

impl Staged {
    /// Reads the structure of the image, never its pixels.
    pub async fn inspect(&self, bounds: Bounds) -> Result<Result<Structure, Refusal>, Error> {
        let (mut file, bytes) = (self.file.reopen()?, self.bytes);
        blocking(move || {
            file.seek(SeekFrom::Start(0))?;
            Ok(inspect::inspect(&mut file, bytes, &bounds)?)
        })
        .await
    }
}
