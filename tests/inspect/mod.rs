//! Every format: whole, cut, with bytes after it, too large, empty of size; and damage of any kind.

pub mod build;
mod formats;

use std::io::{self, Cursor, Read, Seek};

use darkroom::inspect::FileEnd::{self, Exact, TrailingBytes, Truncated};
use darkroom::inspect::{Bounds, Flaw, Format, Structure, inspect};

use self::build::*;

const BOUNDS: Bounds = Bounds { max_pixels: 50_000_000, max_frames: 20, max_side: 20_000 };

fn look(file: &[u8]) -> Result<Structure, Flaw> {
    look_within(file, &BOUNDS)
}

fn look_within(file: &[u8], bounds: &Bounds) -> Result<Structure, Flaw> {
    inspect(&mut Cursor::new(file), file.len() as u64, bounds).expect("memory does not fail")
}

/// What a file of one frame, 3 × 2, should be found to be.
fn small(format: Format, ending: FileEnd) -> Result<Structure, Flaw> {
    Ok(Structure { format, width: 3, height: 2, frames: 1, orientation: None, ending })
}

/// One file of each kind, 3 × 2.
fn samples() -> Vec<(Format, Vec<u8>)> {
    let tiff = |big_endian, big| Tiff { big_endian, big }.pages(&[(3, 2)], 0);
    let mut files = vec![
        (Format::Jpeg, jpeg(3, 2)),
        (Format::Png, png(3, 2, &[])),
        (Format::Gif, gif(3, 2, &[(3, 2)])),
        (Format::Bmp, bmp(3, -2)),
        (Format::Bmp, bmp_core(3, 2)),
        (Format::Webp, webp(&[&vp8(3, 2)])),
        (Format::Webp, webp(&[&vp8l(3, 2)])),
        (Format::Webp, webp(&[&vp8x(3, 2), &anmf(3, 2)])),
        (Format::Heic, heif(b"heic", &[b"mif1"], (3, 2))),
        (Format::Heic, heif(b"mif1", &[b"heic"], (3, 2))),
        (Format::Heic, heif(b"mif1", &[], (3, 2))),
        (Format::Avif, heif(b"mif1", &[b"miaf", b"avif"], (3, 2))),
        (Format::Avif, heif(b"avif", &[b"mif1"], (3, 2))),
    ];
    for (big_endian, big) in [(false, false), (false, true), (true, false), (true, true)] {
        files.push((Format::Tiff, tiff(big_endian, big)));
    }
    files
}

#[test]
fn whole_files_are_exact() {
    for (format, file) in samples() {
        assert_eq!(look(&file), small(format, Exact), "{format:?}");
    }
}

#[test]
fn files_without_their_last_byte_are_truncated() {
    for (format, file) in samples() {
        assert_eq!(look(&file[..file.len() - 1]), small(format, Truncated), "{format:?}");
    }
}

#[test]
fn a_cut_anywhere_is_never_exact() {
    for (format, file) in samples() {
        for cut in 0..file.len() {
            match look(&file[..cut]) {
                Ok(Structure { ending: Exact, .. }) => panic!("{format:?} cut to {cut}"),
                Ok(found) => assert_eq!(found.format, format),
                Err(flaw) => assert!(
                    matches!(flaw, Flaw::Empty | Flaw::NotAnImage | Flaw::Malformed(_)),
                    "{format:?} cut to {cut}: {flaw:?}"
                ),
            }
        }
    }
}

#[test]
fn bytes_after_the_structure_are_counted() {
    for tail in [b"x".as_slice(), &[0; 100], b"appended by some other program", &[0xFF; 70_000]] {
        for (format, file) in samples() {
            let count = tail.len() as u64;
            let ending = if format == Format::Tiff { Exact } else { TrailingBytes(count) };
            assert_eq!(look(&join(&[&file, tail])), small(format, ending), "{format:?} {count}");
        }
    }
}

#[test]
fn other_files_are_no_images() {
    assert_eq!(look(b""), Err(Flaw::Empty));
    let film = ftyp(b"isom", &[b"mp41", b"avc1"]);
    for other in [b"B".as_slice(), b"BMW is a maker of cars.", b"%PDF-1.7", b"RIFF1234WAVE", &film] {
        assert_eq!(look(other), Err(Flaw::NotAnImage), "{other:?}");
    }
}

#[test]
fn a_zero_dimension_is_malformed() {
    let zero = Err(Flaw::Malformed("a dimension is zero"));
    let tiff = Tiff { big_endian: false, big: false };
    assert_eq!(look(&jpeg(3, 0)), zero);
    assert_eq!(look(&png(0, 2, &[])), zero);
    assert_eq!(look(&gif(3, 0, &[(3, 2)])), zero);
    assert_eq!(look(&bmp(0, 2)), zero);
    assert_eq!(look(&tiff.pages(&[(3, 2), (0, 2)], 0)), zero);
    assert_eq!(look(&webp(&[&vp8(0, 2)])), zero);
    assert_eq!(look(&heif(b"avif", &[], (3, 0))), zero);
}

