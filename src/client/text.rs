//! Small helpers for text on terminals: cleaning, cutting, sizes, printing.

use std::io::{self, IsTerminal, Write};

/// Replaces what could steer a terminal or reorder a line (control and bidirectional characters).
///
/// File names and workers' texts are written by strangers.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect()
}

pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of at most `max` characters: runs of white space become one blank, the rest is cut.
pub(super) fn one_line(text: &str, max: usize) -> String {
    let line = clean(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    if line.chars().count() <= max {
        return line;
    }
    let mut cut: String = line.chars().take(max.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

/// Cuts the middle out of a path, whose two ends say most.
pub(super) fn middle_cut(text: &str, max: usize) -> String {
    let chars: Vec<char> = clean(text).chars().collect();
    if chars.len() <= max {
        return chars.into_iter().collect();
    }
    let head = max.saturating_sub(1) / 3;
    let tail = max.saturating_sub(1) - head;
    let start: String = chars.iter().take(head).collect();
    let end: String = chars.iter().skip(chars.len() - tail).collect();
    format!("{start}…{end}")
}

/// Bytes for people, in binary units.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `1 file`, `2 files`.
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Writes one line to stderr; a closed stderr is no reason to stop.
pub(super) fn say(line: &str) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}

/// Writes text to stdout; a reader that went away (`| head`) is no error.
///
/// # Errors
/// Any other failure to write, such as a full disk.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Whether stdout may carry colours: a terminal, and `NO_COLOR` unset.
pub(super) fn colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cleaning_disarms_escapes_and_bidi() {
        assert_eq!(clean("a\u{1b}[31mb\u{202e}c"), "a\u{fffd}[31mb\u{fffd}c");
        assert_eq!(one_line(" a\n b\tc ", 20), "a b c");
    }

    #[test]
    fn cutting_counts_characters_not_bytes() {
        assert_eq!(one_line("äöüß", 3), "äö…");
        assert_eq!(middle_cut("holiday/2026/beach-0042.jpg", 14), "holi…-0042.jpg");
        assert_eq!(middle_cut("short.jpg", 14), "short.jpg");
    }

    #[test]
    fn sizes_are_binary() {
        assert_eq!([size(0), size(1023), size(1536), size(5 << 30)], ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]);
    }
}
