//! What only one format has.

use super::*;

/// The samples, and richer files of the formats that have frames.
pub fn all() -> Vec<(Format, Vec<u8>)> {
    let mut files = samples();
    files.push((Format::Png, png(3, 2, &png_animation(5, 3, 2))));
    files.push((Format::Gif, gif(3, 2, &[(3, 2), (1, 1), (2, 2)])));
    files.push((Format::Webp, webp(&[&vp8x(3, 2), &anmf(3, 2), &anmf(1, 1)])));
    files.push((Format::Tiff, TIFF.pages(&[(3, 2), (1, 1), (5, 5)], 0)));
    files.push((Format::Avif, sequence(4)));
    files
}

const TIFF: Tiff = Tiff { big_endian: false, big: false };

fn sequence(samples: u32) -> Vec<u8> {
    let sound = track(b"soun", 0, 0, 900);
    let film = bmff(b"moov", &[&sound, &track(b"pict", 3, 2, samples)]);
    join(&[&ftyp(b"avis", &[b"avif", b"msf1"]), &film, &bmff(b"mdat", &[b"data"])])
}

fn frames(file: &[u8]) -> Result<u32, Flaw> {
    look(file).map(|found| found.frames)
}

fn size(file: &[u8]) -> Result<(u32, u32), Flaw> {
    look(file).map(|found| (found.width, found.height))
}

fn ending(file: &[u8]) -> FileEnd {
    look(file).expect("accepted").ending
}

#[test]
fn frames_are_counted_and_bounded() {
    let pages = |count| TIFF.pages(&vec![(3, 2); count], 0);
    let animation = |count| webp(&[&vp8x(3, 2), &anmf(3, 2).repeat(count)]);
    for count in [1, 2, 20] {
        let n = u32::try_from(count).expect("small");
        assert_eq!(frames(&gif(3, 2, &vec![(3, 2); count])), Ok(n));
        assert_eq!(frames(&pages(count)), Ok(n));
        assert_eq!(frames(&animation(count)), Ok(n));
        assert_eq!(frames(&png(3, 2, &png_animation(n, 3, 2))), Ok(n));
        assert_eq!(frames(&sequence(n)), Ok(n));
    }
    let too_many = Err(Flaw::TooManyFrames(21));
    assert_eq!(frames(&gif(3, 2, &[(3, 2); 40])), too_many);
    assert_eq!(frames(&pages(40)), too_many);
    assert_eq!(frames(&animation(40)), too_many);
    assert_eq!(frames(&png(3, 2, &png_animation(21, 3, 2))), too_many);
    assert_eq!(frames(&sequence(21)), too_many);
}

#[test]
fn a_frame_larger_than_its_canvas_counts_for_the_bounds() {
    let bomb = Err(Flaw::TooManyPixels { width: 60_000, height: 60_000 });
    assert_eq!(size(&gif(3, 2, &[(1, 1), (60_000, 60_000)])), bomb);
    assert_eq!(size(&png(3, 2, &png_animation(2, 60_000, 60_000))), bomb);
    assert_eq!(size(&webp(&[&vp8x(3, 2), &anmf(60_000, 60_000)])), bomb);
    assert_eq!(size(&TIFF.pages(&[(3, 2), (60_000, 60_000)], 0)), bomb);
    assert_eq!(size(&join(&[&jpeg(3, 2)[..12], &jpeg_frame(3, 2), &jpeg_frame(60_000, 60_000)])), bomb);
}

#[test]
fn a_structure_that_ends_without_a_picture_is_malformed() {
    let no_scan = join(&[&[0xFF, 0xD8], &jpeg_frame(3, 2), &[0xFF, 0xD9]]);
    assert_eq!(size(&no_scan), Err(Flaw::Malformed("a JPEG without a scan")));
    let header = png(3, 2, &[])[..33].to_vec();
    let no_data = join(&[&header, &png_chunk(b"IEND", &[])]);
    assert_eq!(size(&no_data), Err(Flaw::Malformed("a PNG without IDAT")));
    assert_eq!(size(&gif(3, 2, &[])), Err(Flaw::Malformed("a GIF without an image")));
    let no_image = Err(Flaw::Malformed("a WebP without an image chunk"));
    assert_eq!(size(&webp(&[&vp8x(3, 2)])), no_image);
    assert_eq!(size(&webp(&[&riff_chunk(b"EXIF", &[0; 20])])), no_image);
    assert_eq!(size(&TIFF.pages(&[], 0)[..4]), Err(CUT));
    assert_eq!(size(b"II*\0\0\0\0\0"), Err(Flaw::Malformed("a TIFF without a page")));
}

const CUT: Flaw = Flaw::Malformed("the file breaks off before its dimensions");

#[test]
fn a_jpeg_ends_at_the_first_end_of_image() {
    let two = join(&[&jpeg(3, 2), &jpeg(9, 9)]);
    let second = jpeg(9, 9).len() as u64;
    assert_eq!(look(&two), small(Format::Jpeg, TrailingBytes(second)));
}

