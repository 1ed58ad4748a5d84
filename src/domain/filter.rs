//! The one grammar of searches: what a filter asks for, and where one does not hold.
//!
//! Terms joined by AND; `-` negates one. docs/search.md has it for people.

mod cut;
mod moment;
#[cfg(test)]
mod tests;

pub use self::cut::FilterFlaw;
use self::cut::{Comparison, RawTerm, Shape, Sign, Spelt, cut};
use super::image::ContentMd5;
use super::job::JobState;
use super::name::{Name, nearest, shorten};
use super::text::check_line;

/// The longest filter, in bytes: it stands in a query.
pub const FILTER_BYTES_MAX: usize = 4_096;
/// The most terms: each may be a look at every image that is looked at.
pub const TERMS_MAX: usize = 32;
/// The shortest text that is looked for, in characters: texts and names are found by three characters in a row.
pub const TEXT_CHARS_MIN: usize = 3;
/// Bits in which a perceptual hash may differ where a filter does not say.
const BITS_DEFAULT: u32 = 8;
/// The most: two bits of one of its four parts, or else every image would be compared.
pub const BITS_MAX: u32 = 11;

/// Numbers from one to another, both included.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NumberRange {
    pub low: f64,
    pub high: f64,
}

/// What a filter asks of an image.
#[derive(Debug, Clone, PartialEq)]
pub struct SearchFilter {
    pub terms: Vec<FilterTerm>,
}

/// One condition.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterTerm {
    /// The character at which it begins, from 1.
    pub place: usize,
    pub negated: bool,
    pub asks: TermAsk,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum TermAsk {
    /// The file name or a text read from the image contains this.
    Words(String),
    /// The file name contains this.
    Name(String),
    /// A text read from the image contains this.
    Text(String),
    /// The case, by its id or its name.
    Case(String),
    Tag(String),
    /// Who brought it, by the account's name.
    By(String),
    /// When it was brought, in seconds since 1970.
    Uploaded(NumberRange),
    /// When the camera's own clock says it was taken, in seconds since 1970 by that clock.
    Taken(NumberRange),
    /// The camera's name contains this.
    Camera(String),
    /// A result has this label, with such a score.
    Label {
        label: String,
        score: Option<NumberRange>,
    },
    /// A result of this model is there.
    Model(String),
    /// A result has this field with such a number, or this very text.
    Field {
        name: String,
        number: Option<NumberRange>,
        text: Option<String>,
    },
    Measure(Measure, NumberRange),
    /// The media type, as `image/jpeg`.
    Type(String),
    /// The newest job of a model, or of this one, is in this state.
    State {
        state: JobState,
        model: Option<String>,
    },
    /// It looks like this image, by at most so many different bits of their perceptual hashes.
    Similar {
        md5: ContentMd5,
        bits: u32,
    },
    /// It means much the same as this image, by their embeddings.
    Like(ContentMd5),
}

/// What an image measures, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    Width,
    Height,
    Bytes,
}

/// The keys that are told of where one is misspelt; the states of jobs are keys as well.
const KEYS: [&str; 17] = [
    "label",
    "model",
    "text",
    "name",
    "case",
    "tag",
    "by",
    "camera",
    "after",
    "before",
    "taken-after",
    "taken-before",
    "type",
    "is",
    "similar",
    "like",
    "failed",
];
/// Keys behind whose value a comparison may stand.
const COMPARED: [&str; 2] = ["label", "similar"];
/// The types of images, as they are asked for and as they are kept.
const TYPES: [(&str, &str); 10] = [
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("png", "image/png"),
    ("gif", "image/gif"),
    ("bmp", "image/bmp"),
    ("tiff", "image/tiff"),
    ("tif", "image/tiff"),
    ("webp", "image/webp"),
    ("heic", "image/heic"),
    ("avif", "image/avif"),
];

