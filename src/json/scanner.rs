//! The one pass over a JSON text (RFC 8259).
//!
//! RFC 7519 section 4 lets a parser refuse duplicate names or keep the last one. If parsers may choose, two of them can
//! disagree about who a token speaks for, so duplicates are refused, at any level.
//!
//! Nothing is copied: names and values are places in the text, as they were written.

use std::borrow::Cow;
use std::mem;
use std::ops::Range;

use serde::de::IgnoredAny;

use super::block::Block;
use super::names::SeenNames;

/// How deep objects and arrays may be nested, the outermost included.
const MAX_DEPTH: u8 = 32;

/// What was found while an object was read.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Findings {
    /// No name stands twice at any level or is one of serde_json's own, nothing is nested deeper than [`MAX_DEPTH`], no
    /// string has half a surrogate pair, and every number below the top level fits an `f64`.
    pub(super) sound: bool,
    /// A string has an escape.
    pub(super) escaped: bool,
    /// The [`name_bit`](super::names::name_bit)s of the names at the top level.
    pub(super) name_bits: u64,
}

/// A member of an object, by its places in the text.
pub(super) struct Member {
    /// Without the quotes.
    pub(super) name: Range<usize>,
    pub(super) value: Range<usize>,
}

/// Reads one object and calls `each` with every member. Returns `None` if `text` is not one JSON object.
pub(super) fn read_object(text: &str, each: impl FnMut(Member)) -> Option<Findings> {
    let mut scanner = Scanner::new(text);
    scanner.skip_space()?;
    let name_bits = scanner.object(1, each)?;
    if scanner.skip_space().is_some() {
        return None;
    }
    Some(Findings { sound: scanner.found_sound(), escaped: scanner.escaped, name_bits })
}

/// Returns true if `text` is one JSON value, with no space around it, in which nothing is wrong: see
/// [`Findings::sound`]. It is nested as deep as a member of an object may be.
pub(super) fn is_sound_value(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    let is_value = scanner.peek().and_then(|first| scanner.value(first, 1)).is_some();
    is_value && scanner.at == text.len() && scanner.found_sound()
}

/// Returns the name that stands between two quotes at this place. One with half a surrogate pair stays as it was
/// written; its object is not sound.
pub(super) fn decoded_name(text: &str, place: Range<usize>) -> Cow<'_, str> {
    let written = text.get(place.clone()).unwrap_or_default();
    if !written.bytes().any(|byte| byte == b'\\') {
        return Cow::Borrowed(written);
    }
    let quoted = text.get(place.start.saturating_sub(1)..place.end.saturating_add(1));
    let name = quoted.and_then(|quoted| serde_json::from_str(quoted).ok());
    name.map_or(Cow::Borrowed(written), Cow::Owned)
}

/// True for a name by which serde_json passes values to itself. An object with it is read as another value by
/// `serde_json::Value` if certain features are on, as `raw_value` is here.
fn is_serde_jsons_own(name: &[u8]) -> bool {
    name.starts_with(b"$serde_json::private::")
}

