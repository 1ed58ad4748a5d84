//! PNG: the W3C's PNG 3rd edition, §5 and §11.

use super::window::{Step, Stop, Window, cut_is_truncated};
use super::{FileEnd, Flaw, Format, Structure, tiff};

const SIGNATURE_BYTES: u64 = 8;
const CRC_BYTES: u64 = 4;

/// Reads IHDR, which must be the first chunk (§5.6), and walks the chunks to IEND. Checksums are
/// not verified.
///
/// The frames are those that acTL declares (§11.3.2.1); a still image that stands beside an
/// animation is not counted.
pub(super) fn walk(window: &mut Window<'_>) -> Step<Structure> {
    window.skip(SIGNATURE_BYTES)?;
    let (length, kind) = chunk(window)?;
    if (length, &kind) != (13, b"IHDR") {
        return Err(Flaw::Malformed("a PNG that does not begin with IHDR").into());
    }
    let width = u32::from_be_bytes(window.bytes()?);
    let height = u32::from_be_bytes(window.bytes()?);
    window.bounds.admit(width, height)?;
    let (mut frames, mut orientation) = (1, None);
    let ending = cut_is_truncated(chunks(window, &mut frames, &mut orientation))?;
    Ok(Structure { format: Format::Png, width, height, frames, orientation, ending })
}

/// From within IHDR to the end of IEND.
fn chunks(window: &mut Window<'_>, frames: &mut u32, orientation: &mut Option<u8>) -> Step<FileEnd> {
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
                window.bounds.admit_frames(*frames)?;
            }
            b"eXIf" => {
                let at = window.at();
                *orientation = tiff::orientation(window, at);
            }
            b"fcTL" if length >= 12 => frame(window)?,
            _ => {}
        }
        window.jump(end)?;
    }
}

/// A frame must lie within the image (§11.3.2.2); one that does not counts for the bounds.
fn frame(window: &mut Window<'_>) -> Step<()> {
    let _sequence_number: [u8; 4] = window.bytes()?;
    let width = u32::from_be_bytes(window.bytes()?);
    let height = u32::from_be_bytes(window.bytes()?);
    Ok(window.bounds.admit(width, height)?)
}

/// The length of a chunk's data and its type (§5.3). A length is below 2³¹, a type is of letters.
fn chunk(window: &mut Window<'_>) -> Step<(u32, [u8; 4])> {
    let length = u32::from_be_bytes(window.bytes()?);
    let kind: [u8; 4] = window.bytes()?;
    if length >> 31 != 0 || !kind.iter().all(u8::is_ascii_alphabetic) {
        return Err(Stop::Cut);
    }
    Ok((length, kind))
}
