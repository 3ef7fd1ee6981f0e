//! JSON that owns its text: the header and the payload of a token.

use std::borrow::Cow;
use std::num::NonZeroU16;
use std::ops::Range;

use super::names::name_bit;
use super::object;
use super::scanner::{self, Findings, decoded_name, read_object};

/// A part of the text of a [`Json`], by its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Never 0: the object's own brace stands there.
    start: NonZeroU16,
    end: u16,
}

impl Span {
    /// Takes a place in a text of at most [`Json::MAX_BYTES`] that does not begin at 0.
    fn new(place: Range<usize>) -> Option<Self> {
        Some(Span { start: NonZeroU16::new(place.start as u16)?, end: place.end as u16 })
    }

    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The length in bytes.
    pub(crate) fn len(self) -> usize {
        usize::from(self.end).saturating_sub(usize::from(self.start.get()))
    }

    /// What is between the quotes of this string.
    fn inside_quotes(self) -> Option<Self> {
        Some(Span { start: self.start.checked_add(1)?, end: self.end.checked_sub(1)? })
    }
}

/// The text of an object. Strings that had an escape are decoded and appended to it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Json {
    text: String,
    /// How many bytes of `text` were read; decoded strings stand behind them.
    read: usize,
    findings: Findings,
}

impl Json {
    /// The largest text in bytes, decoded strings included.
    const MAX_BYTES: usize = u16::MAX as usize;

    /// Reads an object and calls `each` with the name and the span of the value of every member. Returns `None` if
    /// `text` is not one JSON object or is too long.
    pub(crate) fn read(text: String, mut each: impl FnMut(&str, Span)) -> Option<Self> {
        Self::read_members(text, |text, member| {
            let value = Span::new(member.value)?;
            each(&decoded_name(text, member.name), value);
            Some(())
        })
    }

    /// Reads an object and calls `each` with the text and every member. Returns `None` if that does.
    fn read_members(
        text: String,
        mut each: impl FnMut(&str, scanner::Member) -> Option<()>,
    ) -> Option<Self> {
        if text.len() > Self::MAX_BYTES {
            return None;
        }
        let mut fits = true;
        let findings = read_object(&text, |member| fits &= each(&text, member).is_some())?;
        fits.then_some(Json { read: text.len(), text, findings })
    }

    /// Returns true if nothing is wrong with the object: see [`Findings::sound`].
    pub(crate) fn is_sound(&self) -> bool {
        self.findings.sound
    }

    /// Returns the heap that it holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.text.capacity()
    }

    /// Returns the text that was read.
    pub(crate) fn whole(&self) -> &str {
        self.text.get(..self.read).unwrap_or_default()
    }

    pub(crate) fn text(&self, span: Span) -> &str {
        self.text.get(usize::from(span.start.get())..usize::from(span.end)).unwrap_or_default()
    }

    fn bytes_of(&self, span: Span) -> &[u8] {
        let place = usize::from(span.start.get())..usize::from(span.end);
        self.text.as_bytes().get(place).unwrap_or_default()
    }

    /// Returns the span of `part`, or `None` if `part` is not a slice of this text.
    pub(crate) fn find(&self, part: impl AsRef<[u8]>) -> Option<Span> {
        let part = part.as_ref();
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        self.span(start, part.len())
    }

    fn span(&self, start: usize, length: usize) -> Option<Span> {
        let end = start.checked_add(length).filter(|end| *end <= self.text.len())?;
        Span::new(start..end)
    }

    /// Returns the span of the text of the string at `raw`, decoded if it has an escape. Returns `None` for any other
    /// type, and if there is no room for the decoded text. `raw` must be a whole value.
    pub(crate) fn string(&mut self, raw: Span) -> Option<Span> {
        if !self.findings.escaped {
            return (self.bytes_of(raw).first() == Some(&b'"')).then(|| raw.inside_quotes())?;
        }
        match object::string(self.text(raw))? {
            Cow::Borrowed(inner) => self.find(inner),
            Cow::Owned(text) => self.append(&text),
        }
    }

    /// Returns the span of a name, decoded if it has an escape.
    fn decoded_name(&mut self, raw: Span) -> Option<Span> {
        let place = usize::from(raw.start.get())..usize::from(raw.end);
        match decoded_name(&self.text, place) {
            Cow::Borrowed(_) => Some(raw),
            Cow::Owned(name) => self.append(&name),
        }
    }

    fn append(&mut self, text: &str) -> Option<Span> {
        let start = self.text.len();
        if text.len() > Self::MAX_BYTES.saturating_sub(start) {
            return None;
        }
        self.text.push_str(text);
        self.span(start, text.len())
    }
}

/// An object that owns its text, with an index of its members.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    json: Json,
    members: Vec<Member>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    name: Span,
    value: Span,
}

