//! The one pass over a JSON text (RFC 8259).
//!
//! RFC 7519 section 4 lets a parser refuse duplicate names or keep the last one. If parsers may choose, two of them can
//! disagree about who a token speaks for, so duplicates are refused, at any level.
//!
//! Nothing is copied: values are slices of the text, as they were written.

use std::borrow::Cow;
use std::collections::HashSet;
use std::mem;

use serde::de::IgnoredAny;

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
}

/// Reads one object and calls `each` with the name and the value of every member, the value as it was written. Returns
/// `None` if `text` is not one JSON object.
pub(super) fn read_object<'a>(
    text: &'a str,
    each: impl FnMut(Cow<'a, str>, &'a str),
) -> Option<Findings> {
    let mut scanner = Scanner::new(text);
    scanner.skip_space();
    scanner.object(1, each)?;
    scanner.skip_space();
    let Scanner { at, sound, escaped, .. } = scanner;
    (at == text.len()).then_some(Findings { sound, escaped })
}

/// Returns true if `text` is one JSON value, with no space around it, in which nothing is wrong: see
/// [`Findings::sound`]. It is nested as deep as a member of an object may be.
pub(super) fn is_sound_value(text: &str) -> bool {
    let mut scanner = Scanner::new(text);
    let is_value = scanner.value(1).is_some() && scanner.at == text.len();
    is_value && scanner.sound
}

/// True for a name by which serde_json passes values to itself. An object with it is read as another value by
/// `serde_json::Value` if certain features are on, as `raw_value` is here.
fn is_serde_jsons_own(name: &str) -> bool {
    name.starts_with("$serde_json::private::")
}

/// One bit that is the same for equal names. Names with different bits differ; names with one bit may differ too.
pub(super) fn name_bit(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let (first, last) = (bytes.first().copied(), bytes.last().copied());
    let (first, last) = (usize::from(first.unwrap_or(0)), usize::from(last.unwrap_or(0)));
    1 << ((first ^ (last << 2) ^ (bytes.len() << 3)) & 63)
}

/// The names seen in one object.
///
/// The first ones are compared one by one. Further names, and any with an escape, go into a set that is hashed under a
/// random key, so no choice of names makes it slow.
struct SeenNames<'a> {
    /// The [`name_bit`]s of `few`.
    bits: u64,
    few: [&'a str; SeenNames::FEW],
    length: usize,
    many: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> SeenNames<'a> {
    const FEW: usize = 32;

    fn new() -> Self {
        SeenNames { bits: 0, few: [""; SeenNames::FEW], length: 0, many: None }
    }

    /// Returns false if the name was seen before.
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        let few = self.few.get(..self.length).unwrap_or_default();
        let has_room = self.length < SeenNames::FEW;
        if let (None, Cow::Borrowed(name), true) = (&self.many, &name, has_room) {
            let bit = name_bit(name);
            let seen = self.bits & bit != 0 && few.contains(name);
            self.bits |= bit;
            if let Some(next) = self.few.get_mut(self.length) {
                *next = name;
            }
            self.length = self.length.saturating_add(1);
            return !seen;
        }
        let many = self.many.get_or_insert_with(|| few.iter().copied().map(Cow::from).collect());
        many.insert(name)
    }
}

