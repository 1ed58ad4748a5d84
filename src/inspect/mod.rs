//! The structure of an image file: its signature, its dimensions, its frames, and whether it ends
//! where it says it does. Pixels are never decoded, and of EXIF only the orientation is read.
//!
//! Every walk is bounded. Memory is one window of 64 KiB and a few tables of up to 32 KiB; work is
//! linear in the length of the file plus a constant for each frame allowed. Bytes of any kind give a
//! value: an `io::Error` means that the source itself failed.

mod bmp;
mod gif;
mod heif;
mod jpeg;
mod png;
mod structure;
mod tiff;
mod webp;
mod window;

use std::io::{self, Read, Seek};

pub use structure::{Bounds, FileEnd, Flaw, Format, Structure};
use window::{Step, Stop, Window};

/// Reads the structure of the image in the first `len` bytes of `source`, from its start.
///
/// Reads at most 4 × `len` bytes plus 32 KiB for each frame allowed, frames being no more than one
/// in 8 bytes. Leaves the position anywhere. Call it where blocking is allowed. A source that holds
/// fewer than `len` bytes is a truncated file.
pub fn inspect<R: Read + Seek>(source: &mut R, len: u64, bounds: &Bounds) -> io::Result<Result<Structure, Flaw>> {
    if len == 0 {
        return Ok(Err(Flaw::Empty));
    }
    let mut window = Window::open(source, len, bounds)?;
    match walk(&mut window) {
        Ok(structure) => Ok(Ok(structure)),
        Err(Stop::Refused(flaw)) => Ok(Err(flaw)),
        Err(Stop::Cut) => Ok(Err(Flaw::Malformed("the file breaks off before its dimensions"))),
        Err(Stop::Io(error)) => Err(error),
    }
}

/// Chooses the walk by the signature. Walks start at byte 0. The `Stop::Cut` of a walk means that
/// the file broke off before its dimensions; past them a walk gives `FileEnd::Truncated` itself.
fn walk(window: &mut Window<'_>) -> Step<Structure> {
    // Every image has one frame.
    window.bounds.admit_frames(1)?;
    let mut head = [0; 18];
    let known = window.peek(&mut head)?;
    let head = head.get(..known).unwrap_or_default();
    let has = |at: usize, part: &[u8]| head.get(at..).is_some_and(|rest| rest.starts_with(part));
    if has(0, &[0xFF, 0xD8, 0xFF]) {
        jpeg::walk(window)
    } else if has(0, b"\x89PNG\r\n\x1A\n") {
        png::walk(window)
    } else if has(0, b"GIF87a") || has(0, b"GIF89a") {
        gif::walk(window)
    } else if [b"II\x2A\0", b"II\x2B\0", b"MM\0\x2A", b"MM\0\x2B"].iter().any(|m| has(0, *m)) {
        tiff::walk(window)
    } else if has(0, b"RIFF") && has(8, b"WEBP") {
        webp::walk(window)
    } else if has(4, b"ftyp") {
        heif::walk(window)
    } else if bmp::has_signature(head) {
        bmp::walk(window)
    } else {
        Err(Flaw::NotAnImage.into())
    }
}