impl Document {
    /// Returns the heap that it holds, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        let members = self.members.capacity().saturating_mul(size_of::<Member>());
        self.json.bytes().saturating_add(members)
    }

    /// Reads `text`. Returns `None` if it is not one JSON object or is too long.
    pub(crate) fn read(text: String) -> Option<Self> {
        // An estimate that suits most texts of this length.
        let mut members = Vec::with_capacity((text.len() / 28).clamp(8, 64));
        let mut json = Json::read_members(text, |_, member| {
            let (name, value) = (Span::new(member.name)?, Span::new(member.value)?);
            members.push(Member { name, value });
            Some(())
        })?;
        if json.findings.escaped {
            for member in &mut members {
                member.name = json.decoded_name(member.name)?;
            }
        }
        Some(Document { json, members })
    }

    /// Returns true if nothing is wrong with the object: see [`Findings::sound`].
    pub(crate) fn is_sound(&self) -> bool {
        self.json.is_sound()
    }

    /// Returns the span of the value of a member: of the first one, if the name stands twice.
    #[inline]
    pub(crate) fn find(&self, name: &str) -> Option<Span> {
        // Known when compiled, if the name is.
        let bit = name_bit(name);
        if self.json.findings.name_bits & bit == 0 { None } else { self.first(name) }
    }

    fn first(&self, name: &str) -> Option<Span> {
        self.named(name).next().map(|member| member.value)
    }

    /// Returns the span of the value of a member. `None` if the name stands several times with different values.
    pub(crate) fn find_same(&self, name: &str) -> Option<Span> {
        let first = self.find(name)?;
        let is_same = |member: &Member| self.text(member.value) == self.text(first);
        (self.is_sound() || self.named(name).all(is_same)).then_some(first)
    }

    /// Returns the value of a member as it was written: of the first one, if the name stands twice.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|value| self.text(value))
    }

    /// Returns the name of each member, and its value as it was written.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.members.iter().map(|member| (self.text(member.name), self.text(member.value)))
    }

    /// Returns how often a name stands in the object.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Member> {
        let name = name.as_bytes();
        self.members.iter().filter(move |member| {
            let other = self.json.bytes_of(member.name);
            // Most names of this length differ at once.
            other.len() == name.len() && other.first() == name.first() && other == name
        })
    }

    pub(crate) fn text(&self, span: Span) -> &str {
        self.json.text(span)
    }

    pub(crate) fn json(&self) -> &Json {
        &self.json
    }

    pub(crate) fn json_mut(&mut self) -> &mut Json {
        &mut self.json
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    #[test]
    fn members_are_found_by_name_and_kept_as_they_were_written() {
        let json = r#" {"a": 1,"\u0062" :"x\u0079","c":[1, 2]} "#;
        let mut document = Document::read(json.to_owned()).unwrap();
        assert_eq!(document.get("a"), Some("1"));
        assert_eq!(document.get("b"), Some(r#""x\u0079""#));
        assert_eq!(document.get("c"), Some("[1, 2]"));
        assert_eq!(document.get("d"), None);
        let raw = document.find("b").unwrap();
        let kept = document.json_mut().string(raw).unwrap();
        assert_eq!(document.text(kept), "xy");
        // also after it has moved
        let moved = Box::new(document);
        assert_eq!(moved.text(kept), "xy");
        assert_eq!(moved.get("a"), Some("1"));
    }

    #[test]
    fn a_duplicate_name_is_counted_and_makes_the_object_unsound() {
        let document = Document::read(r#"{"a":1,"\u0061":2}"#.to_owned()).unwrap();
        assert_eq!(document.count("a"), 2);
        assert_eq!(document.get("a"), Some("1"));
        assert!(!document.is_sound());
        assert!(Document::read("[]".to_owned()).is_none());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_first_member_of_a_name_is_found(
            names in vec(select(vec!["", "a", "aud", "iss", "abcdefgh", "é", "\\u0061", "n\\n"]), 0..8),
        ) {
            let members = names.iter().enumerate().map(|(n, name)| format!("\"{name}\":{n}"));
            let text = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
            let document = Document::read(text).unwrap();
            for name in ["", "a", "aud", "iss", "abcdefgh", "é", "n\n", "b", "iat", "abcdefg"] {
                let is_name = |other: &&str| other.replace("\\u0061", "a").replace("\\n", "\n") == name;
                let first = names.iter().position(is_name).map(|n| n.to_string());
                prop_assert_eq!(document.get(name), first.as_deref());
                prop_assert_eq!(document.count(name), names.iter().filter(|name| is_name(name)).count());
                let same = document.find_same(name).map(|value| document.text(value).to_owned());
                prop_assert_eq!(same, first.filter(|_| document.count(name) == 1));
            }
        }
    }

    #[test]
    fn a_decoded_string_without_room_is_not_kept() {
        let long = "x".repeat(Json::MAX_BYTES / 2 - 20);
        let text = format!(r#"{{"a":"\u0062{long}"}}"#);
        let mut document = Document::read(text.clone()).unwrap();
        let raw = document.find("a").unwrap();
        let kept = document.json_mut().string(raw).unwrap();
        assert_eq!(document.text(kept).len(), long.len() + 1);
        assert!(document.json_mut().string(raw).is_none());
        assert!(Document::read(format!("{{\"a\":\"{long}{long}{long}\"}}")).is_none());
    }
}
