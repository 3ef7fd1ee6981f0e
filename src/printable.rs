//! Text for a line of a log: from outside, escaped; and what explains a refusal or an error to the operator.

use std::borrow::Cow;
use std::error::Error;
use std::fmt::{self, Write as _};

/// A string that an outsider chose, such as a claim, a path or a key id.
///
/// `Display` escapes quotes, backslashes and control, line, ANSI, bidirectional and invisible characters, among them all
/// of the Unicode category Cf. It escapes a combining mark that would change how a character outside of the text, or an
/// escape, is drawn. It cuts the text after [`LIMIT`](Self::LIMIT) characters. No claim can forge a line of a log, or
/// hide one. `Debug` writes the same between quotes. [`raw`](Self::raw) returns the text itself, for comparison and
/// storage, never for a log.
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
        // Most texts are plain, and are written at once.
        let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
        if self.0.len() <= Printable::LIMIT && self.0.bytes().all(is_plain) {
            return f.write_str(self.0);
        }
        let mut rest = self.0.chars();
        // The character before is one of this text, written as it is.
        let mut follows_own = false;
        for c in rest.by_ref().take(Printable::LIMIT) {
            let mut as_it_is = false;
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\n' => f.write_str("\\n")?,
                '\r' => f.write_str("\\r")?,
                '\t' => f.write_str("\\t")?,
                c if c.is_control() || is_invisible(c) || (!follows_own && is_combining(c)) => {
                    write!(f, "{}", c.escape_unicode())?;
                }
                c => {
                    f.write_char(c)?;
                    as_it_is = true;
                }
            }
            follows_own = as_it_is;
        }
        if rest.next().is_some() { f.write_str("…") } else { Ok(()) }
    }
}

/// Writes what `Display` writes, as a string.
impl serde::Serialize for Printable<'_> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl fmt::Debug for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// What explains a refusal to the operator. `Display` writes it behind the reason.
#[derive(Debug, Clone, Default)]
pub(crate) struct Explanation {
    /// What was expected, or more about the reason. The record may show it: nothing in it is from a token that was not
    /// verified.
    pub(crate) detail: Option<Cow<'static, str>>,
    /// What was found in a credential that was not verified: already escaped, truncated and marked.
    pub(crate) unverified: Option<Cow<'static, str>>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(detail) = &self.detail {
            write!(f, ": {}", Printable::from(&**detail))?;
        }
        if let Some(found) = &self.unverified {
            let before = if self.detail.is_some() { "; " } else { ": " };
            write!(f, "{before}found {found}")?;
        }
        Ok(())
    }
}

/// Returns the text of an error and of all its causes.
///
/// A cause whose text is already there is not repeated: some errors write their cause themselves.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// Returns a URL without what may be secret in it: its user and its query. The text need not be a valid URL.
pub(crate) fn without_secrets(url: &str) -> Cow<'_, str> {
    let (shown, query) = url.split_at(url.find('?').unwrap_or(url.len()));
    let start = shown.find("://").map_or(0, |at| at.saturating_add(3));
    let (scheme, rest) = shown.split_at(start);
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map(|(_, host)| host);
    match (host, query) {
        (None, "") => Cow::Borrowed(url),
        (host, query) => {
            let (user, host) = host.map_or(("", authority), |host| ("..@", host));
            let query = if query.is_empty() { "" } else { "?.." };
            Cow::Owned(format!("{scheme}{user}{host}{path}{query}"))
        }
    }
}

/// Returns true for a character that is invisible but changes what a reader sees: separators of lines and paragraphs,
/// bidirectional marks, zero-width characters, tags, blanks other than the space, and all of the category Cf.
fn is_invisible(c: char) -> bool {
    !c.is_ascii()
        && (matches!(c,
            // Cf
            '\u{ad}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}'
            | '\u{890}'..='\u{891}' | '\u{8e2}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}' | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
            // Blank letters, marks and separators of other categories.
            | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{2028}' | '\u{2029}' | '\u{2800}' | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}' | '\u{ffa0}')
            || c.is_whitespace())
}

/// Returns true for a mark that is drawn over or under the character before it.
fn is_combining(c: char) -> bool {
    // The standard library escapes such a character at the start of a text, and otherwise only what is not printed.
    !c.is_ascii() && c.escape_debug().nth(1).is_some()
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

    /// The category Cf of Unicode 17.
    const CF: [(u32, u32); 21] = [
        (0xad, 0xad),
        (0x600, 0x605),
        (0x61c, 0x61c),
        (0x6dd, 0x6dd),
        (0x70f, 0x70f),
        (0x890, 0x891),
        (0x8e2, 0x8e2),
        (0x180e, 0x180e),
        (0x200b, 0x200f),
        (0x202a, 0x202e),
        (0x2060, 0x2064),
        (0x2066, 0x206f),
        (0xfeff, 0xfeff),
        (0xfff9, 0xfffb),
        (0x110bd, 0x110bd),
        (0x110cd, 0x110cd),
        (0x13430, 0x1343f),
        (0x1bca0, 0x1bca3),
        (0x1d173, 0x1d17a),
        (0xe0001, 0xe0001),
        (0xe0020, 0xe007f),
    ];

    #[test]
    fn every_format_character_and_every_blank_is_escaped() {
        let format = CF.iter().flat_map(|(first, last)| *first..=*last);
        let blank = ['\u{2800}', '\u{3164}', '\u{a0}', '\u{3000}', '\u{2028}'];
        for c in format.filter_map(char::from_u32).chain(blank) {
            let text = format!("a{c}b");
            let shown = Printable::from(&*text).to_string();
            assert_eq!(shown, format!("a{}b", c.escape_unicode()));
        }
    }

    #[test]
    fn a_combining_mark_changes_only_a_letter_of_its_own_text() {
        for (text, shown) in [
            ("\u{301}a", r"\u{301}a"),
            ("\u{20dd}", r"\u{20dd}"),
            ("\u{1ab0}\u{301}", r"\u{1ab0}\u{301}"),
            ("a\"\u{338}", r#"a\"\u{338}"#),
            ("a\u{200b}\u{301}", r"a\u{200b}\u{301}"),
            ("e\u{301}\u{323}", "e\u{301}\u{323}"),
            ("नमस्ते", "नमस्ते"),
            ("'é😀", "'é😀"),
        ] {
            assert_eq!(Printable::from(text).to_string(), shown);
        }
    }

    #[test]
    fn a_url_is_shown_without_user_and_query() {
        for (url, shown) in [
            ("https://a.example/k", "https://a.example/k"),
            ("https://a.example:8443/k?key=s3cret", "https://a.example:8443/k?.."),
            ("https://me:s3cret@a.example/k", "https://..@a.example/k"),
            ("https://me:s3c@ret@a.example?x", "https://..@a.example?.."),
            ("me:s3cret@a.example", "..@a.example"),
            ("https://a.example/@me", "https://a.example/@me"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layered {
        text: &'static str,
        source: Option<Box<Layered>>,
    }

    #[test]
    fn an_error_is_written_with_its_causes_each_once() {
        let error = |text, source: Option<Layered>| Layered { text, source: source.map(Box::new) };
        let dns = error("no such host", None);
        let connect = error("dns error", Some(dns));
        let sent = error("sending failed: dns error", Some(connect));
        assert_eq!(with_causes(&sent), "sending failed: dns error: no such host");
        assert_eq!(with_causes(&error("alone", None)), "alone");
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
