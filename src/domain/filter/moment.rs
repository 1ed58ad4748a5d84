//! Moments in filters: a day, or a time of a day.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};

use super::cut::{FilterFlaw, Spelt};
use crate::domain::name::shorten;

/// A time of a day, with and without seconds.
const TIMES: [&str; 2] = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"];

/// A day, which begins at midnight UTC, or an instant: in UTC, unless it says its zone.
pub(super) fn uploaded(word: &Spelt) -> Result<f64, FilterFlaw> {
    let zoned = DateTime::parse_from_rfc3339(&word.text).ok().map(|at| at.naive_utc());
    zoned.or_else(|| by_the_clock(&word.text)).map(seconds).map_or_else(|| refuse(word, "2026-01-31T18:00:00Z"), Ok)
}

/// The same by a clock of which nobody knows the zone.
pub(super) fn taken(word: &Spelt) -> Result<f64, FilterFlaw> {
    by_the_clock(&word.text).map(seconds).map_or_else(|| refuse(word, "2026-01-31T18:00"), Ok)
}

fn by_the_clock(text: &str) -> Option<NaiveDateTime> {
    // A year of four digits: what chrono takes for a year is longer.
    if text.as_bytes().get(4) != Some(&b'-') || !text.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().map(|day| day.and_time(NaiveTime::MIN));
    day.or_else(|| TIMES.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()))
}

fn seconds(at: NaiveDateTime) -> f64 {
    at.and_utc().timestamp_micros() as f64 / 1e6
}

fn refuse<T>(word: &Spelt, example: &str) -> Result<T, FilterFlaw> {
    FilterFlaw::at(word.place, format!("`{}` is no day as 2026-01-31, nor a time as {example}", shorten(&word.text)))
}
