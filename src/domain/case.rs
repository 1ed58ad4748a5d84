//! Cases: who may do what in one, and what may be called what.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::fault::{Code, Fault};
use super::text::{check_line, check_lines};
use super::words::words;

/// What a member may do in a case. Each may what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CaseRole {
    /// Sees all of it.
    Viewer,
    /// Submits, runs models, cancels, tags, writes notes, saves filters.
    Editor,
    /// Names members, renames, closes and deletes it.
    Owner,
}

words!(CaseRole { Viewer "viewer", Editor "editor", Owner "owner" });

/// That somebody is a member of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Membership {
    pub case: Uuid,
    pub role: CaseRole,
}

/// The most cases of which one account is a member: they are read with its standing, and asked about in every look-up.
pub const MEMBERSHIPS_MAX: i64 = 200;
/// The most of these that an account owes to one other, who is no administrator: nobody else fills its 200.
pub const MEMBERSHIPS_GIVEN_MAX: i64 = 50;
/// The most members of a case: each answer about it names them all.
pub const MEMBERS_MAX: i64 = 100;
/// The most filters saved in a case: a list shows them all.
pub const FILTERS_MAX: i64 = 100;
/// The most different tags of a case: a list counts them all.
pub const TAGS_MAX: i64 = 500;
/// The most tags of one image in a case.
pub const IMAGE_TAGS_MAX: i64 = 50;

/// The longest name of a case, in characters.
pub const NAME_CHARS_MAX: usize = 200;
/// The longest tag, and name of a filter, in characters.
pub const LABEL_CHARS_MAX: usize = 64;
/// The longest filter, in characters.
pub const FILTER_CHARS_MAX: usize = 2_000;
/// The longest note, and description, in characters.
pub const TEXT_CHARS_MAX: usize = 4_000;

/// Checks a text of one line, which is not empty and has no space at its ends: so that what looks the same is the same.
pub fn check_label(text: &str, chars_max: usize) -> Result<(), Fault> {
    check_line(text)?;
    if text.is_empty() || text.trim() != text || text.chars().count() > chars_max {
        let detail = format!("A text of 1 to {chars_max} characters is wanted here, without space at its ends.");
        return Err(Fault::new(Code::InvalidField, detail));
    }
    Ok(())
}

/// Checks a text of several lines, which may be empty.
pub fn check_text(text: &str) -> Result<(), Fault> {
    check_lines(text)?;
    if text.chars().count() > TEXT_CHARS_MAX {
        let detail = format!("A text of at most {TEXT_CHARS_MAX} characters is wanted here.");
        return Err(Fault::new(Code::InvalidField, detail));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_may_what_an_editor_may() {
        assert!(CaseRole::Owner > CaseRole::Editor && CaseRole::Editor > CaseRole::Viewer);
    }

    #[test]
    fn labels_are_one_line_without_space_around() {
        for good in ["x", "two words", "Zoë’s 日本語", &"é".repeat(64)] {
            assert_eq!(check_label(good, LABEL_CHARS_MAX), Ok(()), "{good}");
        }
        for bad in ["", " ", " x", "x ", "a\nb", "a\tb", "\u{202e}x", "x\0", &"x".repeat(65)] {
            assert!(check_label(bad, LABEL_CHARS_MAX).is_err(), "{bad:?}");
        }
        assert_eq!(check_text("one\n\ttwo\r\n"), Ok(()));
        assert!(check_text(&"x".repeat(4_001)).is_err() && check_text("\x1b[2J").is_err());
    }
}
