//! Text for terminals: escapes, durations, sizes. Pure.
//!
//! Keys, values and error texts come from other people. None of their control characters may reach a terminal or fake
//! a line of output.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes control characters (`\n`, `\t`, `\u{1b}`, …) and the backslash, so that the result is one line and can be
/// turned back into the original.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| c == '\\' || must_hide(c)) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\\\"),
            c if must_hide(c) => escaped.extend(c.escape_default()),
            c => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// As [`escape`], but line feeds and backslashes stay: for messages, which nobody parses.
pub(crate) fn escape_lines(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c != '\n' && must_hide(c) {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped
}

/// Control characters, line separators, and the marks that reorder text on a terminal.
fn must_hide(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// At most `chars_max` characters of bytes that may be text, in quotes; other bytes as their size.
pub(crate) fn preview(bytes: &[u8], chars_max: usize) -> String {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return format!("({} bytes that are not text)", bytes.len());
    };
    let mut shown = String::from("\"");
    shown.push_str(&escape(&text.chars().take(chars_max).collect::<String>()));
    shown.push('"');
    if text.chars().nth(chars_max).is_some() {
        let _ = write!(shown, "… ({} bytes)", bytes.len());
    }
    shown
}

/// A time span for people: `0 ms`, `0.4 ms`, `87 ms`, `3.2 s`, `4 min 05 s`, `3 h 20 min`.
pub(crate) fn milliseconds(ms: f64) -> String {
    const SECOND: f64 = 1000.0;
    if !ms.is_finite() || ms < 0.0 {
        return "?".to_owned();
    }
    if ms < 9.95 && ms.fract() > 0.0 {
        return format!("{ms:.1} ms");
    }
    if ms < SECOND {
        return format!("{ms:.0} ms");
    }
    let seconds = ms / SECOND;
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    // Positive, finite and far below u64::MAX for any span that a node reports: the cast saturates otherwise.
    let whole = seconds as u64;
    if whole < 3600 {
        format!("{} min {:02} s", whole / 60, whole % 60)
    } else {
        format!("{} h {:02} min", whole / 3600, whole % 3600 / 60)
    }
}

/// A count with its digits in groups of three: `1 234 567`.
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// `1 key`, `2 keys`.
pub(crate) fn plural(number: u64, noun: &str) -> String {
    if number == 1 {
        format!("1 {noun}")
    } else {
        format!("{} {noun}s", count(number))
    }
}

/// Numbers as ranges: `3, 7, 12-15`.
pub(crate) fn ranges(numbers: &[usize]) -> String {
    let mut shown = String::new();
    let mut index = 0;
    while index < numbers.len() {
        let first = numbers[index];
        let mut last = first;
        while index + 1 < numbers.len() && numbers[index + 1] == last + 1 {
            index += 1;
            last = numbers[index];
        }
        index += 1;
        if !shown.is_empty() {
            shown.push_str(", ");
        }
        let _ = if first == last {
            write!(shown, "{first}")
        } else {
            write!(shown, "{first}-{last}")
        };
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_cannot_fake_a_line_or_reach_the_terminal() {
        assert_eq!(escape("vim\nemacs\t\u{1b}[2J\\"), "vim\\nemacs\\t\\u{1b}[2J\\\\");
        assert!(matches!(escape("plain é 漢"), Cow::Borrowed(_)));
        assert_eq!(escape_lines("a\nb\u{7}"), "a\nb\\u{7}");
    }

    #[test]
    fn spans_have_fitting_units() {
        let shown = [0.0, 0.42, 87.3, 3200.0, 245_000.0, 12_000_000.0, f64::NAN].map(milliseconds);
        assert_eq!(
            shown,
            [
                "0 ms",
                "0.4 ms",
                "87 ms",
                "3.2 s",
                "4 min 05 s",
                "3 h 20 min",
                "?"
            ]
        );
    }

    #[test]
    fn counts_are_grouped() {
        assert_eq!(
            [0, 999, 1000, 1_234_567].map(count),
            ["0", "999", "1 000", "1 234 567"]
        );
    }

    #[test]
    fn neighbours_become_ranges() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[3, 7, 12, 13, 14, 15]), "3, 7, 12-15");
    }

    #[test]
    fn previews_are_short_and_escaped() {
        assert_eq!(preview(b"a\nb", 10), "\"a\\nb\"");
        assert_eq!(preview(b"abcdef", 3), "\"abc\"… (6 bytes)");
        assert_eq!(preview(&[0xff], 3), "(1 bytes that are not text)");
    }
}
