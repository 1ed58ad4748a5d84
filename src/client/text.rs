//! Small helpers for text on terminals: cleaning, cutting, printing.

use std::io::{self, IsTerminal, Write};

/// Replaces what could steer a terminal or reorder a line (control and bidirectional characters).
///
/// File names and workers' texts are written by strangers.
pub fn clean(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { '\u{fffd}' } else { c }).collect()
}

/// Whether a character could make text show something else than what is there.
pub fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line of at most `max` columns: runs of white space become one blank, the rest is cut.
pub fn one_line(text: &str, max: usize) -> String {
    let line = clean(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    console::truncate_str(&line, max, "…").into_owned()
}

/// Cuts the middle out of a path, whose two ends say most, to `max` columns.
pub fn middle_cut(text: &str, max: usize) -> String {
    let text = clean(text);
    if console::measure_text_width(&text) <= max {
        return text;
    }
    let head = console::truncate_str(&text, max.saturating_sub(1) / 3 + 1, "…").into_owned();
    let mut tail = text.as_str();
    while console::measure_text_width(&head) + console::measure_text_width(tail) > max {
        tail = tail.get(tail.chars().next().map_or(0, char::len_utf8)..).unwrap_or_default();
    }
    head + tail
}

/// Seconds in the one unit that says enough: `30 s`, `12 min`, `3 h`.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.max(0.0).round() as u64;
    match whole {
        0..120 => format!("{whole} s"),
        120..7_200 => format!("{} min", whole / 60),
        7_200..172_800 => format!("{} h", whole / 3_600),
        _ => format!("{} days", whole / 86_400),
    }
}

/// `1 file`, `2 files`.
pub fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

/// Writes one line to stderr; a closed stderr is no reason to stop.
pub fn say(line: &str) {
    // On a terminal a bar may stand where it is to be.
    let clear = if io::stderr().is_terminal() { "\r\x1b[2K" } else { "" };
    let _ = writeln!(io::stderr().lock(), "{clear}{line}");
}

/// Writes text to stdout; a reader that went away (`| head`) is no error.
///
/// # Errors
/// Any other failure to write, such as a full disk.
pub fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
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
    fn cutting_counts_columns() {
        assert_eq!(one_line("äöüß", 3), "äö…");
        assert_eq!(one_line("写真の題", 5), "写真…");
        assert_eq!(middle_cut("holiday/2026/beach-0042.jpg", 14), "holi…-0042.jpg");
        assert_eq!(middle_cut("short.jpg", 14), "short.jpg");
    }
}