impl SearchFilter {
    /// Reads a filter; the empty one asks for nothing, and every image fits it.
    ///
    /// # Errors
    /// What is wrong with it, and at which character: the first that is.
    pub fn parse(filter: &str) -> Result<Self, FilterFlaw> {
        if filter.len() > FILTER_BYTES_MAX {
            let why = format!("the filter has {} bytes, and may have {FILTER_BYTES_MAX}", filter.len());
            return FilterFlaw::at(1, why);
        }
        if let Some(at) = filter.chars().position(|c| check_line(c.encode_utf8(&mut [0; 4])).is_err() && c != '\t') {
            return FilterFlaw::at(at + 1, "a character that is not to be seen has no place in a filter");
        }
        let raw = cut(filter, |key| COMPARED.contains(&key))?;
        if let Some(beyond) = raw.get(TERMS_MAX) {
            return FilterFlaw::at(beyond.place, format!("one term too many; a filter may have {TERMS_MAX}"));
        }
        let terms = raw.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let mut ranked = terms.iter().filter(|term| term.asks.ranks());
        match (ranked.next(), ranked.next()) {
            (_, Some(second)) => {
                FilterFlaw::at(second.place, "only one of `similar:` and `like:` can order the images")
            }
            (Some(first), _) if first.negated => {
                FilterFlaw::at(first.place, "`similar:` and `like:` cannot be negated")
            }
            _ => Ok(Self { terms }),
        }
    }
}

impl TermAsk {
    /// Whether it says in which order the images come.
    pub fn ranks(&self) -> bool {
        matches!(self, Self::Similar { .. } | Self::Like(_))
    }
}

impl NumberRange {
    fn of(sign: Sign, number: f64) -> Self {
        let (low, high) = match sign {
            Sign::Less => (f64::NEG_INFINITY, number.next_down()),
            Sign::AtMost => (f64::NEG_INFINITY, number),
            Sign::Equal => (number, number),
            Sign::AtLeast => (number, f64::INFINITY),
            Sign::More => (number.next_up(), f64::INFINITY),
        };
        Self { low, high }
    }
}

fn read(raw: RawTerm) -> Result<FilterTerm, FilterFlaw> {
    let asks = match raw.shape {
        Shape::Plain(word) => TermAsk::Words(sought(word)?),
        Shape::Compared { name, comparison } => compared(name, comparison)?,
        Shape::Keyed { key, value, comparison } => keyed(&key, value, comparison)?,
    };
    Ok(FilterTerm { place: raw.place, negated: raw.negated, asks })
}

fn keyed(key: &Spelt, value: Spelt, comparison: Option<Comparison>) -> Result<TermAsk, FilterFlaw> {
    Ok(match key.text.as_str() {
        "label" => TermAsk::Label { label: some(value)?, score: comparison.as_ref().map(range).transpose()? },
        "model" => TermAsk::Model(model(value)?),
        "text" => TermAsk::Text(sought(value)?),
        "name" => TermAsk::Name(sought(value)?),
        "case" => TermAsk::Case(some(value)?),
        "tag" => TermAsk::Tag(some(value)?),
        "by" => TermAsk::By(some(value)?),
        "camera" => TermAsk::Camera(some(value)?),
        "after" => TermAsk::Uploaded(NumberRange::of(Sign::AtLeast, moment::uploaded(&value)?)),
        "before" => TermAsk::Uploaded(NumberRange::of(Sign::Less, moment::uploaded(&value)?)),
        "taken-after" => TermAsk::Taken(NumberRange::of(Sign::AtLeast, moment::taken(&value)?)),
        "taken-before" => TermAsk::Taken(NumberRange::of(Sign::Less, moment::taken(&value)?)),
        "type" => TermAsk::Type(media_type(&value)?),
        "is" => TermAsk::State { state: state(&value)?, model: None },
        "similar" => TermAsk::Similar { md5: md5(&value)?, bits: bits(comparison)? },
        "like" => TermAsk::Like(md5(&value)?),
        other => match JobState::parse(other) {
            Some(state) => TermAsk::State { state, model: Some(model(value)?) },
            None => return unknown(key),
        },
    })
}

fn unknown<T>(key: &Spelt) -> Result<T, FilterFlaw> {
    let told = nearest(&key.text, KEYS)
        .map_or_else(|| format!("keys are {}", KEYS.join(", ")), |near| format!("did you mean `{near}:`?"));
    FilterFlaw::at(key.place, format!("no key is `{}:`; {told}", shorten(&key.text)))
}

