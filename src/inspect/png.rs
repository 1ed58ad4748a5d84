//! PNG: the W3C's PNG 3rd edition, §5 and §11.

use std::io::{Read, Seek};

use super::window::{Step, Stop, Window, cut_is_truncated};
use super::{Bounds, FileEnd, Flaw, Format, Structure};

const SIGNATURE_BYTES: u64 = 8;
const CRC_BYTES: u64 = 4;

/// Reads IHDR, which must be the first chunk (§5.6), and walks the chunks to IEND. Checksums are
/// not verified.
///
/// The frames are those that acTL declares (§11.3.2.1); a still image that stands beside an
/// animation is not counted.
pub(super) fn walk<R: Read + Seek>(window: &mut Window<'_, R>, bounds: &Bounds) -> Step<Structure> {
    window.skip(SIGNATURE_BYTES)?;
    let (length, kind) = chunk(window)?;
    if (length, &kind) != (13, b"IHDR") {
        return Err(Flaw::Malformed("a PNG that does not begin with IHDR").into());
    }
    let width = u32::from_be_bytes(window.bytes()?);
    let height = u32::from_be_bytes(window.bytes()?);
    bounds.admit(width, height)?;
    let mut frames = 1;
    bounds.admit_frames(frames)?;
    let ending = cut_is_truncated(chunks(window, bounds, &mut frames))?;
    Ok(Structure { format: Format::Png, width, height, frames, ending })
}

/// From within IHDR to the end of IEND.
fn chunks<R: Read + Seek>(window: &mut Window<'_, R>, bounds: &Bounds, frames: &mut u32) -> Step<FileEnd> {
    // Depth, colour type, compression, filter and interlace end IHDR.
    window.skip(5 + CRC_BYTES)?;
    let mut pixels = false;
    loop {
        let (length, kind) = chunk(window)?;
        let end = window.at() + u64::from(length) + CRC_BYTES;
        match &kind {
            b"IEND" => {
                window.jump(end)?;
                let missing = Flaw::Malformed("a PNG without IDAT");
                return if pixels { Ok(window.ending()) } else { Err(missing.into()) };
            }
            b"IDAT" => pixels = true,
            // After IDAT it would come too late to make an animation.
            b"acTL" if !pixels && length >= 4 => {
                *frames = u32::from_be_bytes(window.bytes()?).max(1);
                bounds.admit_frames(*frames)?;
            }
            b"fcTL" if length >= 12 => frame(window, bounds)?,
            _ => {}
        }
        window.jump(end)?;
    }
}

/// A frame must lie within the image (§11.3.2.2); one that does not counts for the bounds.
fn frame<R: Read + Seek>(window: &mut Window<'_, R>, bounds: &Bounds) -> Step<()> {
    let _sequence_number: [u8; 4] = window.bytes()?;
    let width = u32::from_be_bytes(window.bytes()?);
    let height = u32::from_be_bytes(window.bytes()?);
    Ok(bounds.admit(width, height)?)
}

/// The length of a chunk's data and its type (§5.3). A length is below 2³¹, a type is of letters.
fn chunk<R: Read + Seek>(window: &mut Window<'_, R>) -> Step<(u32, [u8; 4])> {
    let length = u32::from_be_bytes(window.bytes()?);
    let kind: [u8; 4] = window.bytes()?;
    if length >> 31 != 0 || !kind.iter().all(u8::is_ascii_alphabetic) {
        return Err(Stop::Cut);
    }
    Ok((length, kind))
}
