//! Photographs as data: URIs, within bounds that keep the page usable.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use indicatif::HumanBytes;
use md5::{Digest, Md5};

use crate::client::outcome::Photo;
use crate::inspect::{Bounds, Format, inspect};

/// Photographs embedded in one page at most.
pub(super) const PHOTOS_MAX: usize = 500;
/// Bytes of photographs embedded in one page at most; a browser opens a few hundred MiB.
const PAGE_BYTES_MAX: u64 = 256 << 20;
/// Bytes of one embedded photograph at most.
const PHOTO_BYTES_MAX: u64 = 32 << 20;

/// What the page may still take in.
pub(super) struct Budget {
    photos: usize,
    bytes: u64,
    /// Photographs left out because the page was full.
    pub(super) left_out: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { photos: PHOTOS_MAX, bytes: PAGE_BYTES_MAX, left_out: 0 }
    }

    /// The photograph as a data: URI, or a sentence on why it is not shown.
    pub(super) fn embed(&mut self, photo: &Photo) -> Result<String, String> {
        if self.photos == 0 || photo.bytes > self.bytes {
            self.left_out += 1;
            return Err("Not embedded: the page is full.".to_owned());
        }
        if photo.bytes > PHOTO_BYTES_MAX {
            return Err(format!("Not embedded: the file is {} large.", HumanBytes(photo.bytes)));
        }
        let bytes = read(&photo.path).map_err(|error| format!("The file cannot be read: {error}."))?;
        if hex::encode(Md5::digest(&bytes)) != photo.md5 {
            return Err("The file has changed since it was submitted.".to_owned());
        }
        let media_type = media_type(&bytes)?;
        self.photos -= 1;
        self.bytes -= photo.bytes;
        let mut uri = format!("data:{media_type};base64,");
        STANDARD.encode_string(&bytes, &mut uri);
        Ok(uri)
    }
}

/// Reads a file, but no more than may be embedded: it may have grown.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(PHOTO_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The media type by the file's structure, if browsers show it; names of files prove nothing.
fn media_type(bytes: &[u8]) -> Result<&'static str, String> {
    let unbounded = Bounds { max_pixels: u64::MAX, max_frames: u32::MAX, max_side: u32::MAX };
    let structure = inspect(&mut Cursor::new(bytes), bytes.len() as u64, &unbounded);
    let format = structure.ok().and_then(Result::ok).map(|structure| structure.format);
    match format {
        Some(Format::Heic) => Err("Browsers do not show HEIC files.".to_owned()),
        Some(Format::Tiff) => Err("Browsers do not show TIFF files.".to_owned()),
        Some(format) => Ok(format.media_type()),
        None => Err("Browsers do not show such files.".to_owned()),
    }
}