/// A position in a text. A method that returns `None` found something that is not JSON.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// See [`Findings::sound`].
    sound: bool,
    /// See [`Findings::escaped`].
    escaped: bool,
    /// A name may stand twice in one of the objects.
    may_repeat: bool,
    block: Block,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Scanner {
            text,
            at: 0,
            sound: true,
            escaped: false,
            may_repeat: false,
            block: Block::none(),
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    /// Steps over bytes that were seen, so the position stays within the text.
    fn advance(&mut self, bytes: usize) {
        self.at = self.at.wrapping_add(bytes);
    }

    /// Steps over `byte`; `None` if another byte stands here.
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.advance(1))
    }

    /// Steps over space and returns the byte that follows.
    fn skip_space(&mut self) -> Option<u8> {
        loop {
            match self.peek()? {
                b' ' | b'\n' | b'\r' | b'\t' => self.advance(1),
                other => return Some(other),
            }
        }
    }

    /// Returns the text that `read` steps over, as it was written.
    pub(super) fn slice(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a str> {
        let start = self.at;
        read(self)?;
        self.text.get(start..self.at)
    }

    /// Steps to the next item of an array or object and returns its first byte, or past its end and returns `None`.
    #[inline(always)]
    pub(super) fn next_item(&mut self, close: u8, first: bool) -> Option<Option<u8>> {
        let byte = self.skip_space()?;
        if byte == close {
            self.advance(1);
            return Some(None);
        }
        if first {
            return Some(Some(byte));
        }
        if byte != b',' {
            return None;
        }
        self.advance(1);
        self.skip_space().map(Some)
    }

    /// Reads an object and returns the [`name_bit`](super::names::name_bit)s of its names.
    fn object(&mut self, depth: u8, mut each: impl FnMut(Member)) -> Option<u64> {
        self.expect(b'{')?;
        let mut names = SeenNames::new();
        while let Some(first) = self.next_item(b'}', names.is_empty())? {
            let (name, escaped) = self.name(first)?;
            self.see(&mut names, name.clone(), escaped)?;
            let start = self.at;
            let first = self.peek()?;
            self.value(first, depth)?;
            each(Member { name, value: start..self.at });
        }
        self.may_repeat |= names.may_repeat();
        Some(names.bits())
    }

    /// Adds a name to those of its object, and notes whether it can stand there.
    #[inline(always)]
    fn see(&mut self, names: &mut SeenNames, place: Range<usize>, escaped: bool) -> Option<()> {
        if escaped {
            let name = decoded_name(self.text, place);
            names.insert_decoded(name.as_bytes());
            self.sound &= !is_serde_jsons_own(name.as_bytes());
        } else {
            let (text, start) = (self.text.as_bytes(), place.start);
            let name = text.get(place)?;
            if self.sound {
                let is_repeated = names.insert(text, start, name);
                self.sound = !is_repeated && !is_serde_jsons_own(name);
            } else {
                names.insert_bit(name);
            }
        }
        Some(())
    }

    /// Returns what is known of the text after it was read.
    fn found_sound(&self) -> bool {
        self.sound && !(self.may_repeat && repeats_a_name(&mut Scanner::new(self.text)))
    }

    #[inline(never)]
    fn nested_object(&mut self, depth: u8) -> Option<()> {
        self.object(depth, |_| {}).map(drop)
    }

    #[inline(never)]
    fn array(&mut self, depth: u8) -> Option<()> {
        self.expect(b'[')?;
        let mut is_first = true;
        while let Some(first) = self.next_item(b']', mem::take(&mut is_first))? {
            self.value(first, depth)?;
        }
        Some(())
    }

    /// Reads a name and the colon behind it. Returns its place without the quotes and whether it has an escape.
    #[inline(always)]
    fn name(&mut self, first: u8) -> Option<(Range<usize>, bool)> {
        if first != b'"' {
            return None;
        }
        let start = self.at.wrapping_add(1);
        self.at = start;
        self.skip_plain_text();
        let place = start..self.at;
        match self.text.as_bytes().get(self.at..) {
            Some([b'"', b':', next, ..]) if *next > b' ' => {
                self.advance(2);
                Some((place, false))
            }
            _ => self.rest_of_name(start),
        }
    }

    /// Reads a name and the colon behind it.
    pub(super) fn decoded_name(&mut self, first: u8) -> Option<Cow<'a, str>> {
        match self.name(first)? {
            (place, false) => self.text.get(place).map(Cow::Borrowed),
            (place, true) => Some(decoded_name(self.text, place)),
        }
    }

    /// Reads a name with an escape, or with space behind it.
    #[inline(never)]
    fn rest_of_name(&mut self, start: usize) -> Option<(Range<usize>, bool)> {
        let escaped = self.rest_of_string()?;
        let end = self.at.wrapping_sub(1);
        self.skip_space()?;
        self.expect(b':')?;
        self.skip_space()?;
        Some((start..end, escaped))
    }

    /// Reads any value that stands inside `depth` objects and arrays.
    #[inline(always)]
    fn value(&mut self, first: u8, depth: u8) -> Option<()> {
        match first {
            b'"' => self.string(),
            _ => self.value_but_string(first, depth),
        }
    }

    fn value_but_string(&mut self, first: u8, depth: u8) -> Option<()> {
        match first {
            b'{' | b'[' if depth >= MAX_DEPTH => self.too_deep(),
            b'{' => self.nested_object(depth.saturating_add(1)),
            b'[' => self.array(depth.saturating_add(1)),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number(depth > 1),
        }
    }

    /// Steps over a value that was read before, so only its end is looked for.
    pub(super) fn skip_known_value(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'"' => self.string()?,
                b'{' | b'[' => {
                    open = open.saturating_add(1);
                    self.advance(1);
                }
                b'}' | b']' => {
                    open = open.saturating_sub(1);
                    self.advance(1);
                }
                first if open == 0 => return self.value(first, 1),
                _ => self.advance(1),
            }
            if open == 0 {
                return Some(());
            }
        }
    }

    /// Finds the end of a value that is nested too deep, without recursion, and checks nothing else in it.
    #[cold]
    fn too_deep(&mut self) -> Option<()> {
        self.sound = false;
        let rest = self.text.get(self.at..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        self.advance(values.byte_offset());
        Some(())
    }

    fn literal(&mut self, word: &str) -> Option<()> {
        self.rest().starts_with(word.as_bytes()).then(|| self.advance(word.len()))
    }

    /// Reads a number. Below the top level it must fit an `f64`, since another parser reads it there.
    fn number(&mut self, below_top_level: bool) -> Option<()> {
        /// A number of this length or less fits if it has no exponent.
        const SURELY_FITS: usize = 300;
        let start = self.at;
        let _ = self.expect(b'-');
        if self.expect(b'0').is_none() {
            self.digits()?;
        }
        if self.expect(b'.').is_some() {
            self.digits()?;
        }
        let exponent = matches!(self.peek(), Some(b'e' | b'E'));
        if exponent {
            self.advance(1);
            let _ = self.expect(b'+').or_else(|| self.expect(b'-'));
            self.digits()?;
        }
        let is_long = self.at.wrapping_sub(start) > SURELY_FITS;
        if below_top_level && (exponent || is_long) {
            self.check_range(start)?;
        }
        Some(())
    }

    #[cold]
    fn check_range(&mut self, start: usize) -> Option<()> {
        self.sound &= self.text.get(start..self.at)?.parse().is_ok_and(f64::is_finite);
        Some(())
    }

    /// Reads one digit or more.
    fn digits(&mut self) -> Option<()> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.advance(digits);
        (digits > 0).then_some(())
    }

    /// Reads a string, whose first quote was seen.
    #[inline(always)]
    fn string(&mut self) -> Option<()> {
        self.advance(1);
        self.skip_plain_text();
        match self.expect(b'"') {
            Some(()) => Some(()),
            None => self.rest_of_string().map(drop),
        }
    }

    /// Reads a string from its last quote or an escape on. Returns true if it has an escape.
    #[inline(never)]
    fn rest_of_string(&mut self) -> Option<bool> {
        let mut escaped = false;
        while self.expect(b'"').is_none() {
            escaped = true;
            self.escape()?;
            self.skip_plain_text();
        }
        self.escaped |= escaped;
        Some(escaped)
    }

    /// Steps to the next quote, backslash or control character, or to the end.
    #[inline]
    fn skip_plain_text(&mut self) {
        self.at = self.block.next_special(self.text.as_bytes(), self.at);
    }

    fn escape(&mut self) -> Option<()> {
        self.expect(b'\\')?;
        let kind = self.peek()?;
        self.advance(1);
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                match self.hex()? {
                    0xd800..=0xdbff => {
                        // The other half must follow at once.
                        let (before, half) =
                            (self.at, self.expect(b'\\').and_then(|()| self.expect(b'u')));
                        match half.map(|()| self.hex()) {
                            Some(Some(0xdc00..=0xdfff)) => {}
                            _ => (self.at, self.sound) = (before, false),
                        }
                    }
                    0xdc00..=0xdfff => self.sound = false,
                    _ => {}
                }
                Some(())
            }
            _ => None,
        }
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at.saturating_add(4))?;
        let hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        self.advance(4);
        u32::from_str_radix(digits, 16).ok().filter(|_| hex)
    }
}

