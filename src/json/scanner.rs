//! One strict reading of JSON (RFC 8259): no member twice, at any level, and no bottomless nesting.
//!
//! RFC 7519 section 4 lets a parser refuse duplicate names or take the last; taking either lets two
//! parsers disagree about who a token speaks for, so they are refused.
//!
//! Nothing is copied: values are parts of the text, as they were written.

use std::borrow::Cow;
use std::collections::HashSet;
use std::iter::from_fn;
use std::mem;

use serde::de::IgnoredAny;

/// How deep objects and arrays may be nested, the outermost included.
pub(crate) const MAX_DEPTH: u8 = 32;

/// What an object is like.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kind {
    /// No name stands twice, here or further in, nothing is nested deeper than [`MAX_DEPTH`], and no string has half a
    /// surrogate pair.
    pub(super) sound: bool,
    /// There is an escape.
    pub(super) escaped: bool,
}

/// Reads `text` and hands on the members of the object it is: the name, and the value as it was written. `None` where
/// it is not one JSON object.
pub(super) fn read<'a>(text: &'a str, each: impl FnMut(Cow<'a, str>, &'a str)) -> Option<Kind> {
    let mut scanner = Scanner::new(text);
    scanner.space();
    scanner.object(1, each)?;
    scanner.space();
    let Scanner { at, sound, escaped, .. } = scanner;
    (at == text.len()).then_some(Kind { sound, escaped })
}

/// The members of an object, in order, each value as it was written.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
    sound: bool,
}

impl<'a> Object<'a> {
    /// Reads `text`; `None` where it is not one JSON object.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let mut members = Vec::new();
        let kind = read(text, |name, value| members.push((name, value)))?;
        Some(Object { members, sound: kind.sound })
    }

    /// True where nothing is wrong with it: see [`Kind`].
    pub(crate) fn is_sound(&self) -> bool {
        self.sound
    }

    /// The value of a member. Where a name stands twice, the first of it.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// How often a name stands there.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.members.iter().filter(|(n, _)| n == name).count()
    }
}

/// The text of a JSON string, borrowed unless it has an escape; `None` for any other type.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    match memchr::memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

/// The texts of an array of strings; `None` for any other type.
pub(crate) fn strings(raw: &str) -> Option<Vec<Cow<'_, str>>> {
    array(raw)?.map(string).collect()
}

/// The values of an array that is part of what was read, each as it was written; `None` for any other type.
pub(crate) fn array(raw: &str) -> Option<impl Iterator<Item = &str>> {
    let mut scanner = Scanner::new(raw);
    scanner.skip(b'[')?;
    let mut first = true;
    Some(from_fn(move || {
        scanner.more(b']', mem::take(&mut first)).filter(|more| *more)?;
        scanner.part(Scanner::known)
    }))
}

/// The members of an object that is part of what was read; `None` for any other type.
pub(crate) fn members(raw: &str) -> Option<impl Iterator<Item = (Cow<'_, str>, &str)>> {
    let mut scanner = Scanner::new(raw);
    scanner.skip(b'{')?;
    let mut first = true;
    Some(from_fn(move || {
        scanner.more(b'}', mem::take(&mut first)).filter(|more| *more)?;
        let name = scanner.name()?;
        Some((name, scanner.part(Scanner::known)?))
    }))
}

/// The members of an object that is part of what was read and is sound; in place of a member of the name `inner`, those of
/// the object that it is, and so on: how far in, name and value. One pass. Answers how many objects there are; `None` where
/// one of them is none.
pub(crate) fn chain<'a>(
    raw: &'a str,
    inner: &str,
    mut each: impl FnMut(usize, Cow<'a, str>, &'a str),
) -> Option<usize> {
    Scanner::new(raw).chain(0, inner, &mut each)
}

/// A bit of a name: names with two bits are two names.
pub(super) fn mark(name: &str) -> u64 {
    let bytes = name.as_bytes();
    let (first, last) = (bytes.first().copied(), bytes.last().copied());
    let (first, last) = (usize::from(first.unwrap_or(0)), usize::from(last.unwrap_or(0)));
    1 << ((first ^ (last << 2) ^ (bytes.len() << 3)) & 63)
}

/// The names seen in one object. Few are compared one by one; many, and any that had an escape, are hashed under a
/// random key, so that no choice of names makes it slow.
struct Names<'a> {
    marks: u64,
    few: [&'a str; Names::FEW],
    length: usize,
    many: Option<HashSet<Cow<'a, str>>>,
}

