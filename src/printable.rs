//! Text from outside, escaped for a line of a log.

use std::fmt::{self, Write as _};

/// A string that an outsider chose, such as a claim, a path or a key id.
///
/// `Display` escapes quotes, backslashes and control, line, ANSI and bidirectional characters, and cuts the text after
/// [`LIMIT`](Self::LIMIT) characters. No claim can forge a line of a log, or hide one. `Debug` writes the same between
/// quotes. [`raw`](Self::raw) returns the text itself, for comparison and storage, never for a log.
///
/// ```
/// use unconfused::audit::Printable;
///
/// let subject = Printable::from("alice\nallowed: bob");
/// assert_eq!(subject.to_string(), r"alice\nallowed: bob");
/// assert_eq!(subject.raw(), "alice\nallowed: bob");
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Printable<'a>(&'a str);

impl<'a> Printable<'a> {
    /// The maximum number of characters of the text that are shown, before escaping.
    pub const LIMIT: usize = 256;

    /// Returns the text as it came in.
    #[must_use]
    pub const fn raw(self) -> &'a str {
        self.0
    }
}

impl<'a> From<&'a str> for Printable<'a> {
    fn from(text: &'a str) -> Self {
        Printable(text)
    }
}

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.chars();
        for c in rest.by_ref().take(Printable::LIMIT) {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() || is_invisible(c) => write!(f, "{}", c.escape_unicode())?,
                c => f.write_char(c)?,
            }
        }
        if rest.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

impl fmt::Debug for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Returns true for a character that is invisible but changes what a reader sees: separators of lines and paragraphs,
/// bidirectional marks, zero-width characters, tags, and blanks other than the space.
fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
        || (c.is_whitespace() && c != ' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_ansi_and_bidi_are_escaped() {
        let text = "a\r\nb\u{1b}[31mred\u{202e}evil\u{2028}c\u{200b}d\u{85}e\u{0}";
        let shown = Printable::from(text).to_string();
        assert_eq!(shown, r"a\r\nb\u{1b}[31mred\u{202e}evil\u{2028}c\u{200b}d\u{85}e\u{0}");
    }

    #[test]
    fn a_quote_cannot_end_the_quotation() {
        assert_eq!(format!("{:?}", Printable::from("a\" b=\"\\")), r#""a\" b=\"\\""#);
    }

    #[test]
    fn long_text_is_cut_and_ends_with_an_ellipsis() {
        let shown = Printable::from("é".repeat(300).as_str()).to_string();
        assert_eq!(shown.chars().count(), 257);
        assert!(shown.ends_with('…'));
        assert!(!Printable::from("é".repeat(256).as_str()).to_string().ends_with('…'));
    }
}