/// `width>=1000`, or the field of a result.
fn compared(name: Spelt, comparison: Comparison) -> Result<TermAsk, FilterFlaw> {
    let measure = match name.text.as_str() {
        _ if name.quoted => None,
        "width" => Some(Measure::Width),
        "height" => Some(Measure::Height),
        "bytes" => Some(Measure::Bytes),
        _ => None,
    };
    if let Some(measure) = measure {
        return Ok(TermAsk::Measure(measure, range(&comparison)?));
    }
    let name = some(name)?;
    if comparison.sign != Sign::Equal {
        return Ok(TermAsk::Field { name, number: Some(range(&comparison)?), text: None });
    }
    let number = if comparison.with.quoted { None } else { number(&comparison.with).ok() };
    let number = number.map(|number| NumberRange::of(Sign::Equal, number));
    Ok(TermAsk::Field { name, number, text: Some(comparison.with.text) })
}

fn range(comparison: &Comparison) -> Result<NumberRange, FilterFlaw> {
    Ok(NumberRange::of(comparison.sign, number(&comparison.with)?))
}

fn number(word: &Spelt) -> Result<f64, FilterFlaw> {
    let number = word.text.parse().ok().filter(|number: &f64| number.is_finite());
    number.map_or_else(|| FilterFlaw::at(word.place, format!("`{}` is no number", shorten(&word.text))), Ok)
}

/// A text that is not empty.
fn some(word: Spelt) -> Result<String, FilterFlaw> {
    if word.text.trim().is_empty() {
        return FilterFlaw::at(word.place, "there is nothing between the quotation marks");
    }
    Ok(word.text)
}

/// A text long enough to be looked for.
fn sought(word: Spelt) -> Result<String, FilterFlaw> {
    let place = word.place;
    let text = some(word)?;
    if text.chars().count() < TEXT_CHARS_MIN {
        let why =
            format!("`{text}` is too short: texts and file names are searched for {TEXT_CHARS_MIN} characters or more");
        return FilterFlaw::at(place, why);
    }
    Ok(text)
}

fn model(word: Spelt) -> Result<String, FilterFlaw> {
    match Name::parse(&word.text) {
        Ok(_) => Ok(word.text),
        Err(_) => FilterFlaw::at(word.place, format!("`{}` can be no model's name", shorten(&word.text))),
    }
}

fn state(word: &Spelt) -> Result<JobState, FilterFlaw> {
    let known = || JobState::ALL.iter().map(|state| state.as_str()).collect::<Vec<_>>().join(", ");
    JobState::parse(&word.text).map_or_else(|| FilterFlaw::at(word.place, format!("a job is one of {}", known())), Ok)
}

fn media_type(word: &Spelt) -> Result<String, FilterFlaw> {
    let asked = word.text.to_ascii_lowercase();
    let asked = asked.strip_prefix("image/").unwrap_or(&asked);
    let known = || TYPES.map(|(name, _)| name).join(", ");
    let found = TYPES.iter().find(|(name, _)| *name == asked);
    found.map_or_else(
        || FilterFlaw::at(word.place, format!("a type is one of {}", known())),
        |(_, kept)| Ok((*kept).to_owned()),
    )
}

fn md5(word: &Spelt) -> Result<ContentMd5, FilterFlaw> {
    let why = "the MD5 of an image is missing here: 32 hexadecimal digits";
    ContentMd5::parse(&word.text).map_or_else(|| FilterFlaw::at(word.place, why), Ok)
}

fn bits(comparison: Option<Comparison>) -> Result<u32, FilterFlaw> {
    let Some(Comparison { sign, with }) = comparison else { return Ok(BITS_DEFAULT) };
    if sign != Sign::AtMost {
        return FilterFlaw::at(with.place, "of a similar image one can say how far it is at most, as `<=8`");
    }
    match with.text.parse() {
        Ok(bits @ 0..=BITS_MAX) => Ok(bits),
        _ => FilterFlaw::at(with.place, format!("similar images differ in 0 to {BITS_MAX} bits")),
    }
}
