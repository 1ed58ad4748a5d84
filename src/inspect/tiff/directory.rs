//! Image file directories: TIFF 6.0 §2.

use super::super::structure::Flaw;
use super::super::window::{Step, Window};
use super::layout::ByteLayout;

const IMAGE_WIDTH: u16 = 256;
const IMAGE_LENGTH: u16 = 257;
/// Tags that hold offsets, each with the tag that holds the sizes: strips, tiles, and the JPEG
/// stream of TIFF 6.0 §22.
const EXTENTS: [(u16, u16); 3] = [(273, 279), (324, 325), (513, 514)];
/// Offsets and sizes read at once: two tables of 4 KiB.
const BATCH: usize = 512;

/// What is used of an image file directory.
#[derive(Default)]
pub(super) struct Directory {
    pub width: Option<u64>,
    pub height: Option<u64>,
    offsets: [Option<Table>; EXTENTS.len()],
    sizes: [Option<Table>; EXTENTS.len()],
    /// The end of the farthest value that is not within its entry.
    end: u64,
}

/// The values of an entry: `count` numbers of `bytes` each, from `at`.
#[derive(Clone, Copy)]
struct Table {
    at: u64,
    count: u64,
    bytes: u64,
}

impl Directory {
    /// Reads the entries at an offset; returns the offset of the next directory.
    pub(super) fn read(&mut self, window: &mut Window<'_>, layout: ByteLayout, at: u64) -> Step<u64> {
        window.jump(at)?;
        let entries = layout.number(window, if layout.big { 8 } else { 2 })?;
        for _ in 0..entries {
            self.entry(window, layout)?;
        }
        layout.offset(window)
    }

    /// Reads an entry: tag, type, count, then the values, or their offset if they do not fit.
    fn entry(&mut self, window: &mut Window<'_>, layout: ByteLayout) -> Step<()> {
        let tag = layout.number(window, 2)?;
        let bytes = type_bytes(layout.number(window, 2)?);
        let count = layout.offset(window)?;
        let field = window.at();
        let mut table = Table { at: field, count, bytes };
        if table.size() > layout.offset_bytes() {
            table.at = layout.offset(window)?;
            self.end = self.end.max(table.at.saturating_add(table.size()));
        }
        let is = |known: u16| tag == u64::from(known);
        if is(IMAGE_WIDTH) && count == 1 && bytes > 1 {
            self.width = Some(layout.number_at(window, table.at, bytes)?);
        } else if is(IMAGE_LENGTH) && count == 1 && bytes > 1 {
            self.height = Some(layout.number_at(window, table.at, bytes)?);
        } else if bytes > 0 {
            for (i, (offset_tag, size_tag)) in EXTENTS.into_iter().enumerate() {
                if is(offset_tag) {
                    self.offsets[i] = Some(table);
                } else if is(size_tag) {
                    self.sizes[i] = Some(table);
                }
            }
        }
        window.jump(field.saturating_add(layout.offset_bytes()))
    }

    /// The dimensions, which a directory must have and which BigTIFF could make too long.
    pub(super) fn dimensions(&self) -> Result<(u32, u32), Flaw> {
        let missing = Flaw::Malformed("a TIFF directory without dimensions");
        let (width, height) = self.width.zip(self.height).ok_or(missing)?;
        let too_long = |_| Flaw::Malformed("a TIFF whose dimensions do not fit 32 bits");
        Ok((u32::try_from(width).map_err(too_long)?, u32::try_from(height).map_err(too_long)?))
    }

    /// Whether all values, strips and tiles lie within the file.
    pub(super) fn is_within(&self, window: &mut Window<'_>, layout: ByteLayout) -> Step<bool> {
        // From here on tables are known to be within the file, which bounds their counts.
        if self.end > window.len() {
            return Ok(false);
        }
        for (offsets, sizes) in self.offsets.iter().zip(&self.sizes) {
            let Some(offsets) = offsets else { continue };
            // A single strip of a plain image may go without its size.
            let sizes = sizes.unwrap_or(Table { at: 0, count: offsets.count, bytes: 0 });
            let mut done = 0;
            while done < offsets.count.min(sizes.count) {
                let (mut starts, mut lengths) = ([0; BATCH], [0; BATCH]);
                offsets.load(window, layout, done, &mut starts)?;
                sizes.load(window, layout, done, &mut lengths)?;
                let end = starts.iter().zip(lengths).map(|(s, n): (&u64, u64)| s.saturating_add(n));
                if end.max().unwrap_or(0) > window.len() {
                    return Ok(false);
                }
                done += BATCH as u64;
            }
        }
        Ok(true)
    }
}

impl Table {
    /// In bytes.
    fn size(self) -> u64 {
        self.count.saturating_mul(self.bytes)
    }

    /// Copies the numbers from an index on, as many as there are.
    fn load(self, window: &mut Window<'_>, layout: ByteLayout, index: u64, numbers: &mut [u64; BATCH]) -> Step<()> {
        window.jump(self.at.saturating_add(index.saturating_mul(self.bytes)))?;
        let left = usize::try_from(self.count.saturating_sub(index)).unwrap_or(BATCH).min(BATCH);
        for number in &mut numbers[..left] {
            *number = layout.number(window, self.bytes)?;
        }
        Ok(())
    }
}

/// The size of a field type (§2); 0 if it is unknown, and its values then of no concern.
fn type_bytes(kind: u64) -> u64 {
    match kind {
        1 | 2 | 6 | 7 => 1,
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 0,
    }
}
