//! What is known of an image without any model. What a file says of itself is whatever its maker wanted: it is bounded and cleaned here,
//! and believed nowhere.

use chrono::{Datelike, NaiveDateTime};
use serde::{Deserialize, Serialize};

use super::text::is_control;
use super::words::words;

/// What came of working it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DerivedState {
    Done,
    /// It has no picture. What its EXIF says may be known all the same.
    Failed,
}

words!(DerivedState { Done "done", Failed "failed" });

/// The longer sides of thumbnails, in pixels: for a grid, and for a screen.
pub const THUMB_SIDES: [u32; 2] = [256, 1024];
/// In which formats each of them is there.
pub const THUMB_FORMATS: [ThumbFormat; 2] = [ThumbFormat::Webp, ThumbFormat::Jpeg];
/// How many thumbnails an image has: of each side in each format.
pub const THUMBS: usize = THUMB_SIDES.len() * THUMB_FORMATS.len();

/// The format of a thumbnail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThumbFormat {
    Webp,
    Jpeg,
}

impl ThumbFormat {
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Webp => "image/webp",
            Self::Jpeg => "image/jpeg",
        }
    }
}

/// The characters that are kept of a camera's or a lens' name.
const NAME_CHARS_MAX: usize = 100;
/// The characters that are kept of why it failed.
const ERROR_CHARS_MAX: usize = 300;
/// The bytes of the longest ThumbHash, and some more.
const PLACEHOLDER_BYTES_MAX: usize = 64;
/// From the first photograph to the last year of four digits.
const YEARS: std::ops::RangeInclusive<i32> = 1826..=9999;

/// What a photograph's EXIF says.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct CameraSays {
    /// By the camera's own clock, which knows no zone.
    pub taken_at: Option<NaiveDateTime>,
    /// As "Canon EOS 5D".
    pub camera: Option<String>,
    pub lens: Option<String>,
    /// Latitude and longitude, in degrees.
    pub place: Option<(f64, f64)>,
}

impl CameraSays {
    /// The same, of which nothing is longer, later or elsewhere than it can be.
    #[must_use]
    pub fn bounded(self) -> Self {
        let name = |text: Option<String>| text.and_then(|text| clean(&text, NAME_CHARS_MAX));
        let on_earth = |place: &(f64, f64)| place.0.abs() <= 90.0 && place.1.abs() <= 180.0;
        Self {
            taken_at: self.taken_at.filter(|at| YEARS.contains(&at.year())),
            camera: name(self.camera),
            lens: name(self.lens),
            place: self.place.filter(on_earth),
        }
    }
}

/// What the pixels gave.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// 64 bits, of which few differ between pictures that look alike.
    pub phash: i64,
    /// A ThumbHash.
    pub placeholder: Vec<u8>,
    /// Where each thumbnail ends in their bytes: by side, and of each side by format.
    pub ends: [u32; THUMBS],
}

impl Seen {
    /// Whether it can be: the thumbnails one after the other, none without bytes.
    pub fn is_sane(&self) -> bool {
        self.placeholder.len() <= PLACEHOLDER_BYTES_MAX && self.ends[0] > 0 && self.ends.is_sorted_by(|a, b| a < b)
    }
}

/// Why there is no picture, in a line that can be shown and kept.
pub fn bounded_error(why: &str) -> String {
    clean(why, ERROR_CHARS_MAX).unwrap_or_else(|| "No reason is known.".to_owned())
}

/// A line of a stranger's: as far as the first NUL, without what does something unseen, single spaces, and so many characters at most.
fn clean(text: &str, most: usize) -> Option<String> {
    let seen = |c: char| if is_control(c) || c == char::REPLACEMENT_CHARACTER { ' ' } else { c };
    // No more is looked at than could be kept of sparse text.
    let text: String = text.chars().take_while(|&c| c != '\0').take(16 * most).map(seen).collect();
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let kept: String = line.chars().take(most).collect();
    let kept = kept.trim_end();
    (!kept.is_empty()).then(|| kept.to_owned())
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    #[test]
    fn what_a_file_says_is_bounded() {
        let at = |year| NaiveDate::from_ymd_opt(year, 1, 2).and_then(|day| day.and_hms_opt(3, 4, 5));
        let says = |camera: &str, taken_at, place| {
            CameraSays { taken_at, camera: Some(camera.to_owned()), lens: None, place }.bounded()
        };
        let long = says(&"x".repeat(100_000), at(2020), Some((48.2, 16.4)));
        assert_eq!(long.camera.map(|camera| camera.len()), Some(NAME_CHARS_MAX));
        assert_eq!((long.taken_at, long.place), (at(2020), Some((48.2, 16.4))));
        for (said, kept) in [
            ("Canon\0<script>", Some("Canon")),
            ("a\u{202e}b\x1b[2J\r\n c", Some("a b [2J c")),
            ("<script>alert(1)</script>", Some("<script>alert(1)</script>")),
            ("\0Canon", None),
            (" \t\u{fffd}", None),
        ] {
            assert_eq!(
                says(said, at(12), Some((91.0, 0.0))),
                CameraSays { camera: kept.map(str::to_owned), ..CameraSays::default() }
            );
        }
        assert_eq!(says("x", None, Some((f64::NAN, 0.0))).place, None);
    }

    #[test]
    fn thumbnails_follow_each_other() {
        let seen = |ends| Seen { phash: 0, placeholder: vec![], ends };
        assert!(seen([1, 2, 3, 4]).is_sane());
        for ends in [[0, 1, 2, 3], [1, 1, 2, 3], [5, 2, 3, 4]] {
            assert!(!seen(ends).is_sane(), "{ends:?}");
        }
    }
}
