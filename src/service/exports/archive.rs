//! A case as a ZIP archive: every photograph as it came, what is told of it in every format, what people wrote, the audit, and a manifest of
//! all of it. Each goes to the disk as it comes, and never is one whole in memory.

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::Utc;
use flate2::Crc;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use md5::{Digest, Md5};
use serde_json::json;
use sha2::Sha256;
use uuid::Uuid;

use super::document::Document;
use crate::blob::{BlobError, Blobs, Staged, Staging};
use crate::domain::exhibit::Exhibit;
use crate::export::archive::{ArchiveFile, ArchiveWriter};
use crate::export::manifest::{self, LeftOut, MANIFEST, ManifestFile, ModelTold};
use crate::export::{DOCUMENTS, ExportAbout, README};
use crate::service::{Ctx, Error, Result};
use crate::store::exports::contents::{self, ExhibitInStore};

/// The most photographs whose bytes are not as they should be: with more of them something else is wrong.
const LEFT_OUT_MAX: usize = 1_000;

/// The files of lines of JSON.
const LINES: [&str; 4] = ["results.ndjson", "tags.ndjson", "notes.ndjson", "audit.ndjson"];
const RESULTS: usize = 0;
const TAGS: usize = 1;
const NOTES: usize = 2;
const AUDIT: usize = 3;

/// An archive that is written.
pub(super) struct Archive {
    blobs: Blobs,
    about: ExportAbout,
    writer: ArchiveWriter,
    out: Staging,
    directory: Staging,
    /// Of the files so far; taken away when it is written itself.
    manifest: Option<Staging>,
    begun: bool,
    documents: Vec<(&'static str, Document)>,
    lines: Vec<Staging>,
    models: BTreeMap<(String, String), u64>,
    images: u64,
    left_out: Vec<LeftOut>,
}

impl Archive {
    pub(super) async fn begin(blobs: &Blobs, about: &ExportAbout) -> Result<Self> {
        let mut documents = Vec::new();
        for (format, path) in DOCUMENTS {
            documents.extend(Document::begin(blobs, format, about).await?.map(|document| (path, document)));
        }
        let mut manifest = Staging::begin(blobs).await?;
        manifest.write(manifest::head(about).map_err(unwritten)?.into()).await?;
        let mut lines = Vec::new();
        for _ in LINES {
            lines.push(Staging::begin(blobs).await?);
        }
        Ok(Self {
            blobs: blobs.clone(),
            about: about.clone(),
            writer: ArchiveWriter::new(Utc::now()),
            out: Staging::begin(blobs).await?,
            directory: Staging::begin(blobs).await?,
            manifest: Some(manifest),
            begun: false,
            documents,
            lines,
            models: BTreeMap::new(),
            images: 0,
            left_out: Vec::new(),
        })
    }

    /// Adds an image: its bytes, and what is told of it. Answers how many bytes that is.
    pub(super) async fn add(&mut self, one: &ExhibitInStore) -> Result<u64> {
        let mut bytes = 0;
        for (_, document) in &mut self.documents {
            bytes += document.add(&one.exhibit).await?;
        }
        bytes += self.tell(&one.exhibit).await?;
        self.images += 1;
        match self.sound(one).await? {
            Ok(crc32) => {
                self.original(one, crc32).await?;
                bytes += one.exhibit.bytes.unsigned_abs();
            }
            Err(why) if self.left_out.len() < LEFT_OUT_MAX => {
                tracing::error!(image = one.image_id, why, "the bytes of an image are not as they should be");
                self.left_out.push(LeftOut { md5: one.exhibit.md5.clone(), why: why.to_owned() });
            }
            Err(_) => return Err(Error::Internal("the bytes of too many images are not as they should be".into())),
        }
        Ok(bytes)
    }

    /// Writes results, tags and notes, a line each.
    async fn tell(&mut self, exhibit: &Exhibit) -> Result<u64> {
        let md5 = &exhibit.md5;
        let mut bytes = 0;
        for result in &exhibit.results {
            let text = serde_json::to_string(result).map_err(unwritten)?;
            bytes += self.line(RESULTS, format!("{{\"md5\":\"{md5}\",{}", text.trim_start_matches('{'))).await?;
            *self.models.entry((result.model.clone(), result.version.clone())).or_default() += 1;
        }
        for tag in &exhibit.tags {
            let told = json!({"md5": md5, "tag": tag.tag, "by": tag.by, "at": tag.at});
            bytes += self.line(TAGS, told.to_string()).await?;
        }
        for note in &exhibit.notes {
            let told = json!({"md5": md5, "id": note.id, "by": note.by, "text": note.text, "at": note.at});
            bytes += self.line(NOTES, told.to_string()).await?;
        }
        Ok(bytes)
    }

    async fn line(&mut self, file: usize, mut line: String) -> Result<u64> {
        line.push('\n');
        let bytes = line.len() as u64;
        self.lines[file].write(line.into()).await?;
        Ok(bytes)
    }

    /// Reads the bytes of an image; answers their checksum, or why they are not to be taken along: what is handed over is what came.
    async fn sound(&self, one: &ExhibitInStore) -> Result<std::result::Result<u32, &'static str>> {
        let (mut crc, mut md5, mut sha256) = (Crc::new(), Md5::new(), Sha256::new());
        let mut stream = match self.read(one).await {
            Ok(stream) => stream,
            Err(error) if error.is_missing() => return Ok(Err("its bytes are not in the image store")),
            Err(error) => return Err(error.into()),
        };
        while let Some(chunk) = stream.try_next().await? {
            crc.update(&chunk);
            md5.update(&chunk);
            sha256.update(&chunk);
        }
        let found = (hex::encode(md5.finalize()), hex::encode(sha256.finalize()));
        let same = (&found.0, &found.1) == (&one.exhibit.md5, &one.exhibit.sha256);
        Ok(if same { Ok(crc.sum()) } else { Err("its bytes in the image store are not those that came") })
    }

