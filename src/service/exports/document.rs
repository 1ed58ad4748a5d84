//! A document of an export on its way to the disk: what is written of one image after the other is spooled, and never whole in memory.

use crate::blob::{Blobs, Staged, Staging};
use crate::domain::exhibit::Exhibit;
use crate::domain::export::ExportFormat;
use crate::export::{DocumentWriter, ExportAbout, Pieces};
use crate::service::{Error, Result};

pub(super) struct Document {
    writer: DocumentWriter,
    main: Staging,
    aside: Staging,
    pieces: Pieces,
}

impl Document {
    /// Begins one; nothing of an archive.
    pub(super) async fn begin(blobs: &Blobs, format: ExportFormat, about: &ExportAbout) -> Result<Option<Self>> {
        let mut pieces = Pieces::default();
        let Some(writer) = DocumentWriter::begin(format, about, &mut pieces) else { return Ok(None) };
        Ok(Some(Self { writer, main: Staging::begin(blobs).await?, aside: Staging::begin(blobs).await?, pieces }))
    }

    /// Writes what is told of an image; answers how many bytes that is.
    pub(super) async fn add(&mut self, exhibit: &Exhibit) -> Result<u64> {
        self.writer.add(exhibit, &mut self.pieces).map_err(|error| Error::Internal(error.into()))?;
        self.flush().await
    }

    async fn flush(&mut self) -> Result<u64> {
        let Pieces { main, aside } = std::mem::take(&mut self.pieces);
        let bytes = main.len() + aside.len();
        self.main.write(main.into()).await?;
        self.aside.write(aside.into()).await?;
        Ok(bytes as u64)
    }

    /// Ends it.
    pub(super) async fn finish(mut self) -> Result<Staged> {
        self.flush().await?;
        let ending = self.writer.end();
        self.main.write(ending.between.into()).await?;
        let mut aside = self.aside.finish().await?.read()?;
        while let Some(chunk) = aside.next().await? {
            self.main.write(chunk).await?;
        }
        self.main.write(ending.last.into()).await?;
        Ok(self.main.finish().await?)
    }
}
