//! Photographs as data: URIs, within bounds that keep the page usable.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest, Md5};

use super::outcome::Photo;
use super::text;

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
            return Err(format!("Not embedded: the file is {} large.", text::size(photo.bytes)));
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

/// The media type by signature, if browsers show it; names of files prove nothing.
fn media_type(bytes: &[u8]) -> Result<&'static str, String> {
    let brand = |names: &[&[u8; 4]]| {
        bytes.get(4..8) == Some(b"ftyp")
            && bytes.get(8..12).is_some_and(|brand| names.iter().any(|name| brand == *name))
    };
    let not_shown = |format: &str| Err(format!("Browsers do not show {format} files."));
    if bytes.starts_with(b"\xff\xd8\xff") {
        Ok("image/jpeg")
    } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
        Ok("image/png")
    } else if bytes.starts_with(b"GIF8") {
        Ok("image/gif")
    } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
        Ok("image/webp")
    } else if bytes.starts_with(b"BM") {
        Ok("image/bmp")
    } else if brand(&[b"avif", b"avis"]) {
        Ok("image/avif")
    } else if brand(&[b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1"]) {
        not_shown("HEIC")
    } else if bytes.starts_with(b"II*\0") || bytes.starts_with(b"MM\0*") {
        not_shown("TIFF")
    } else {
        not_shown("such")
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn photo(name: &str, content: &[u8]) -> Photo {
        let path: PathBuf = std::env::temp_dir().join(format!("{}-{name}", uuid::Uuid::new_v4()));
        std::fs::write(&path, content).unwrap();
        Photo {
            name: name.to_owned(),
            path,
            md5: hex::encode(Md5::digest(content)),
            bytes: content.len() as u64,
            new: true,
            warnings: Vec::new(),
            jobs: Vec::new(),
        }
    }

    #[test]
    fn formats_are_told_by_their_bytes() {
        assert_eq!(media_type(b"\x89PNG\r\n\x1a\n...").unwrap(), "image/png");
        assert_eq!(media_type(b"\0\0\0\x20ftypavif").unwrap(), "image/avif");
        assert!(media_type(b"II*\0....").unwrap_err().contains("TIFF"));
        assert!(media_type(b"\0\0\0\x20ftypheic").unwrap_err().contains("HEIC"));
        assert!(media_type(b"<svg onload=alert(1)>").is_err());
    }

    #[test]
    fn a_full_page_and_changed_files_are_told() {
        let mut one = photo("a.gif", b"GIF89a");
        let mut budget = Budget { photos: 1, bytes: 1_000, left_out: 0 };
        assert_eq!(budget.embed(&one).unwrap(), "data:image/gif;base64,R0lGODlh");
        assert!(budget.embed(&one).unwrap_err().contains("full"));
        assert_eq!(budget.left_out, 1);
        one.md5 = "0".repeat(32);
        assert!(Budget::new().embed(&one).unwrap_err().contains("changed"));
        std::fs::remove_file(&one.path).unwrap();
        assert!(Budget::new().embed(&one).unwrap_err().contains("cannot be read"));
    }
}
