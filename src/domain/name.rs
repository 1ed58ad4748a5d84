//! Names of models, datasets and accounts, and the globs that scope API keys.

use std::fmt;

/// A name that is safe in paths, Redis keys and SQL: `[a-z0-9][a-z0-9_.-]{0,63}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

impl Name {
    /// What the form allows, for messages.
    pub const FORM: &str = "1 to 64 of a-z, 0-9, _, . and -, beginning with a letter or digit";

    /// Parses a name; the error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '.' | '-');
        let first = text.chars().next().is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
        if first && text.len() <= 64 && text.chars().all(form) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{:?} is not a name: {}.", shorten(text), Self::FORM))
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A scope of an API key: a name in which every `*` stands for any number of characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Glob(String);

impl Glob {
    /// Parses a glob of at most 64 characters; the error is a sentence.
    pub fn parse(text: &str) -> Result<Self, String> {
        let probe = text.replace('*', "x");
        match Name::parse(&probe) {
            Ok(_) => Ok(Self(text.to_owned())),
            Err(_) => Err(format!("{:?} is not a glob: {}, and * for any.", shorten(text), Name::FORM)),
        }
    }

    /// Whether the name lies in this scope.
    pub fn matches(&self, name: &str) -> bool {
        let mut pieces = self.0.split('*');
        let head = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(head) else { return false };
        let pieces: Vec<&str> = pieces.collect();
        let Some((tail, middle)) = pieces.split_last() else { return rest.is_empty() };
        for piece in middle {
            let Some(at) = rest.find(piece) else { return false };
            rest = &rest[at + piece.len()..];
        }
        rest.ends_with(tail)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The known name nearest to a misspelt one, if any is near enough to suggest.
pub fn nearest<'a>(wrong: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // No name is longer.
    let wrong: String = wrong.chars().take(64).collect();
    known
        .into_iter()
        .map(|name| (strsim::osa_distance(&wrong, name), name))
        .filter(|(distance, name)| *distance <= 1 + name.len() / 4)
        .min()
        .map(|(_, name)| name)
}

/// At most 80 characters of a stranger's text, for a message.
pub fn shorten(text: &str) -> String {
    match text.char_indices().nth(80) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_form() {
        for good in ["a", "face_detect", "yolo-11.n", "0x"] {
            assert!(Name::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "_a", "A", "a b", "a\0", "é", &"a".repeat(65), "{a}", "a:b"] {
            assert!(Name::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn globs_match_as_shells_do() {
        let cases = [
            ("face_*", "face_detect", true),
            ("face_*", "ocr", false),
            ("*", "ocr", true),
            ("ocr", "ocr2", false),
            ("*_v*", "ocr_v2", true),
            ("a*a", "a", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
        ];
        for (glob, name, expected) in cases {
            assert_eq!(Glob::parse(glob).map(|g| g.matches(name)), Ok(expected), "{glob} {name}");
        }
    }

    #[test]
    fn a_misspelt_name_has_a_nearest_one() {
        assert_eq!(nearest("face_detcet", ["ocr", "face_detect"]), Some("face_detect"));
        assert_eq!(nearest("zebra", ["ocr", "face_detect"]), None);
    }
}
