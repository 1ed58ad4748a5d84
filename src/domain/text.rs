//! Texts that people and microservices send to be shown to others.

use super::fault::{Code, Fault};

/// Refuses what no line may hold: characters that a terminal or a mail header obeys, and marks that turn the direction of what
/// is read, so that it says something else.
pub fn check_line(text: &str) -> Result<(), Fault> {
    check(text, |_| false)
}

/// The same for a text of several lines.
pub fn check_lines(text: &str) -> Result<(), Fault> {
    check(text, |c| matches!(c, '\n' | '\r' | '\t'))
}

/// Whether a character is not to be seen, but does something.
pub fn is_control(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn check(text: &str, allowed: fn(char) -> bool) -> Result<(), Fault> {
    match text.chars().find(|&c| is_control(c) && !allowed(c)) {
        None => Ok(()),
        Some('\0') => Err(Fault::new(Code::NulCharacter, "A string holds U+0000.")),
        Some(c) => {
            let detail = format!("The text holds the control character U+{:04X}.", u32::from(c));
            Err(Fault::new(Code::InvalidField, detail))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_seen_may_pass() {
        for good in ["", "haar-1", "Zoë’s détecteur 👩🏽‍🔬", "日本語", "عربى"] {
            assert_eq!(check_line(good), Ok(()), "{good}");
        }
        for bad in ["a\r\nBcc: b", "\x1b[2J", "a\tb", "\u{7f}", "\u{9b}31m", "\u{202e}gpj.exe", "\u{2029}"] {
            assert_eq!(check_line(bad).map_err(|fault| fault.code), Err(Code::InvalidField), "{bad:?}");
        }
        assert_eq!(check_lines("one\r\n\ttwo"), Ok(()));
        assert!(check_lines("one\x1b").is_err());
    }
}
