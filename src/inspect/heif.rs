//! HEIC and AVIF: ISO/IEC 14496-12 for boxes and tracks, ISO/IEC 23008-12 for items and the brands
//! of HEIF, the AV1 Image File Format §6 for its brands.

mod boxes;
mod contents;

use super::window::{Step, Window, cut_is_truncated};
use super::{Flaw, Format, Structure};
use contents::Contents;

/// The brands that are looked at. Real files have fewer than twenty.
const MAX_BRANDS: u32 = 256;

/// Reads the brands, then walks the boxes to the end of the file.
///
/// The dimensions are the primary item's, if `pitm` and `ipma` lead to its `ispe`, else those of
/// the largest item, else those of the largest track. All of them count for the bounds. A file is
/// one frame however many items it has, unless a brand says that it is a sequence: then the frames
/// are the samples of its longest picture track.
pub(super) fn walk(window: &mut Window<'_>) -> Step<Structure> {
    let brands = brands(window)?;
    let format = brands.format.ok_or(Flaw::NotAnImage)?;
    let mut contents = Contents::new(brands.sequence);
    let ending = cut_is_truncated(contents.walk(window))?;
    let extent = contents.extent(window)?;
    let (width, height) = extent.ok_or(Flaw::Malformed("a HEIF without an image extent"))?;
    Ok(Structure { format, width, height, frames: contents.frames(), orientation: None, ending })
}

/// What the file type box says.
#[derive(Default)]
struct Brands {
    format: Option<Format>,
    sequence: bool,
}

/// Reads the major and the compatible brands (ISO/IEC 14496-12 §4.3). The first brand of a codec
/// decides between HEIC and AVIF; without any, the brands of the container mean HEIC.
fn brands(window: &mut Window<'_>) -> Step<Brands> {
    let end = boxes::head(window, window.len())?.ok_or(Flaw::NotAnImage)?.end;
    let mut brands = Brands::default();
    let mut container = false;
    for index in 0..MAX_BRANDS {
        if window.at() + 4 > end.min(window.len()) {
            break;
        }
        let brand: [u8; 4] = window.bytes()?;
        // The second field is a version, not a brand.
        if index == 1 {
            continue;
        }
        let format = match &brand {
            b"avif" | b"avis" => Some(Format::Avif),
            b"heic" | b"heix" | b"heim" | b"heis" => Some(Format::Heic),
            b"hevc" | b"hevx" | b"hevm" | b"hevs" => Some(Format::Heic),
            _ => None,
        };
        brands.format = brands.format.or(format);
        container |= matches!(&brand, b"mif1" | b"msf1");
        let sequences = [b"avis", b"msf1", b"hevc", b"hevx", b"hevm", b"hevs"];
        brands.sequence |= sequences.contains(&&brand);
    }
    if container {
        brands.format = brands.format.or(Some(Format::Heic));
    }
    window.jump(0)?;
    Ok(brands)
}