#[test]
fn a_bomb_is_refused_by_its_header() {
    let bomb = |width, height| Err(Flaw::TooManyPixels { width, height });
    let tiff = Tiff { big_endian: true, big: true };
    let png = png(100_000, 100_000, &[]);
    assert_eq!(look(&png), bomb(100_000, 100_000));
    // Nothing after the header needs to be there, or to make sense.
    assert_eq!(look(&png[..24]), bomb(100_000, 100_000));
    assert_eq!(look(&jpeg(65_535, 65_535)), bomb(65_535, 65_535));
    assert_eq!(look(&gif(65_535, 65_535, &[])), bomb(65_535, 65_535));
    assert_eq!(look(&bmp(i32::MAX, i32::MIN)), bomb(2_147_483_647, 2_147_483_648));
    assert_eq!(look(&tiff.pages(&[(u32::MAX, u32::MAX)], 0)), bomb(u32::MAX, u32::MAX));
    assert_eq!(look(&webp(&[&vp8x(1 << 24, 1 << 24)])), bomb(1 << 24, 1 << 24));
    assert_eq!(look(&heif(b"avif", &[], (90_000, 90_000))), bomb(90_000, 90_000));
}

#[test]
fn bounds_are_inclusive() {
    let bounds = Bounds { max_pixels: 600, max_frames: 1, max_side: 100 };
    assert!(look_within(&png(6, 100, &[]), &bounds).is_ok());
    let pixels = Err(Flaw::TooManyPixels { width: 7, height: 100 });
    assert_eq!(look_within(&png(7, 100, &[]), &bounds), pixels);
    let side = Err(Flaw::SideTooLong { width: 5, height: 101 });
    assert_eq!(look_within(&png(5, 101, &[]), &bounds), side);
    assert!(look_within(&gif(3, 2, &[(3, 2)]), &bounds).is_ok());
    let frames = Err(Flaw::TooManyFrames(2));
    assert_eq!(look_within(&gif(3, 2, &[(3, 2); 3]), &bounds), frames);
}

#[test]
fn a_source_shorter_than_it_was_said_is_truncated() {
    let file = jpeg(3, 2);
    let shorter = &file[..file.len() - 3];
    let found = inspect(&mut Cursor::new(shorter), u64::MAX, &BOUNDS).expect("memory");
    assert_eq!(found, small(Format::Jpeg, Truncated));
}

#[test]
fn a_source_is_read_from_its_start_and_not_beyond_its_length() {
    let file = jpeg(3, 2);
    let mut source = Cursor::new(join(&[&file, b"more"]));
    source.set_position(9);
    let found = inspect(&mut source, file.len() as u64, &BOUNDS).expect("memory");
    assert_eq!(found, small(Format::Jpeg, Exact));
}

/// A source that gives one byte at a time, and fails for good after some.
struct Frail(Cursor<Vec<u8>>, usize);

impl Read for Frail {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        self.1 = self.1.checked_sub(1).ok_or(io::Error::other("the disk is gone"))?;
        self.0.read(&mut target[..1])
    }
}

impl Seek for Frail {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn only_a_source_that_fails_gives_an_error() {
    for (format, file) in samples() {
        let len = file.len() as u64;
        let mut slow = Frail(Cursor::new(file.clone()), 10_000);
        assert_eq!(inspect(&mut slow, len, &BOUNDS).expect("slow only"), small(format, Exact));
        assert!(inspect(&mut Frail(Cursor::new(file), 20), len, &BOUNDS).is_err());
    }
}

/// xorshift64: the same damage in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).expect("below a usize")
    }
}

#[test]
fn damage_of_any_kind_gives_a_value() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let unbounded = Bounds { max_pixels: u64::MAX, max_frames: u32::MAX, max_side: u32::MAX };
    let interesting = [0, 1, 2, 7, 8, 0x7F, 0x80, 0xFE, 0xFF, b'I', 0x2C, 0xD9];
    for (_, file) in formats::all() {
        for _ in 0..1500 {
            let mut damaged = file.clone();
            for _ in 0..=random.below(6) {
                let at = random.below(damaged.len());
                match random.below(4) {
                    0 => damaged[at] = interesting[random.below(interesting.len())],
                    1 => damaged[at] ^= 1 << random.below(8),
                    2 => damaged.truncate(at.max(1)),
                    _ => {
                        let from = random.below(damaged.len());
                        let piece = damaged[from..].iter().take(12).copied().collect::<Vec<_>>();
                        damaged.splice(at..at, piece);
                    }
                }
            }
            for bounds in [BOUNDS, unbounded] {
                if let Ok(found) = look_within(&damaged, &bounds) {
                    assert!(found.width > 0 && found.height > 0 && found.frames > 0);
                    assert!(found.width.max(found.height) <= bounds.max_side);
                }
            }
        }
    }
}
