//! Photographs that can be decoded, made in code, with whatever EXIF a test asks for.

use std::io::Cursor;

use exif::experimental::Writer;
use exif::{Field, In, Rational, Tag, Value};
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageEncoder, Rgb, RgbImage};

use super::images;

/// The colours of a picture's quarters: above left and right, then below.
pub const QUARTERS: [[u8; 3]; 4] = [[200, 30, 30], [30, 160, 30], [30, 30, 200], [220, 210, 40]];

/// A picture of four quarters, as people see it, distinct for every salt in one corner.
pub fn quarters(width: u32, height: u32, salt: u8) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        if (x, y) == (0, 0) {
            return Rgb([salt; 3]);
        }
        Rgb(QUARTERS[usize::from(x >= width / 2) + 2 * usize::from(y >= height / 2)])
    })
}

/// A picture as a camera stores it that was held as this orientation says: turned by it, it is as it was.
pub fn stored(picture: RgbImage, orientation: u8) -> RgbImage {
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(match Orientation::from_exif(orientation) {
        Some(Orientation::Rotate90) => Orientation::Rotate270,
        Some(Orientation::Rotate270) => Orientation::Rotate90,
        // Each of the others undoes itself.
        Some(other) => other,
        None => Orientation::NoTransforms,
    });
    picture.into_rgb8()
}

/// Fields of EXIF as a file holds them.
pub fn exif_of(fields: Vec<(Tag, Value)>) -> Vec<u8> {
    let fields: Vec<Field> =
        fields.into_iter().map(|(tag, value)| Field { tag, ifd_num: In::PRIMARY, value }).collect();
    let mut writer = Writer::new();
    fields.iter().for_each(|field| writer.push_field(field));
    let mut file = Cursor::new(Vec::new());
    writer.write(&mut file, false).expect("EXIF");
    file.into_inner()
}

/// A text of EXIF.
pub fn text(text: impl Into<Vec<u8>>) -> Value {
    Value::Ascii(vec![text.into()])
}

/// An angle of EXIF, in degrees, minutes and seconds.
pub fn angle(degrees: u32, minutes: u32, seconds: u32) -> Value {
    Value::Rational([degrees, minutes, seconds].map(|num| Rational { num, denom: 1 }).to_vec())
}

/// A JPEG with this EXIF.
pub fn jpeg(picture: &RgbImage, exif: Vec<(Tag, Value)>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = JpegEncoder::new_with_quality(&mut file, 92);
    if !exif.is_empty() {
        encoder.set_exif_metadata(exif_of(exif)).expect("EXIF in a JPEG");
    }
    encoder.encode_image(picture).expect("a JPEG");
    file
}

/// A PNG with this EXIF, which may be of any length there.
pub fn png(picture: &RgbImage, exif: Vec<(Tag, Value)>) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = PngEncoder::new(&mut file);
    if !exif.is_empty() {
        encoder.set_exif_metadata(exif_of(exif)).expect("EXIF in a PNG");
    }
    encoder.write_image(picture, picture.width(), picture.height(), image::ExtendedColorType::Rgb8).expect("a PNG");
    file
}

/// A photograph that can be decoded, distinct for every salt.
pub fn picture(salt: u8) -> Vec<u8> {
    png(&quarters(64, 48, salt), Vec::new())
}

/// Asserts that a picture shows the quarters upright.
#[track_caller]
pub fn assert_upright(bytes: &[u8], what: &str) {
    let picture = image::load_from_memory(bytes).expect("a picture").into_rgb8();
    let (width, height) = picture.dimensions();
    for (n, expected) in QUARTERS.iter().enumerate() {
        let (x, y) = (width / 4 + (n as u32 % 2) * width / 2, height / 4 + (n as u32 / 2) * height / 2);
        let seen = picture.get_pixel(x, y).0;
        let near = seen.iter().zip(expected).all(|(a, b)| a.abs_diff(*b) < 24);
        assert!(near, "{what}: quarter {n} is {seen:?}, not {expected:?}");
    }
}

/// A PNG whose header a decoder believes; what it declares is not there.
pub fn declared(width: u32, height: u32) -> Vec<u8> {
    let mut file = images::png(width, height, 1);
    // Of its kind and what it holds (PNG, annex D).
    let crc = !file[12..29].iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { (crc >> 1) ^ 0xEDB8_8320 } else { crc >> 1 })
    });
    file[29..33].copy_from_slice(&crc.to_be_bytes());
    file
}
