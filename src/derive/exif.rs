//! What a photograph's EXIF says of camera, time and place. It may say anything: see [`CameraSays::bounded`].

use std::io::Cursor;

use chrono::{NaiveDate, NaiveDateTime};
use exif::{DateTime, Exif, In, Rational, Reader, Tag, Value};

use crate::domain::derived::CameraSays;

/// What of it can be read; nothing where there is none.
pub(super) fn read(photograph: &[u8]) -> CameraSays {
    let read = Reader::new().continue_on_error(true).read_from_container(&mut Cursor::new(photograph));
    let Ok(exif) = read.or_else(|error| error.distill_partial_result(|_| ())) else { return CameraSays::default() };
    CameraSays {
        taken_at: [Tag::DateTimeOriginal, Tag::DateTime].into_iter().find_map(|tag| time(&exif, tag)),
        camera: camera(text(&exif, Tag::Make), text(&exif, Tag::Model)),
        lens: text(&exif, Tag::LensModel),
        place: degrees(&exif, Tag::GPSLatitude, (Tag::GPSLatitudeRef, "S")).zip(degrees(
            &exif,
            Tag::GPSLongitude,
            (Tag::GPSLongitudeRef, "W"),
        )),
    }
}

fn ascii(exif: &Exif, tag: Tag) -> Option<&[u8]> {
    match &exif.get_field(tag, In::PRIMARY)?.value {
        Value::Ascii(parts) => parts.first().map(Vec::as_slice),
        _ => None,
    }
}

fn text(exif: &Exif, tag: Tag) -> Option<String> {
    ascii(exif, tag).map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned()).filter(|text| !text.is_empty())
}

/// The model's name, which often begins with its maker's.
fn camera(make: Option<String>, model: Option<String>) -> Option<String> {
    let (make, model) = match (make, model) {
        (Some(make), Some(model)) => (make, model),
        (make, model) => return make.or(model),
    };
    let maker = make.split_whitespace().next().unwrap_or_default().to_lowercase();
    Some(if model.to_lowercase().starts_with(&maker) { model } else { format!("{make} {model}") })
}

fn time(exif: &Exif, tag: Tag) -> Option<NaiveDateTime> {
    let at = DateTime::from_ascii(ascii(exif, tag)?).ok()?;
    NaiveDate::from_ymd_opt(at.year.into(), at.month.into(), at.day.into())?.and_hms_opt(
        at.hour.into(),
        at.minute.into(),
        at.second.into(),
    )
}

/// An angle, and below nought in the other half of the earth.
fn degrees(exif: &Exif, tag: Tag, (half, other): (Tag, &str)) -> Option<f64> {
    let Value::Rational(parts) = &exif.get_field(tag, In::PRIMARY)?.value else { return None };
    let parts: Vec<f64> = parts.iter().map(Rational::to_f64).collect();
    let [degrees, minutes, seconds] = parts.get(..3)?.try_into().ok()?;
    let angle: f64 = degrees + minutes / 60.0 + seconds / 3600.0;
    let signed = if text(exif, half)?.eq_ignore_ascii_case(other) { -angle } else { angle };
    signed.is_finite().then_some(signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_camera_is_not_named_twice() {
        let name = |make: &str, model: &str| camera(Some(make.to_owned()), Some(model.to_owned()));
        assert_eq!(name("Canon", "Canon EOS 5D").as_deref(), Some("Canon EOS 5D"));
        assert_eq!(name("NIKON CORPORATION", "NIKON D1X").as_deref(), Some("NIKON D1X"));
        assert_eq!(name("Apple", "iPhone 15").as_deref(), Some("Apple iPhone 15"));
        assert_eq!(camera(None, Some("X".to_owned())).as_deref(), Some("X"));
    }
}