/// Returns true if a name stands twice in an object of a text that was read and is not nested too deep. Compares the
/// names themselves.
#[cold]
fn repeats_a_name(scanner: &mut Scanner<'_>) -> bool {
    let Some(first) = scanner.skip_space() else { return false };
    let mut repeats = false;
    let mut is_first = true;
    match first {
        b'{' => {
            scanner.advance(1);
            let mut names = Vec::new();
            while let Some(Some(first)) = scanner.next_item(b'}', mem::take(&mut is_first))
                && let Some(name) = scanner.decoded_name(first)
            {
                names.push(name);
                repeats |= repeats_a_name(scanner);
            }
            names.sort_unstable();
            repeats |= !names.is_sorted_by(|one, next| one < next);
        }
        b'[' => {
            scanner.advance(1);
            while let Some(Some(_)) = scanner.next_item(b']', mem::take(&mut is_first)) {
                repeats |= repeats_a_name(scanner);
            }
        }
        _ => drop(scanner.skip_known_value()),
    }
    repeats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_string_may_end_anywhere_in_a_block_and_nothing_in_it_is_missed() {
        let sound = |text: &str| read_object(text, |_| {}).map(|findings| findings.sound);
        for length in 0..200 {
            let text =
                format!("{{\"a\":\"{}\"}}", "é".repeat(length / 2) + &"x".repeat(length % 2));
            assert_eq!(sound(&text), Some(true), "{text}");
            assert_eq!(sound(&text[..text.len() - 2]), None, "{text}");
            for wrong in ["\n", "\0", "\u{1f}", "\\x", "\"", "\\ud800", "\\u00é"] {
                let wrong_text = text.replacen(":\"", &format!(":\"{wrong}"), 1);
                assert_ne!(sound(&wrong_text), Some(true), "{wrong_text}");
                let wrong_text = text.replace("\"}", &format!("{wrong}\"}}"));
                assert_ne!(sound(&wrong_text), Some(true), "{wrong_text}");
            }
        }
    }
}
