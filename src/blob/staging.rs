//! Staging: a file is spooled and hashed while it streams, off the async threads.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};

use bytes::Bytes;
use md5::{Digest, Md5};
use sha2::Sha256;
use tempfile::NamedTempFile;

use super::{BlobError, Blobs, CHUNK_BYTES};
use crate::domain::image::ContentMd5;
use crate::inspect::{self, Bounds, Flaw, Structure};

/// How much of a large file is on its way to the storage at most: what is left for the end is written within the time of one call.
const SYNC_EVERY_BYTES: u64 = 256 * 1024 * 1024;

/// A file that is being staged. Hashing and writing happen off the async threads, a chunk at a time.
pub struct Staging {
    blobs: Blobs,
    work: Option<Work>,
    /// Not hashed or written yet, as they came.
    chunks: Vec<Bytes>,
    waiting: usize,
}

struct Work {
    file: NamedTempFile,
    md5: Md5,
    sha256: Sha256,
    bytes: u64,
    /// How many of them the storage was not told to write down yet.
    unsynced: u64,
}

impl Staging {
    /// Begins to stage one file.
    pub async fn begin(blobs: &Blobs) -> Result<Self, BlobError> {
        let folder = blobs.staging.clone();
        let file = blobs.blocking(move || Ok(NamedTempFile::with_prefix_in("upload-", folder)?)).await?;
        let work = Work { file, md5: Md5::new(), sha256: Sha256::new(), bytes: 0, unsynced: 0 };
        Ok(Self { blobs: blobs.clone(), work: Some(work), chunks: Vec::new(), waiting: 0 })
    }

    /// Takes the next bytes.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), BlobError> {
        self.waiting += chunk.len();
        self.chunks.push(chunk);
        if self.waiting >= CHUNK_BYTES { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        let chunks = std::mem::take(&mut self.chunks);
        self.waiting = 0;
        let Some(mut work) = self.work.take() else { return Err(BlobError::Slow) };
        let work = self
            .blobs
            .blocking(move || {
                for chunk in chunks {
                    work.md5.update(&chunk);
                    work.sha256.update(&chunk);
                    work.file.write_all(&chunk)?;
                    work.bytes += chunk.len() as u64;
                    work.unsynced += chunk.len() as u64;
                }
                if work.unsynced >= SYNC_EVERY_BYTES {
                    work.file.as_file().sync_data()?;
                    work.unsynced = 0;
                }
                Ok(work)
            })
            .await?;
        self.work = Some(work);
        Ok(())
    }

    /// Ends staging.
    pub async fn finish(mut self) -> Result<Staged, BlobError> {
        self.flush().await?;
        let Some(work) = self.work else { return Err(BlobError::Slow) };
        Ok(Staged {
            blobs: self.blobs,
            file: work.file,
            md5: ContentMd5(work.md5.finalize().into()),
            sha256: work.sha256.finalize().into(),
            bytes: work.bytes,
        })
    }
}

/// A whole file, staged: gone when dropped.
pub struct Staged {
    blobs: Blobs,
    pub(super) file: NamedTempFile,
    pub md5: ContentMd5,
    pub sha256: [u8; 32],
    pub bytes: u64,
}

impl Staged {
    /// Reads the structure of the image, never its pixels.
    pub async fn inspect(&self, bounds: Bounds) -> Result<Result<Structure, Flaw>, BlobError> {
        let (mut file, bytes) = (self.file.reopen()?, self.bytes);
        self.blobs
            .blocking(move || {
                file.seek(SeekFrom::Start(0))?;
                Ok(inspect::inspect(&mut file, bytes, &bounds)?)
            })
            .await
    }

    /// Reads the file from its begin, a chunk at a time. It stays readable when this is dropped.
    pub fn read(&self) -> Result<StagedReader, BlobError> {
        Ok(StagedReader { blobs: self.blobs.clone(), file: Some(self.file.reopen()?) })
    }
}

/// A staged file that is read.
pub struct StagedReader {
    blobs: Blobs,
    file: Option<File>,
}

impl StagedReader {
    /// The next bytes; nothing at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, BlobError> {
        let Some(mut file) = self.file.take() else { return Ok(None) };
        let read = move || {
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            Read::by_ref(&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut chunk)?;
            Ok((file, chunk))
        };
        let (file, chunk) = self.blobs.blocking(read).await?;
        if chunk.is_empty() {
            return Ok(None);
        }
        self.file = Some(file);
        Ok(Some(chunk.into()))
    }
}
