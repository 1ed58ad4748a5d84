//! The one thing that is read of EXIF: how the picture is to be turned. EXIF is a TIFF within other formats (CIPA DC-008 §4.5).

use super::super::window::{Step, Window};
use super::layout::ByteLayout;

const ORIENTATION: u64 = 274;
const SHORT: u64 = 3;
const ENTRY_BYTES: u64 = 12;

/// The orientation, 1 to 8, that the TIFF from `base` on gives its first picture; nothing where it gives none, or makes no sense:
/// then the picture is shown as it is stored. Leaves the position anywhere.
pub(in super::super) fn orientation(window: &mut Window<'_>, base: u64) -> Option<u8> {
    read(window, base).ok().flatten()
}

fn read(window: &mut Window<'_>, base: u64) -> Step<Option<u8>> {
    window.jump(base)?;
    let order: [u8; 2] = window.bytes()?;
    let layout = ByteLayout { big_endian: &order == b"MM", big: false };
    if layout.number(window, 2)? != 42 {
        return Ok(None);
    }
    let first = base.saturating_add(layout.offset(window)?);
    let entries = layout.number_at(window, first, 2)?;
    for entry in 0..entries {
        let at = first.saturating_add(2 + entry * ENTRY_BYTES);
        if layout.number_at(window, at, 2)? == ORIENTATION {
            let kind = layout.number(window, 2)?;
            let value = layout.number_at(window, at + 8, 2)?;
            return Ok(u8::try_from(value).ok().filter(|value| kind == SHORT && (1..=8).contains(value)));
        }
    }
    Ok(None)
}