impl<'a> Names<'a> {
    const FEW: usize = 32;

    fn new() -> Self {
        Names { marks: 0, few: [""; Names::FEW], length: 0, many: None }
    }

    /// False where the name was there already.
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        let few = self.few.get(..self.length).unwrap_or_default();
        if let (None, Cow::Borrowed(name), true) = (&self.many, &name, self.length < Names::FEW) {
            let mark = mark(name);
            let twice = self.marks & mark != 0 && few.contains(name);
            self.marks |= mark;
            if let Some(next) = self.few.get_mut(self.length) {
                *next = name;
            }
            self.length = self.length.saturating_add(1);
            return !twice;
        }
        let many = self.many.get_or_insert_with(|| few.iter().copied().map(Cow::from).collect());
        many.insert(name)
    }
}

/// Stands in a text. A step that answers `None` found no JSON.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Nothing was wrong so far.
    sound: bool,
    /// A string had an escape.
    escaped: bool,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        Scanner { text, at: 0, sound: true, escaped: false }
    }

    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn forward(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn skip(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.forward(1))
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.forward(1);
        }
    }

    /// What `read` reads, as it was written.
    fn part(&mut self, read: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a str> {
        let start = self.at;
        read(self)?;
        self.text.get(start..self.at)
    }

    /// True where an item follows, the first of its array or object or another one; false at the end.
    fn more(&mut self, close: u8, first: bool) -> Option<bool> {
        self.space();
        if self.skip(close).is_some() {
            return Some(false);
        }
        if !first {
            self.skip(b',')?;
            self.space();
        }
        Some(true)
    }

    fn object(&mut self, depth: u8, mut each: impl FnMut(Cow<'a, str>, &'a str)) -> Option<()> {
        self.skip(b'{')?;
        let mut names = Names::new();
        let mut first = true;
        while self.more(b'}', mem::take(&mut first))? {
            let name = self.name()?;
            self.sound &= names.insert(name.clone());
            let value = self.part(|scanner| scanner.value(depth))?;
            each(name, value);
        }
        Some(())
    }

    /// A name, and the colon.
    fn name(&mut self) -> Option<Cow<'a, str>> {
        let start = self.at;
        let escaped = self.string()?;
        let raw = self.text.get(start..self.at)?;
        self.space();
        self.skip(b':')?;
        self.space();
        // With half a surrogate pair it stays as it was written: the object is not sound.
        let name = if escaped { serde_json::from_str(raw).ok() } else { None };
        match name {
            Some(name) => Some(Cow::Owned(name)),
            None => raw.get(1..raw.len().saturating_sub(1)).map(Cow::Borrowed),
        }
    }

    /// Any value, in so many objects and arrays.
    fn value(&mut self, depth: u8) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'{' | b'[' if depth >= MAX_DEPTH => self.too_deep(),
            b'{' => self.object(depth.saturating_add(1), |_, _| {}),
            b'[' => {
                self.forward(1);
                let mut first = true;
                while self.more(b']', mem::take(&mut first))? {
                    self.value(depth.saturating_add(1))?;
                }
                Some(())
            }
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(depth > 1),
        }
    }

    /// Any value that was read before: only its end is looked for.
    fn known(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            match self.peek()? {
                b'"' => drop(self.string()?),
                b'{' | b'[' => {
                    open = open.saturating_add(1);
                    self.forward(1);
                }
                b'}' | b']' => {
                    open = open.saturating_sub(1);
                    self.forward(1);
                }
                _ if open == 0 => return self.value(1),
                _ => self.forward(1),
            }
            if open == 0 {
                return Some(());
            }
        }
    }

    fn chain(
        &mut self,
        level: usize,
        inner: &str,
        each: &mut impl FnMut(usize, Cow<'a, str>, &'a str),
    ) -> Option<usize> {
        self.skip(b'{')?;
        let next = level.saturating_add(1);
        let (mut first, mut objects) = (true, next);
        while self.more(b'}', mem::take(&mut first))? {
            let name = self.name()?;
            if name == inner {
                objects = self.chain(next, inner, each)?;
            } else {
                each(level, name, self.part(Scanner::known)?);
            }
        }
        Some(objects)
    }

    /// Where it ends is found without recursion; that is all.
    fn too_deep(&mut self) -> Option<()> {
        self.sound = false;
        let rest = self.text.get(self.at..)?;
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        self.forward(values.byte_offset());
        Some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.rest().starts_with(word.as_bytes()).then(|| self.forward(word.len()))
    }

    /// Further in, one that no double can hold is a flaw: what reads it there is another parser.
    fn number(&mut self, inner: bool) -> Option<()> {
        /// Shorter ones without an exponent fit.
        const FIT: usize = 300;
        let start = self.at;
        let _ = self.skip(b'-');
        if self.skip(b'0').is_none() {
            self.digits()?;
        }
        if self.skip(b'.').is_some() {
            self.digits()?;
        }
        let exponent = self.skip(b'e').or_else(|| self.skip(b'E')).is_some();
        if exponent {
            let _ = self.skip(b'+').or_else(|| self.skip(b'-'));
            self.digits()?;
        }
        let number = self.text.get(start..self.at)?;
        if inner && (exponent || number.len() > FIT) {
            self.sound &= number.parse().is_ok_and(f64::is_finite);
        }
        Some(())
    }

    /// One or more.
    fn digits(&mut self) -> Option<()> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.forward(digits);
        (digits > 0).then_some(())
    }

    /// True where it has an escape.
    fn string(&mut self) -> Option<bool> {
        self.skip(b'"')?;
        let mut escaped = false;
        loop {
            self.plain();
            match self.peek()? {
                b'"' => {
                    self.forward(1);
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

    /// To the next quote, backslash or control character, or the end. Eight bytes at a time.
    fn plain(&mut self) {
        const ONES: u64 = u64::MAX / 255;
        const HIGH: u64 = ONES << 7;
        // The high bit of every byte that is below `than`, and perhaps of bytes behind the first.
        let below = |word: u64, than: u8| word.wrapping_sub(ONES * u64::from(than)) & !word & HIGH;
        let is = |word: u64, byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
        loop {
            let rest = self.rest();
            let word = rest.first_chunk().copied().unwrap_or_else(|| {
                let mut word = [0; 8];
                word.iter_mut().zip(rest).for_each(|(to, byte)| *to = *byte);
                word
            });
            let word = u64::from_le_bytes(word);
            let found = below(word, b' ') | is(word, b'"') | is(word, b'\\');
            if found != 0 {
                return self.forward(found.trailing_zeros() as usize / 8);
            }
            self.forward(8);
        }
    }

    fn escape(&mut self) -> Option<()> {
        self.skip(b'\\')?;
        let kind = self.peek()?;
        self.forward(1);
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => {
                match self.hex()? {
                    0xd800..=0xdbff => {
                        // The other half follows at once.
                        let (before, half) =
                            (self.at, self.skip(b'\\').and_then(|()| self.skip(b'u')));
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
        self.forward(4);
        u32::from_str_radix(digits, 16).ok().filter(|_| hex)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt;

    use proptest::collection::{btree_map, vec};
    use proptest::option;
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use serde::de::{Deserializer as _, MapAccess, Visitor};
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    fn sound(text: &str) -> bool {
        Object::read(text).unwrap().is_sound()
    }

    #[test]
    fn anything_but_one_object_is_no_object() {
        for text in [
            "",
            "null",
            "[]",
            "\"a\"",
            "1",
            "{}{}",
            "{} x",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "{\"a\":01}",
            "{\"a\":NaN}",
        ] {
            assert!(Object::read(text).is_none(), "{text}");
        }
        assert!(sound(" {\"a\" : 1 } \n"));
    }

    #[test]
    fn a_member_twice_is_seen_at_every_level_and_under_every_spelling() {
        assert!(!sound(r#"{"sub":"a","sub":"b"}"#));
        assert!(!sound(r#"{"sub":"a","\u0073ub":"b"}"#));
        assert!(!sound(r#"{"x":{"sub":"a","s\u0075b":"b"}}"#));
        assert!(!sound(r#"{"x":[1,{"y":{"a":1,"a":1}}]}"#));
        assert!(sound(r#"{"x":{"a":1},"y":{"a":1}}"#));
    }

    #[test]
    fn a_duplicate_among_many_members_is_seen() {
        let members = |last: &str| {
            let many: Vec<_> = (0..200).map(|n| format!("\"m{n}\":0")).collect();
            format!("{{{},\"{last}\":0}}", many.join(","))
        };
        assert!(sound(&members("other")));
        assert!(!sound(&members("m3")));
        assert!(!sound(&members("m150")));
        assert!(!sound(&format!("{{\"in\":{}}}", members("m150"))));
    }

    #[test]
    fn nesting_is_bounded_and_needs_no_stack() {
        let nest =
            |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        assert!(sound(&nest(32)));
        assert!(!sound(&nest(33)));
        assert!(!sound(&nest(100_000)));
        let deep = format!("{}0{}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
        assert!(!sound(&deep));
        // what is too deep is JSON all the same
        assert!(Object::read(&deep.replace('0', "00")).is_none());
    }

    #[test]
    fn a_number_out_of_range_is_a_flaw_further_in() {
        let long = "9".repeat(400);
        for number in ["1e999", "-1E400", &long] {
            assert!(sound(&format!("{{\"a\":{number}}}")), "{number}");
            assert!(!sound(&format!("{{\"a\":[{number}]}}")), "{number}");
            assert!(!sound(&format!("{{\"a\":{{\"b\":{number}}}}}")), "{number}");
        }
        assert!(sound(r#"{"a":[1e308,-0,1.5e-999,18446744073709551616]}"#));
    }

    #[test]
    fn half_a_surrogate_pair_is_unreadable() {
        assert!(!sound(r#"{"a":"\ud800"}"#));
        assert!(!sound(r#"{"a":["\udc00"]}"#));
        assert!(sound(r#"{"a":"\ud83d\ude00"}"#));
    }

    #[test]
    fn strings_are_borrowed_unless_escaped() {
        assert!(matches!(string("\"abc\""), Some(Cow::Borrowed("abc"))));
        assert_eq!(string(r#""a\u0062c""#).unwrap(), "abc");
        assert_eq!(string("1"), None);
        assert_eq!(strings(r#"["a","\u0062"]"#).unwrap(), ["a", "b"]);
        assert_eq!(strings(r#"["a",1]"#), None);
        assert_eq!(strings(r#""a""#), None);
    }

    /// Values in order, as another parser reads them; `None` where it reads no object.
    fn read_again(text: &str) -> Option<Vec<(String, &RawValue)>> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                std::iter::from_fn(|| map.next_entry().transpose()).collect()
            }
        }
        let mut parser = serde_json::Deserializer::from_str(text);
        let members = parser.deserialize_map(Members).ok()?;
        parser.end().is_ok().then_some(members)
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
            "[ab\"\\\\/\u{1}\u{1f}é]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 5, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(Value::from),
                btree_map("[a-c\"]{0,10}", inner, 0..5).prop_map(|map| json!(map)),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]

        #[test]
        fn it_reads_what_another_parser_reads(
            value in btree_map("[a-c\"]{0,10}", value(), 0..40),
            pretty in any::<bool>(),
            edit in option::of((any::<Index>(), 0..3_usize, select(vec![
                "", " ", "\"", "\\", "\\u", "\\ud83d", "\\udc00", "\\/", "\\x", "{", "}", "[", "]", "[]", "{}", ":", ",",
                "0", "00", "-", "-1", ".", ".5", "e", "E+7", "1e999", "t", "true", "null", "\t", "\u{1}", "\u{7f}", "\u{a0}", "é",
            ]))),
        ) {
            let mut text = if pretty { format!("{:#}", json!(value)) } else { json!(value).to_string() };
            if let Some((at, cut, put)) = edit {
                let mut at = at.index(text.len());
                while !text.is_char_boundary(at) {
                    at -= 1;
                }
                let cut = text[at..].chars().take(cut).map(char::len_utf8).sum::<usize>();
                text.replace_range(at..at + cut, put);
            }
            let object = Object::read(&text);
            let halves = text.contains("\\ud83d") || text.contains("\\udc00");
            match (&object, read_again(&text)) {
                (None, None) => {}
                (Some(object), Some(members)) => {
                    let ours = object.members.iter().map(|(name, value)| (&**name, *value));
                    prop_assert!(ours.eq(members.iter().map(|(name, value)| (&**name, value.get()))));
                    let names: BTreeSet<_> = members.iter().map(|(name, _)| name).collect();
                    prop_assert!(!object.is_sound() || names.len() == members.len());
                }
                // A name with half a surrogate pair.
                (object, members) => prop_assert!(object.is_some() && members.is_none() && halves, "{text}"),
            }
        }
    }
}
