//! GIF: the GIF89a specification, §17 to §27. GIF87a is a subset of it.

use super::window::{Step, Stop, Window, cut_is_truncated};
use super::{FileEnd, Flaw, Format, Structure};

const SIGNATURE_BYTES: u64 = 6;
const IMAGE: u8 = 0x2C;
const EXTENSION: u8 = 0x21;
const TRAILER: u8 = 0x3B;

/// Reads the logical screen (§18) and walks the blocks to the trailer (§27), counting images. The
/// dimensions are the screen's; an image larger than the screen still counts for the bounds.
pub(super) fn walk(window: &mut Window<'_>) -> Step<Structure> {
    window.skip(SIGNATURE_BYTES)?;
    let width = u32::from(u16::from_le_bytes(window.bytes()?));
    let height = u32::from(u16::from_le_bytes(window.bytes()?));
    window.bounds.admit(width, height)?;
    let mut images = 0;
    let ending = cut_is_truncated(blocks(window, &mut images))?;
    Ok(Structure { format: Format::Gif, width, height, frames: images.max(1), orientation: None, ending })
}

/// From within the screen descriptor to the end of the trailer.
fn blocks(window: &mut Window<'_>, images: &mut u32) -> Step<FileEnd> {
    let [packed, _background, _aspect] = window.bytes()?;
    window.skip(colour_table_bytes(packed))?;
    loop {
        match window.byte()? {
            IMAGE => {
                *images = images.saturating_add(1);
                window.bounds.admit_frames(*images)?;
                image(window)?;
            }
            EXTENSION => {
                let _label = window.byte()?;
                sub_blocks(window)?;
            }
            TRAILER if *images > 0 => return Ok(window.ending()),
            TRAILER => return Err(Flaw::Malformed("a GIF without an image").into()),
            _ => return Err(Stop::Cut),
        }
    }
}

/// An image: descriptor (§20), local colour table (§21), data (§22).
fn image(window: &mut Window<'_>) -> Step<()> {
    let [_, _, _, _, w1, w2, h1, h2, packed] = window.bytes()?;
    let width = u32::from(u16::from_le_bytes([w1, w2]));
    let height = u32::from(u16::from_le_bytes([h1, h2]));
    // An animation may hold an empty image, only to wait for a while.
    if width != 0 && height != 0 {
        window.bounds.admit(width, height)?;
    }
    window.skip(colour_table_bytes(packed))?;
    let _minimum_code_size = window.byte()?;
    sub_blocks(window)
}

/// Sub-blocks of 1 to 255 bytes, up to an empty one (§15, §16).
fn sub_blocks(window: &mut Window<'_>) -> Step<()> {
    loop {
        match window.byte()? {
            0 => return Ok(()),
            size => window.skip(u64::from(size))?,
        }
    }
}

/// The size of the colour table that a descriptor announces, global or local.
fn colour_table_bytes(packed: u8) -> u64 {
    if packed & 0x80 == 0 { 0 } else { 3 << ((packed & 7) + 1) }
}
