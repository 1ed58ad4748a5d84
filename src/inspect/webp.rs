//! WebP: RFC 9649 for the container and the lossless bitstream, RFC 6386 §9.1 for the lossy one.

use super::window::{Step, Stop, Window, cut_is_truncated};
use super::{FileEnd, Flaw, Format, Structure, tiff};

/// The RIFF size counts what follows itself.
const RIFF_HEADER_BYTES: u64 = 8;
const CHUNK_HEADER_BYTES: u64 = 8;

/// Reads the dimensions from the first chunk, `VP8 `, `VP8L` or `VP8X` (RFC 9649 §2.5 to §2.7),
/// and walks the chunks to the end of the RIFF, counting `ANMF`. An animation's dimensions are its
/// canvas.
pub(super) fn walk(window: &mut Window<'_>) -> Step<Structure> {
    let _riff: [u8; 4] = window.bytes()?;
    let size = u32::from_le_bytes(window.bytes()?);
    let _webp: [u8; 4] = window.bytes()?;
    let mut end = RIFF_HEADER_BYTES + u64::from(size);
    // An odd RIFF is padded, but not every writer does it.
    if size % 2 == 1 && end < window.len() {
        end += 1;
    }
    let (kind, first_end) = chunk(window)?;
    let (width, height) = match &kind {
        b"VP8X" => canvas(window)?,
        b"VP8 " => lossy(window)?,
        b"VP8L" => lossless(window)?,
        _ => return Err(Flaw::Malformed("a WebP without an image chunk").into()),
    };
    window.bounds.admit(width, height)?;
    let mut pictures = u32::from(&kind != b"VP8X");
    let mut orientation = None;
    let walked = within(first_end, end)
        .and_then(|next| window.jump(next))
        .and_then(|()| chunks(window, end, &mut pictures, &mut orientation));
    let ending = cut_is_truncated(walked)?;
    Ok(Structure { format: Format::Webp, width, height, frames: pictures.max(1), orientation, ending })
}

/// From the second chunk to the end of the RIFF.
fn chunks(window: &mut Window<'_>, end: u64, pictures: &mut u32, orientation: &mut Option<u8>) -> Step<FileEnd> {
    let mut still = *pictures > 0;
    while window.at() + CHUNK_HEADER_BYTES <= end {
        let (kind, chunk_end) = chunk(window)?;
        let chunk_end = within(chunk_end, end)?;
        let frame = match &kind {
            b"ANMF" => {
                *pictures = pictures.saturating_add(1);
                window.bounds.admit_frames(*pictures)?;
                window.skip(6)?;
                Some(dimensions_24_bit(window)?)
            }
            b"VP8 " => Some(lossy(window)?),
            b"VP8L" => Some(lossless(window)?),
            b"EXIF" => {
                let at = window.at();
                *orientation = tiff::orientation(window, at);
                None
            }
            _ => None,
        };
        if let Some((width, height)) = frame {
            window.bounds.admit(width, height)?;
            still = true;
        }
        window.jump(chunk_end)?;
    }
    window.jump(end)?;
    if !still {
        return Err(Flaw::Malformed("a WebP without an image chunk").into());
    }
    Ok(window.ending())
}

/// The type of a chunk, and the position after its data and the byte that pads them to an even size.
fn chunk(window: &mut Window<'_>) -> Step<([u8; 4], u64)> {
    let kind = window.bytes()?;
    let size = u64::from(u32::from_le_bytes(window.bytes()?));
    Ok((kind, window.at() + size.next_multiple_of(2)))
}

/// The end of a chunk that may lack its padding, but must not leave the RIFF.
fn within(chunk_end: u64, end: u64) -> Step<u64> {
    if chunk_end > end.saturating_add(1) { Err(Stop::Cut) } else { Ok(chunk_end.min(end)) }
}

/// The canvas of `VP8X`, after flags and a reserved field (RFC 9649 §2.7).
fn canvas(window: &mut Window<'_>) -> Step<(u32, u32)> {
    window.skip(4)?;
    dimensions_24_bit(window)
}

/// Width and height, each 24 bits and one less than meant.
fn dimensions_24_bit(window: &mut Window<'_>) -> Step<(u32, u32)> {
    let [w1, w2, w3, h1, h2, h3] = window.bytes()?;
    Ok((u32::from_le_bytes([w1, w2, w3, 0]) + 1, u32::from_le_bytes([h1, h2, h3, 0]) + 1))
}

/// The frame header of a VP8 key frame: tag, start code, then 14 bits each beside 2 of scaling.
fn lossy(window: &mut Window<'_>) -> Step<(u32, u32)> {
    let [_, _, _, s1, s2, s3, w1, w2, h1, h2] = window.bytes()?;
    if [s1, s2, s3] != [0x9D, 0x01, 0x2A] {
        return Err(Flaw::Malformed("a WebP without a key frame").into());
    }
    let side = |low, high| u32::from(u16::from_le_bytes([low, high]) & 0x3FFF);
    Ok((side(w1, w2), side(h1, h2)))
}

/// The header of the lossless bitstream: 14 bits each, one less than meant (RFC 9649 §3.4).
fn lossless(window: &mut Window<'_>) -> Step<(u32, u32)> {
    let [signature, b1, b2, b3, b4] = window.bytes()?;
    if signature != 0x2F {
        return Err(Flaw::Malformed("a WebP whose lossless image has no signature").into());
    }
    let bits = u32::from_le_bytes([b1, b2, b3, b4]);
    Ok(((bits & 0x3FFF) + 1, ((bits >> 14) & 0x3FFF) + 1))
}
