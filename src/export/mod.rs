//! What is taken away, as files: a file for each format. Pure, and bounded: each turns one image after the other into text, and keeps
//! nothing of those before but what its format must say at the end.

pub mod archive;
mod case;
pub mod cell;
mod coco;
mod csv;
pub mod manifest;
mod pieces;
mod result;
pub mod verify;

use self::case::CaseGraph;
use self::coco::Coco;
pub use self::pieces::{DocumentEnd, ExportAbout, Pieces};
use crate::domain::exhibit::Exhibit;
use crate::domain::export::ExportFormat;

/// The documents of an archive, and where each lies there.
pub const DOCUMENTS: [(ExportFormat, &str); 4] = [
    (ExportFormat::Ndjson, "images.ndjson"),
    (ExportFormat::Csv, "images.csv"),
    (ExportFormat::Coco, "coco.json"),
    (ExportFormat::Case, "case.jsonld"),
];
/// What an archive says of itself to people.
pub const README: &str = include_str!("readme.txt");

/// A document that is being written, an image at a time.
#[derive(Debug)]
pub enum DocumentWriter {
    Csv,
    Ndjson,
    Coco(Coco),
    Case(Box<CaseGraph>),
}

impl DocumentWriter {
    /// Begins a document; nothing of an archive, which has several.
    pub fn begin(format: ExportFormat, about: &ExportAbout, out: &mut Pieces) -> Option<Self> {
        Some(match format {
            ExportFormat::Csv => {
                csv::begin(&mut out.main);
                Self::Csv
            }
            ExportFormat::Ndjson => Self::Ndjson,
            ExportFormat::Coco => Self::Coco(Coco::begin(about, out)),
            ExportFormat::Case => Self::Case(Box::new(CaseGraph::begin(about, out))),
            ExportFormat::Zip => return None,
        })
    }

    /// Writes all that its format tells of an image.
    ///
    /// # Errors
    /// Something of it is no JSON, as a damaged row of the database would be.
    pub fn add(&mut self, exhibit: &Exhibit, out: &mut Pieces) -> serde_json::Result<()> {
        match self {
            Self::Csv => csv::add(exhibit, &mut out.main)?,
            Self::Ndjson => {
                out.main.push_str(&serde_json::to_string(exhibit)?);
                out.main.push('\n');
            }
            Self::Coco(coco) => coco.add(exhibit, out)?,
            Self::Case(graph) => graph.add(exhibit, out)?,
        }
        Ok(())
    }

    /// How the document ends.
    pub fn end(self) -> DocumentEnd {
        match self {
            Self::Csv | Self::Ndjson => DocumentEnd::default(),
            Self::Coco(coco) => coco.end(),
            Self::Case(graph) => graph.end(),
        }
    }
}
