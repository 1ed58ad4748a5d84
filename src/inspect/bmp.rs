//! BMP: BITMAPFILEHEADER and the headers that can follow it, in Microsoft's reference of the
//! Windows GDI and, for headers of 16 and 64 bytes, of OS/2 2.x.

use super::window::{Step, Window, cut_is_truncated};
use super::{FileEnd, Flaw, Format, Structure};

const CORE_HEADER: u32 = 12;
const OS2_HEADER: u32 = 64;

/// The fields that tell where the pixels end. Absent ones are 0.
#[derive(Default)]
struct Layout {
    bits_per_pixel: u16,
    compression: u32,
    image_bytes: u32,
}

/// Whether a file begins as a bitmap. Two letters are too weak a signature against text, so the
/// size of the second header counts as well: BITMAPCOREHEADER has 12 bytes, OS/2 2.x 16 to 64,
/// BITMAPINFOHEADER 40 and BITMAPV5HEADER 124.
pub(super) fn has_signature(head: &[u8]) -> bool {
    let size = head.get(14..18).map(|size| [size[0], size[1], size[2], size[3]]);
    let size = size.map(u32::from_le_bytes);
    head.starts_with(b"BM") && size.is_some_and(|n| matches!(n, CORE_HEADER | 16..=124))
}

/// Reads the two headers. The structure ends at `bfSize` or at the end of the pixels, whichever is
/// later, because there are writers that leave `bfSize` 0 or too small.
pub(super) fn walk(window: &mut Window<'_>) -> Step<Structure> {
    let _signature: [u8; 2] = window.bytes()?;
    let file_bytes = u32::from_le_bytes(window.bytes()?);
    let _reserved: [u8; 4] = window.bytes()?;
    let pixels_at = u32::from_le_bytes(window.bytes()?);
    let header_bytes = u32::from_le_bytes(window.bytes()?);
    let (width, height) = dimensions(window, header_bytes)?;
    window.bounds.admit(width, height)?;
    let mut layout = Layout::default();
    let header = read_layout(window, header_bytes, &mut layout).map(|()| FileEnd::Exact);
    let ending = match cut_is_truncated(header)? {
        FileEnd::Exact => {
            let pixels = pixel_bytes(width, height, header_bytes, &layout);
            let end = u64::from(pixels_at).saturating_add(pixels).max(u64::from(file_bytes));
            cut_is_truncated(window.jump(end).map(|()| window.ending()))?
        }
        cut => cut,
    };
    Ok(Structure { format: Format::Bmp, width, height, frames: 1, orientation: None, ending })
}

/// Width and height. A negative height means that the rows go from top to bottom.
fn dimensions(window: &mut Window<'_>, header_bytes: u32) -> Step<(u32, u32)> {
    if header_bytes == CORE_HEADER {
        let width = u16::from_le_bytes(window.bytes()?);
        let height = u16::from_le_bytes(window.bytes()?);
        return Ok((u32::from(width), u32::from(height)));
    }
    let width = i32::from_le_bytes(window.bytes()?);
    let height = i32::from_le_bytes(window.bytes()?);
    let width = u32::try_from(width).map_err(|_| Flaw::Malformed("a BMP of negative width"))?;
    Ok((width, height.unsigned_abs()))
}

/// The fields after the dimensions, as far as the header has them.
fn read_layout(window: &mut Window<'_>, header_bytes: u32, layout: &mut Layout) -> Step<()> {
    let _planes: [u8; 2] = window.bytes()?;
    layout.bits_per_pixel = u16::from_le_bytes(window.bytes()?);
    if header_bytes >= 20 {
        layout.compression = u32::from_le_bytes(window.bytes()?);
    }
    if header_bytes >= 24 {
        layout.image_bytes = u32::from_le_bytes(window.bytes()?);
    }
    Ok(())
}

/// The bytes of the pixels: rows padded to 4 bytes, or if they are compressed what `biSizeImage`
/// says. Compressions 3 and 6 are BI_BITFIELDS and BI_ALPHABITFIELDS, which only lay out the bits
/// of a pixel; in OS/2 2.x 3 is a Huffman code.
fn pixel_bytes(width: u32, height: u32, header_bytes: u32, layout: &Layout) -> u64 {
    let compressed = match layout.compression {
        0 => false,
        3 | 6 => header_bytes == OS2_HEADER,
        _ => true,
    };
    if compressed {
        return u64::from(layout.image_bytes);
    }
    let row_bits = u64::from(width) * u64::from(layout.bits_per_pixel);
    (row_bits.div_ceil(32) * 4).saturating_mul(u64::from(height))
}
