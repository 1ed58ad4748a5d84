//! How numbers lie in a TIFF.

use super::super::window::{Step, Window};

/// The byte order and the width of offsets, which hold for the whole file.
#[derive(Clone, Copy)]
pub(super) struct ByteLayout {
    pub(super) big_endian: bool,
    /// BigTIFF.
    pub(super) big: bool,
}

impl ByteLayout {
    pub(super) fn offset_bytes(self) -> u64 {
        if self.big { 8 } else { 4 }
    }

    /// Takes an offset, or a count, which has the same width.
    pub(super) fn offset(self, window: &mut Window<'_>) -> Step<u64> {
        self.number(window, self.offset_bytes())
    }

    /// Reads a number elsewhere.
    pub(super) fn number_at(self, window: &mut Window<'_>, at: u64, bytes: u64) -> Step<u64> {
        window.jump(at)?;
        self.number(window, bytes)
    }

    /// Takes an unsigned number of 1, 2, 4 or 8 bytes. A size of 0 is that of a missing value: 0.
    pub(super) fn number(self, window: &mut Window<'_>, bytes: u64) -> Step<u64> {
        Ok(match (bytes, self.big_endian) {
            (0, _) => 0,
            (1, _) => u64::from(window.byte()?),
            (2, true) => u64::from(u16::from_be_bytes(window.bytes()?)),
            (2, false) => u64::from(u16::from_le_bytes(window.bytes()?)),
            (4, true) => u64::from(u32::from_be_bytes(window.bytes()?)),
            (4, false) => u64::from(u32::from_le_bytes(window.bytes()?)),
            (_, true) => u64::from_be_bytes(window.bytes()?),
            (_, false) => u64::from_le_bytes(window.bytes()?),
        })
    }
}
