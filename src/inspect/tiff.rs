//! TIFF: TIFF 6.0, §2 and §8, and BigTIFF as the LibTIFF project describes it.

mod directory;
mod exif;
mod layout;

use super::window::{Step, Stop, Window, cut_is_truncated};
use super::{FileEnd, Flaw, Format, Structure};
use directory::Directory;
pub(super) use exif::orientation;
use layout::ByteLayout;

/// Walks the chain of image file directories. Each is a frame, also one of reduced resolution;
/// those that only a tag points at (SubIFDs, EXIF) are not. The dimensions are the first one's.
///
/// The file is truncated when a directory, a value, a strip or a tile runs past its end.
pub(super) fn walk(window: &mut Window<'_>) -> Step<Structure> {
    let (layout, first) = header(window)?;
    let mut pages = Pages::default();
    let ending = cut_is_truncated(pages.follow(window, layout, first))?;
    let (width, height) = pages.first.ok_or(Flaw::Malformed("a TIFF without a page"))?;
    let orientation = orientation(window, 0);
    Ok(Structure { format: Format::Tiff, width, height, frames: pages.count, orientation, ending })
}

/// The byte order, the version and the offset of the first directory.
fn header(window: &mut Window<'_>) -> Step<(ByteLayout, u64)> {
    let order: [u8; 2] = window.bytes()?;
    let mut layout = ByteLayout { big_endian: &order == b"MM", big: false };
    layout.big = layout.number(window, 2)? == 43;
    if layout.big && (layout.number(window, 2)?, layout.number(window, 2)?) != (8, 0) {
        return Err(Flaw::Malformed("a BigTIFF whose offsets do not have 8 bytes").into());
    }
    Ok((layout, layout.offset(window)?))
}

/// The pages found so far.
#[derive(Default)]
struct Pages {
    first: Option<(u32, u32)>,
    count: u32,
}

impl Pages {
    /// Follows the chain from a directory's offset to the offset 0.
    fn follow(&mut self, window: &mut Window<'_>, layout: ByteLayout, mut at: u64) -> Step<FileEnd> {
        let mut guard = LoopGuard { seen: 0, steps: 0, limit: 1 };
        let mut whole = true;
        while at != 0 {
            guard.pass(at)?;
            let mut directory = Directory::default();
            let next = match directory.read(window, layout, at) {
                // Dimensions come early, so a directory that is cut off can still be a page.
                Err(Stop::Cut) if directory.width.is_some() && directory.height.is_some() => None,
                other => Some(other?),
            };
            let (width, height) = directory.dimensions()?;
            window.bounds.admit(width, height)?;
            self.count = self.count.saturating_add(1);
            window.bounds.admit_frames(self.count)?;
            self.first.get_or_insert((width, height));
            at = next.ok_or(Stop::Cut)?;
            whole &= directory.is_within(window, layout)?;
        }
        Ok(if whole { FileEnd::Exact } else { FileEnd::Truncated })
    }
}

/// Brent's cycle detection: finds a chain that returns to itself without remembering all of it.
struct LoopGuard {
    seen: u64,
    steps: u64,
    limit: u64,
}

impl LoopGuard {
    fn pass(&mut self, at: u64) -> Step<()> {
        if at == self.seen {
            return Err(Flaw::Malformed("a TIFF whose directories form a loop").into());
        }
        self.steps += 1;
        if self.steps == self.limit {
            (self.seen, self.steps, self.limit) = (at, 0, self.limit.saturating_mul(2));
        }
        Ok(())
    }
}