#[test]
fn a_long_jpeg_is_read_through_the_window() {
    let file = jpeg(3, 2);
    let (start, end) = file.split_at(file.len() - 2);
    let long = join(&[start, &[0xAB, 0xFF, 0].repeat(100_000), end]);
    assert_eq!(ending(&long), Exact);
    assert_eq!(ending(&long[..long.len() - 1]), Truncated);
}

#[test]
fn a_png_begins_with_its_header() {
    let file = png(3, 2, &[]);
    let late = join(&[&file[..8], &png_chunk(b"tEXt", b"first"), &file[8..]]);
    assert_eq!(size(&late), Err(Flaw::Malformed("a PNG that does not begin with IHDR")));
    assert_eq!(size(&file[..20]), Err(CUT));
    // A chunk whose size lies.
    let lies = join(&[&file[..33], &[0x7F, 0xFF, 0xFF, 0xFF], b"IDAT", &[0; 50]]);
    assert_eq!(ending(&lies), Truncated);
}

#[test]
fn a_bitmap_ends_with_its_pixels_or_later() {
    let mut file = bmp(3, 2);
    file[2..6].fill(0);
    assert_eq!(ending(&file), Exact);
    file[2] = 200;
    assert_eq!(ending(&file), Truncated);
    file.extend([0; 122]);
    assert_eq!(ending(&file), Exact);
    let negative = Flaw::Malformed("a BMP of negative width");
    assert_eq!(size(&bmp(-3, 2)), Err(negative));
}

#[test]
fn a_tiff_reaches_to_its_farthest_part() {
    for (big_endian, big) in [(false, false), (true, false), (false, true), (true, true)] {
        let file = Tiff { big_endian, big }.pages(&[(3, 2), (9, 9)], 0);
        let page = file.len() / 2 + 9;
        assert_eq!(look(&file).map(|f| (f.width, f.frames, f.ending)), Ok((3, 2, Exact)));
        // Without the second directory; without its end; without its last strip.
        for (cut, frames) in [(page, 1), (file.len() - 22, 2), (file.len() - 1, 2)] {
            let found = look(&file[..cut]).map(|f| (f.width, f.frames, f.ending));
            assert_eq!(found, Ok((3, frames, Truncated)), "{cut}");
        }
    }
}

#[test]
fn a_tiff_whose_directories_form_a_loop_is_refused() {
    let looped = Err(Flaw::Malformed("a TIFF whose directories form a loop"));
    assert_eq!(size(&TIFF.pages(&[(3, 2)], 8)), looped);
    assert_eq!(size(&TIFF.pages(&[(3, 2); 5], 8)), looped);
}

#[test]
fn the_work_on_tables_that_overlap_is_bounded() {
    // Every page's directory names the same long tables, which end at the end of the file.
    let mut file = TIFF.pages(&[(3, 2); 2000], 0);
    let table = u32::try_from(file.len()).expect("small").to_le_bytes();
    let page = 2 + 4 * 12 + 4 + 21;
    for at in (8..file.len()).step_by(page) {
        for entry in [at + 26, at + 38] {
            file[entry + 4..entry + 8].copy_from_slice(&500_000u32.to_le_bytes());
            file[entry + 8..entry + 12].copy_from_slice(&table);
        }
    }
    file.extend(vec![0; 2_000_000]);
    let endless = Flaw::Malformed("its parts point at one another without end");
    let many = Bounds { max_frames: 2000, ..BOUNDS };
    assert_eq!(look_within(&file, &many), Err(endless));
}

#[test]
fn a_webp_may_go_without_its_last_padding() {
    let mut file = webp(&[&vp8(3, 2)]);
    file.pop();
    file[4] -= 1;
    assert_eq!(ending(&file), Exact);
}

#[test]
fn a_heif_has_the_dimensions_of_its_primary_item() {
    // The largest item is 30 × 20; without associations it is taken.
    let mut file = heif(b"heic", &[], (3, 2));
    let at = file.windows(4).position(|w| w == b"ipma").expect("there");
    file[at..at + 4].copy_from_slice(b"free");
    assert_eq!(size(&file), Ok((30, 20)));
}

#[test]
fn sizes_of_boxes_may_be_long_or_open() {
    let start = join(&[&ftyp(b"avif", &[]), &heif_meta((3, 2))]);
    let long = join(&[&[0, 0, 0, 1], b"mdat", &20u64.to_be_bytes(), b"data"]);
    let open = join(&[&[0, 0, 0, 0], b"mdat", b"data to the end"]);
    assert_eq!(ending(&join(&[&start, &long])), Exact);
    assert_eq!(ending(&join(&[&start, &open])), Exact);
    assert_eq!(ending(&join(&[&start, &long, b"tail"])), TrailingBytes(4));
    let endless = join(&[&[0, 0, 0, 1], b"mdat", &u64::MAX.to_be_bytes(), b"data"]);
    assert_eq!(ending(&join(&[&start, &endless])), Truncated);
    assert_eq!(ending(&start), Truncated);
}
