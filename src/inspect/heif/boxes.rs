//! Boxes of the ISO base media file format: ISO/IEC 14496-12 §4.2.

use super::super::window::{Step, Window};

/// The type of a box, of printable characters.
pub(super) type BoxKind = [u8; 4];

/// What the parent of an outermost box is called here; not the type of any box.
pub(super) const FILE: &BoxKind = &[0; 4];

/// The bytes of the shortest header.
pub(super) const HEAD_BYTES: u64 = 8;

/// The header of a box.
pub(super) struct BoxHead {
    pub kind: BoxKind,
    /// The position after the box, perhaps beyond the file.
    pub end: u64,
}

/// Takes the header of a box in a parent that ends at `limit`. `None` when it cannot be one.
pub(super) fn head(window: &mut Window<'_>, limit: u64) -> Step<Option<BoxHead>> {
    let start = window.at();
    let size = u64::from(u32::from_be_bytes(window.bytes()?));
    let kind: BoxKind = window.bytes()?;
    if !kind.iter().all(|&b| b == b' ' || b.is_ascii_graphic()) {
        return Ok(None);
    }
    let size = match size {
        0 => limit.saturating_sub(start),
        1 => u64::from_be_bytes(window.bytes()?),
        size => size,
    };
    let end = start.saturating_add(size);
    Ok((window.at() <= end).then_some(BoxHead { kind, end }))
}

/// Whether a box is walked into: `meta` to the item properties, `moov` to the sample tables. Every
/// path is of this shape, so none is deeper than five boxes.
pub(super) fn is_opened(parent: &BoxKind, kind: &BoxKind) -> bool {
    matches!(
        (parent, kind),
        (FILE, b"meta" | b"moov")
            | (b"meta", b"iprp")
            | (b"iprp", b"ipco")
            | (b"moov", b"trak")
            | (b"trak", b"mdia")
            | (b"mdia", b"minf")
            | (b"minf", b"stbl")
    )
}

/// Whether the type is one that outermost boxes have: so that a box which runs past the end of the
/// file is a box cut off, rather than bytes appended that happen to look like a header.
pub(super) fn is_outermost(kind: &BoxKind) -> bool {
    matches!(kind, b"mdat" | b"meta" | b"moov" | b"moof" | b"free" | b"skip" | b"uuid" | b"mpvd" | b"mfra")
}
