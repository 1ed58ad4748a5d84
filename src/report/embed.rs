//! Photographs as data: URIs: small pictures of them, or the files as they are, within bounds that keep the page usable.

use std::fs::File;
use std::io::{Cursor, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::codecs::jpeg::JpegEncoder;
use image::{DynamicImage, ImageDecoder, ImageReader, ImageResult, Limits};
use indicatif::HumanBytes;
use md5::{Digest, Md5};

use crate::client::outcome::Photo;
use crate::inspect::{Bounds, Format, inspect};

/// Bytes of pictures embedded in one page at most; a browser opens a few hundred MiB.
pub(super) const PAGE_BYTES_MAX: usize = 256 << 20;
/// Bytes of one photograph that is read for the page at most.
const PHOTO_BYTES_MAX: u64 = 64 << 20;
/// The longer side of a small picture, in pixels: enough for a card that is enlarged on a laptop.
const SMALL_SIDE: u32 = 960;
/// JPEG quality of a small picture: about 100 kB each.
const SMALL_QUALITY: u8 = 78;
/// Memory for the pixels of one photograph at most, in bytes.
const PIXEL_BYTES_MAX: u64 = 1 << 30;
/// A file of a format that cannot be made small is embedded as it is up to this size, in bytes.
const AS_IT_IS_MAX: usize = 2 << 20;

/// How photographs are embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pictures {
    /// As upright JPEG of at most 960 pixels a side.
    Small,
    /// As the files are.
    Full,
}

/// What the page may still take in.
pub(super) struct Budget {
    pictures: Pictures,
    bytes: usize,
    /// Photographs left out because the page was full.
    pub(super) left_out: usize,
}

impl Budget {
    pub(super) fn new(pictures: Pictures) -> Self {
        Self { pictures, bytes: PAGE_BYTES_MAX, left_out: 0 }
    }

    /// The photograph as a data: URI, or a sentence on why it is not shown.
    pub(super) fn embed(&mut self, photo: &Photo) -> Result<String, String> {
        if photo.bytes > PHOTO_BYTES_MAX {
            return Err(format!("Not embedded: the file is {} large.", HumanBytes(photo.bytes)));
        }
        if self.bytes == 0 {
            self.left_out += 1;
            return Err("Not embedded: the page is full.".to_owned());
        }
        let bytes = read(&photo.path).map_err(|error| format!("The file cannot be read: {error}."))?;
        if hex::encode(Md5::digest(&bytes)) != photo.md5 {
            return Err("The file has changed since it was submitted.".to_owned());
        }
        let (media_type, bytes) = self.shown(bytes)?;
        if bytes.len() > self.bytes {
            (self.bytes, self.left_out) = (0, self.left_out + 1);
            return Err("Not embedded: the page is full.".to_owned());
        }
        self.bytes -= bytes.len();
        let mut uri = format!("data:{media_type};base64,");
        STANDARD.encode_string(&bytes, &mut uri);
        Ok(uri)
    }

    fn shown(&self, bytes: Vec<u8>) -> Result<(&'static str, Vec<u8>), String> {
        let media_type = media_type(&bytes);
        if self.pictures == Pictures::Full {
            return Ok((media_type?, bytes));
        }
        match (small(&bytes), media_type) {
            (Ok(small), _) => Ok(("image/jpeg", small)),
            (Err(_), Ok(media_type)) if bytes.len() <= AS_IT_IS_MAX => Ok((media_type, bytes)),
            (Err(error), Ok(_)) => Err(format!("No small picture could be made: {error}.")),
            (Err(_), Err(why)) => Err(why),
        }
    }
}

/// A small picture, upright: the marks are in fractions of the upright photograph.
fn small(bytes: &[u8]) -> ImageResult<Vec<u8>> {
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(PIXEL_BYTES_MAX);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    let orientation = decoder.orientation()?;
    let mut picture = DynamicImage::from_decoder(decoder)?;
    if picture.width().max(picture.height()) > SMALL_SIDE {
        picture = picture.thumbnail(SMALL_SIDE, SMALL_SIDE);
    }
    picture.apply_orientation(orientation);
    let mut small = Vec::new();
    picture.to_rgb8().write_with_encoder(JpegEncoder::new_with_quality(&mut small, SMALL_QUALITY))?;
    Ok(small)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_picture_is_upright_and_small() {
        let sideways = std::fs::read("examples/photos/astronaut_sideways.jpg").unwrap();
        let size = |bytes: &[u8]| {
            let picture = image::load_from_memory(bytes).unwrap();
            (picture.width(), picture.height())
        };
        let (width, height) = size(&sideways);
        let made = small(&sideways).unwrap();
        assert!(made.len() < 150_000 && size(&made).0.max(size(&made).1) <= SMALL_SIDE);
        assert_eq!((width > height, size(&made).0 > size(&made).1), (true, false), "turned by its EXIF");
    }
}
