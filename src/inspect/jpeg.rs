//! JPEG: ITU-T T.81, Annex B.

use super::window::{Step, Stop, Window, cut_is_truncated};
use super::{FileEnd, Flaw, Format, Structure, tiff};

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const APP1: u8 = 0xE1;
/// What begins the segment of EXIF, before its TIFF.
const EXIF: &[u8; 6] = b"Exif\0\0";

/// What a frame header says, the position where it ends, and the orientation that was told before it.
struct Frame {
    orientation: Option<u8>,
    width: u32,
    height: u32,
    end: u64,
}

/// Walks marker segments to the frame header, and on through the scans to the EOI marker. What
/// follows EOI is trailing, also when it is a further image of a Multi-Picture Format file.
///
/// A height of 0, to be given by a DNL segment after the first scan (§B.2.5), is not supported.
pub(super) fn walk(window: &mut Window<'_>) -> Step<Structure> {
    let Frame { orientation, width, height, end } = frame_header(window)?;
    window.bounds.admit(width, height)?;
    let ending = cut_is_truncated(window.jump(end).and_then(|()| scans(window)))?;
    Ok(Structure { format: Format::Jpeg, width, height, frames: 1, orientation, ending })
}

/// Finds the first frame header: the only place with dimensions.
fn frame_header(window: &mut Window<'_>) -> Step<Frame> {
    let mut orientation = None;
    loop {
        match next_marker(window)? {
            SOS | EOI => return Err(Flaw::Malformed("a JPEG without a frame header").into()),
            marker if is_frame(marker) => return Ok(Frame { orientation, ..frame(window)? }),
            marker if stands_alone(marker) => {}
            APP1 => orientation = orientation.or(exif(window)?),
            _ => segment(window)?,
        }
    }
}

/// From the first frame header to the end of image.
fn scans(window: &mut Window<'_>) -> Step<FileEnd> {
    let mut scanned = false;
    loop {
        match next_marker(window)? {
            EOI if scanned => return Ok(window.ending()),
            EOI => return Err(Flaw::Malformed("a JPEG without a scan").into()),
            // A hierarchical JPEG has several frames, and the later ones can be larger.
            marker if is_frame(marker) => {
                let frame = frame(window)?;
                window.bounds.admit(frame.width, frame.height)?;
                window.jump(frame.end)?;
            }
            marker if stands_alone(marker) => {}
            marker => {
                segment(window)?;
                scanned |= marker == SOS;
            }
        }
    }
}

/// The next marker. In entropy-coded data 0xFF is followed by a 0 that is stuffed (§B.1.1.5), and
/// between segments by any number of 0xFF that fill (§B.1.1.2). Like decoders do, anything else
/// before a marker is passed over: so the data of a scan and stray bytes are the same to us.
fn next_marker(window: &mut Window<'_>) -> Step<u8> {
    loop {
        window.pass(0xFF)?;
        let mut marker = 0xFF;
        while marker == 0xFF {
            marker = window.byte()?;
        }
        if marker != 0 {
            return Ok(marker);
        }
    }
}

/// SOF0 to SOF15, without DHT, JPG and DAC, which lie among them (Table B.1).
fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && !matches!(marker, 0xC4 | 0xC8 | 0xCC)
}

/// TEM, RST0 to RST7, SOI: markers without a segment. EOI is met before.
fn stands_alone(marker: u8) -> bool {
    matches!(marker, 0x01 | 0xD0..=0xD7 | SOI)
}

/// Skips a segment, whose length counts its own two bytes.
fn segment(window: &mut Window<'_>) -> Step<()> {
    let length = u16::from_be_bytes(window.bytes()?);
    window.skip(u64::from(length.checked_sub(2).ok_or(Stop::Cut)?))
}

/// Skips an APP1 segment, which may be that of EXIF: then the orientation is read.
fn exif(window: &mut Window<'_>) -> Step<Option<u8>> {
    let start = window.at();
    segment(window)?;
    let end = window.at();
    if end - start < EXIF.len() as u64 + 2 {
        return Ok(None);
    }
    window.jump(start + 2)?;
    let is_exif = &window.bytes()? == EXIF;
    let at = window.at();
    let orientation = is_exif.then(|| tiff::orientation(window, at)).flatten();
    window.jump(end)?;
    Ok(orientation)
}

/// Reads a frame header (§B.2.2): length, precision, lines, samples per line, components.
fn frame(window: &mut Window<'_>) -> Step<Frame> {
    let start = window.at();
    let [l1, l2, _precision, y1, y2, x1, x2] = window.bytes()?;
    let length = u16::from_be_bytes([l1, l2]);
    if length < 8 {
        return Err(Stop::Cut);
    }
    Ok(Frame {
        orientation: None,
        width: u32::from(u16::from_be_bytes([x1, x2])),
        height: u32::from(u16::from_be_bytes([y1, y2])),
        end: start + u64::from(length),
    })
}
