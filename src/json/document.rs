//! JSON that owns its text: the header and the payload of a token.

use std::borrow::Cow;
use std::num::NonZeroU16;

use super::object;
use super::scanner::{Findings, name_bit, read_object};

/// A part of the text of a [`Json`], by its place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    /// Never 0: the object's own brace stands there.
    start: NonZeroU16,
    end: u16,
}

impl Span {
    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// The length in bytes.
    pub(crate) fn len(self) -> usize {
        usize::from(self.end).saturating_sub(usize::from(self.start.get()))
    }

    /// The `bytes` bytes between the quotes of this string.
    fn inside_quotes(self, bytes: usize) -> Option<Self> {
        let start = self.start.checked_add(1)?;
        Some(Span { start, end: start.get().checked_add(bytes.try_into().ok()?)? })
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
    pub(crate) fn read(
        text: String,
        mut each: impl FnMut(&Self, Cow<'_, str>, Span),
    ) -> Option<Self> {
        let mut json = Json { read: text.len(), text, findings: Findings::default() };
        let mut fits = true;
        let findings = read_object(&json.text, |name, value| match json.find(value) {
            Some(value) => each(&json, name, value),
            None => fits = false,
        });
        json.findings = findings.filter(|_| fits)?;
        Some(json)
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

    /// Returns the span of `part`, or `None` if `part` is not a slice of this text.
    pub(crate) fn find(&self, part: &str) -> Option<Span> {
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        self.span(start, part.len())
    }

    fn span(&self, start: usize, length: usize) -> Option<Span> {
        let end = start.checked_add(length).filter(|end| *end <= self.text.len())?;
        Some(Span { start: NonZeroU16::new(start.try_into().ok()?)?, end: end.try_into().ok()? })
    }

    /// Returns the span of the text of the string at `raw`, decoded if it has an escape. Returns `None` for any other
    /// type, and if there is no room for the decoded text.
    pub(crate) fn string(&mut self, raw: Span) -> Option<Span> {
        let text = self.text(raw);
        if !self.findings.escaped {
            return raw.inside_quotes(text.strip_prefix('"')?.strip_suffix('"')?.len());
        }
        match object::string(text)? {
            Cow::Borrowed(inner) => self.find(inner),
            Cow::Owned(text) => self.append(&text),
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
    /// The [`name_bit`]s of all names.
    name_bits: u64,
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
        let mut name_bits = 0;
        // Names that had an escape, with the index of their member.
        let mut unescaped = Vec::new();
        let mut json = Json::read(text, |json, name, value| {
            name_bits |= name_bit(&name);
            let name_span = json.find(&name).unwrap_or_else(|| {
                unescaped.push((members.len(), name.into_owned()));
                value
            });
            members.push(Member { name: name_span, value });
        })?;
        for (index, name) in unescaped {
            members.get_mut(index)?.name = json.append(&name)?;
        }
        Some(Document { json, members, name_bits })
    }

    /// Returns true if nothing is wrong with the object: see [`Findings::sound`].
    pub(crate) fn is_sound(&self) -> bool {
        self.json.is_sound()
    }

    /// Returns the span of the value of a member: of the first one, if the name stands twice.
    pub(crate) fn find(&self, name: &str) -> Option<Span> {
        if self.name_bits & name_bit(name) == 0 {
            return None;
        }
        self.named(name).next().map(|member| member.value)
    }

    /// Returns the span of the value of a member. `None` if the name stands several times with different values.
    pub(crate) fn find_same(&self, name: &str) -> Option<Span> {
        let first = self.find(name)?;
        let is_same = |member: &Member| self.text(member.value) == self.text(first);
        self.named(name).all(is_same).then_some(first)
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
        let has_name = move |span: Span| span.len() == name.len() && self.text(span) == name;
        self.members.iter().filter(move |member| has_name(member.name))
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