    async fn read(&self, one: &ExhibitInStore) -> std::result::Result<BytesOfImage, BlobError> {
        let sha256 = hex::decode(&one.exhibit.sha256).unwrap_or_default();
        Ok(self.blobs.read(&sha256, one.blob, None).await?.boxed())
    }

    async fn original(&mut self, one: &ExhibitInStore, crc32: u32) -> Result<()> {
        let exhibit = &one.exhibit;
        let (path, bytes) = (exhibit.path(), exhibit.bytes.unsigned_abs());
        let mut names: Vec<String> = Vec::new();
        for name in &exhibit.names {
            if !names.contains(&name.name) {
                names.push(name.name.clone());
            }
        }
        let (md5, sha256) = (exhibit.md5.clone(), exhibit.sha256.clone());
        let older_names_left_out = exhibit.older_names_left_out;
        self.header(&ManifestFile { path, bytes, md5, sha256, names, older_names_left_out }, crc32).await?;
        let (mut stream, mut crc) = (self.read(one).await?, Crc::new());
        while let Some(chunk) = stream.try_next().await? {
            crc.update(&chunk);
            self.out.write(chunk).await?;
        }
        if crc.sum() != crc32 {
            return Err(Error::Internal("the bytes of an image changed while they were read".into()));
        }
        Ok(())
    }

    /// Writes what stands before the bytes of a file, and tells the manifest of it.
    async fn header(&mut self, file: &ManifestFile, crc32: u32) -> Result<()> {
        let (header, line) = self.writer.file(ArchiveFile { path: &file.path, bytes: file.bytes, crc32 });
        self.out.write(header.into()).await?;
        self.directory.write(line.into()).await?;
        if let Some(manifest) = &mut self.manifest {
            let comma = if std::mem::replace(&mut self.begun, true) { ",\n" } else { "" };
            let text = serde_json::to_string(file).map_err(unwritten)?;
            manifest.write(format!("{comma}{text}").into()).await?;
        }
        Ok(())
    }

    /// Adds a file that was spooled.
    async fn file(&mut self, path: &str, staged: &Staged) -> Result<()> {
        let mut crc = Crc::new();
        let mut bytes = staged.read()?;
        while let Some(chunk) = bytes.next().await? {
            crc.update(&chunk);
        }
        let (md5, sha256) = (staged.md5.to_string(), hex::encode(staged.sha256));
        let (path, bytes) = (path.to_owned(), staged.bytes);
        let file = ManifestFile { path, bytes, md5, sha256, names: Vec::new(), older_names_left_out: false };
        self.header(&file, crc.sum()).await?;
        append(&mut self.out, staged).await
    }

    /// Writes what happened to the jobs on these images that submissions to the case asked for; answers how many bytes that is.
    pub(super) async fn audit_jobs(&mut self, ctx: &Ctx, images: &[i64]) -> Result<u64> {
        let case = self.about.case;
        let mut bytes = 0;
        for event in ctx.chores.run(async |db| contents::job_events(db, images, case).await).await? {
            bytes += self.line(AUDIT, event).await?;
        }
        Ok(bytes)
    }

    /// Writes what happened to the case itself, and the notes on it.
    async fn tell_case(&mut self, ctx: &Ctx) -> Result<()> {
        let case = self.about.case;
        let mut after = String::new();
        loop {
            let events = ctx.chores.run(async |db| contents::case_events(db, case, &after).await).await?;
            let Some((last, _)) = events.last() else { break };
            after.clone_from(last);
            for (_, event) in events {
                self.line(AUDIT, event).await?;
            }
        }
        let mut before = Uuid::max();
        loop {
            let notes = ctx.chores.run(async |db| contents::case_notes(db, case, before).await).await?;
            let Some((last, _)) = notes.last() else { return Ok(()) };
            before = *last;
            for (_, note) in notes {
                self.line(NOTES, note).await?;
            }
        }
    }

    /// Ends it.
    pub(super) async fn finish(mut self, ctx: &Ctx) -> Result<Staged> {
        self.tell_case(ctx).await?;
        for (path, document) in std::mem::take(&mut self.documents) {
            let staged = document.finish().await?;
            self.file(path, &staged).await?;
        }
        for (path, lines) in LINES.into_iter().zip(std::mem::take(&mut self.lines)) {
            let staged = lines.finish().await?;
            self.file(path, &staged).await?;
        }
        let mut readme = Staging::begin(&self.blobs).await?;
        readme.write(Bytes::from_static(README.as_bytes())).await?;
        self.file("README.txt", &readme.finish().await?).await?;
        if let Some(mut manifest) = self.manifest.take() {
            let told = |((model, version), results)| ModelTold { model, version, results };
            let models: Vec<ModelTold> = std::mem::take(&mut self.models).into_iter().map(told).collect();
            let end = manifest::foot(self.images, &models, &self.left_out).map_err(unwritten)?;
            manifest.write(end.into()).await?;
            self.file(MANIFEST, &manifest.finish().await?).await?;
        }
        let directory = self.directory.finish().await?;
        append(&mut self.out, &directory).await?;
        self.out.write(self.writer.end().into()).await?;
        Ok(self.out.finish().await?)
    }
}

type BytesOfImage = BoxStream<'static, std::result::Result<Bytes, BlobError>>;

async fn append(out: &mut Staging, staged: &Staged) -> Result<()> {
    let mut bytes = staged.read()?;
    while let Some(chunk) = bytes.next().await? {
        out.write(chunk).await?;
    }
    Ok(())
}

fn unwritten(error: serde_json::Error) -> Error {
    Error::Internal(error.into())
}