/// A position in a text. A method that returns `None` found something that is not JSON.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// See [`Findings::sound`].
    sound: bool,
    /// See [`Findings::escaped`].
    escaped: bool,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Scanner { text, at: 0, sound: true, escaped: false }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    /// Steps over `byte`; `None` if another byte stands here.
    pub(super) fn expect(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.advance(1))
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.advance(1);
        }
    }

    /// Returns the text that `read` steps over, as it was written.
    pub(super) fn slice(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a str> {
        let start = self.at;
        read(self)?;
        self.text.get(start..self.at)
    }

    /// Steps to the next item of an array or object and returns true, or past its end and returns false.
    pub(super) fn has_item(&mut self, close: u8, first: bool) -> Option<bool> {
        self.skip_space();
        if self.expect(close).is_some() {
            return Some(false);
        }
        if !first {
            self.expect(b',')?;
            self.skip_space();
        }
        Some(true)
    }

    fn object(&mut self, depth: u8, mut each: impl FnMut(Cow<'a, str>, &'a str)) -> Option<()> {
        self.expect(b'{')?;
        let mut names = SeenNames::new();
        let mut first = true;
        while self.has_item(b'}', mem::take(&mut first))? {
            let name = self.name()?;
            self.sound &= !is_serde_jsons_own(&name) & names.insert(name.clone());
            let value = self.slice(|scanner| scanner.value(depth))?;
            each(name, value);
        }
        Some(())
    }

    /// Reads a name and the colon behind it.
    pub(super) fn name(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let escaped = self.string()?;
        let raw = self.text.get(start..self.at)?;
        self.skip_space();
        self.expect(b':')?;
        self.skip_space();
        // A name with half a surrogate pair stays as it was written; its object is not sound.
        let name = if escaped { serde_json::from_str(raw).ok() } else { None };
        match name {
            Some(name) => Some(Cow::Owned(name)),
            None => raw.get(1..raw.len().saturating_sub(1)).map(Cow::Borrowed),
        }
    }

    /// Reads any value that stands inside `depth` objects and arrays.
    fn value(&mut self, depth: u8) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' if depth >= MAX_DEPTH => self.too_deep(),
            b'{' => self.object(depth.saturating_add(1), |_, _| {}),
            b'[' => {
                self.advance(1);
                let mut first = true;
                while self.has_item(b']', mem::take(&mut first))? {
                    self.value(depth.saturating_add(1))?;
                }
                Some(())
            }
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
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    open = open.saturating_add(1);
                    self.advance(1);
                }
                b'}' | b']' => {
                    open = open.saturating_sub(1);
                    self.advance(1);
                }
                _ if open == 0 => return self.value(1),
                _ => self.advance(1),
            }
            if open == 0 {
                return Some(());
            }
        }
    }

    /// Finds the end of a value that is nested too deep, without recursion, and checks nothing else in it.
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
        let exponent = self.expect(b'e').or_else(|| self.expect(b'E')).is_some();
        if exponent {
            let _ = self.expect(b'+').or_else(|| self.expect(b'-'));
            self.digits()?;
        }
        let number = self.text.get(start..self.at)?;
        if below_top_level && (exponent || number.len() > SURELY_FITS) {
            self.sound &= number.parse().is_ok_and(f64::is_finite);
        }
        Some(())
    }

    /// Reads one digit or more.
    fn digits(&mut self) -> Option<()> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.advance(digits);
        (digits > 0).then_some(())
    }

    /// Reads a string. Returns true if it has an escape.
    fn string(&mut self) -> Option<bool> {
        self.expect(b'"')?;
        let mut escaped = false;
        loop {
            self.skip_plain_text();
            match self.peek()? {
                b'"' => {
                    self.advance(1);
                    return Some(escaped);
                }
                b'\\' => {
                    escaped = true;
                    self.escaped = true;
                    self.escape()?;
                }
                _ => return None,
            }
        }
    }

    /// Steps to the next quote, backslash or control character, or to the end, eight bytes at a time.
    fn skip_plain_text(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        const HIGH: u64 = ONES << 7;
        // Sets the high bit of every byte below `limit`. Bytes behind the first such byte may be set wrongly.
        let below =
            |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word & HIGH;
        let equal = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        loop {
            let rest = self.rest();
            let word = rest.first_chunk().copied().unwrap_or_else(|| {
                let mut word = [0; 8];
                word.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
                word
            });
            let word = u64::from_le_bytes(word);
            let found = below(word, b' ') | equal(word, b'"') | equal(word, b'\\');
            if found != 0 {
                return self.advance(found.trailing_zeros() as usize / 8);
            }
            self.advance(8);
        }
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
