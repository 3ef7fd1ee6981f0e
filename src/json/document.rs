//! JSON that owns its text: the header and the payload of a token, read once.

use std::borrow::Cow;
use std::num::NonZeroU16;

use super::scanner::{self, Kind};

/// Where something stands in the text of a [`Json`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text {
    /// Nothing begins at 0: there the object does.
    start: NonZeroU16,
    end: u16,
}

impl Text {
    pub(crate) fn is_empty(self) -> bool {
        self.len() == 0
    }

    /// In bytes.
    pub(crate) fn len(self) -> usize {
        usize::from(self.end).saturating_sub(usize::from(self.start.get()))
    }

    /// What stands between the quotes of this string, so many bytes.
    fn between(self, bytes: usize) -> Option<Self> {
        let start = self.start.checked_add(1)?;
        Some(Text { start, end: start.get().checked_add(bytes.try_into().ok()?)? })
    }
}

/// The text of an object, and behind it those of its strings that had an escape, without.
#[derive(Debug, Clone, Default)]
pub(crate) struct Json {
    text: String,
    /// How much of it was read.
    read: usize,
    kind: Kind,
}

impl Json {
    /// The most bytes, with the strings behind.
    const MAX_BYTES: usize = u16::MAX as usize;

    /// Hands on names, and where the values stand. `None` where `text` is not one JSON object, or too long.
    pub(crate) fn read(
        text: String,
        mut each: impl FnMut(&Self, Cow<'_, str>, Text),
    ) -> Option<Self> {
        let mut json = Json { read: text.len(), text, kind: Kind::default() };
        let mut fits = true;
        let kind = scanner::read(&json.text, |name, value| match json.find(value) {
            Some(value) => each(&json, name, value),
            None => fits = false,
        });
        json.kind = kind.filter(|_| fits)?;
        Some(json)
    }

    /// True where nothing is wrong with it: see [`Kind`].
    pub(crate) fn is_sound(&self) -> bool {
        self.kind.sound
    }

    /// What was read.
    pub(crate) fn whole(&self) -> &str {
        self.text.get(..self.read).unwrap_or_default()
    }

    pub(crate) fn text(&self, text: Text) -> &str {
        self.text.get(usize::from(text.start.get())..usize::from(text.end)).unwrap_or_default()
    }

    /// Where a part of the text stands; `None` for what is no part of it.
    pub(crate) fn find(&self, part: &str) -> Option<Text> {
        let start = part.as_ptr().addr().checked_sub(self.text.as_ptr().addr())?;
        self.span(start, part.len())
    }

    fn span(&self, start: usize, length: usize) -> Option<Text> {
        let end = start.checked_add(length).filter(|end| *end <= self.text.len())?;
        Some(Text { start: NonZeroU16::new(start.try_into().ok()?)?, end: end.try_into().ok()? })
    }

    /// The text of a string that stands here. `None` for any other type, and for one with an escape where there is no
    /// room.
    pub(crate) fn string(&mut self, raw: Text) -> Option<Text> {
        let text = self.text(raw);
        if !self.kind.escaped {
            return raw.between(text.strip_prefix('"')?.strip_suffix('"')?.len());
        }
        match scanner::string(text)? {
            Cow::Borrowed(inner) => self.find(inner),
            Cow::Owned(text) => self.append(&text),
        }
    }

    fn append(&mut self, text: &str) -> Option<Text> {
        let start = self.text.len();
        if text.len() > Self::MAX_BYTES.saturating_sub(start) {
            return None;
        }
        self.text.push_str(text);
        self.span(start, text.len())
    }
}

/// An object, and where its members stand in its text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    json: Json,
    members: Vec<Member>,
    /// The marks of all names.
    marks: u64,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    name: Text,
    value: Text,
}

impl Document {
    /// `None` where `text` is not one JSON object, or too long.
    pub(crate) fn read(text: String) -> Option<Self> {
        // As many as there are in most texts of that length.
        let mut members = Vec::with_capacity((text.len() / 28).clamp(8, 64));
        let mut marks = 0;
        // Names that had an escape, and whose.
        let mut unescaped = Vec::new();
        let mut json = Json::read(text, |json, name, value| {
            marks |= scanner::mark(&name);
            let at = json.find(&name).unwrap_or_else(|| {
                unescaped.push((members.len(), name.into_owned()));
                value
            });
            members.push(Member { name: at, value });
        })?;
        for (at, name) in unescaped {
            members.get_mut(at)?.name = json.append(&name)?;
        }
        Some(Document { json, members, marks })
    }

    /// True where nothing is wrong with it: see [`Kind`].
    pub(crate) fn is_sound(&self) -> bool {
        self.json.is_sound()
    }

    /// Where the value of a member stands. Where the name stands twice, the first.
    pub(crate) fn find(&self, name: &str) -> Option<Text> {
        if self.marks & scanner::mark(name) == 0 {
            return None;
        }
        self.named(name).next().map(|member| member.value)
    }

    /// The value of a member, as it was written. Where the name stands twice, the first.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|value| self.text(value))
    }

    /// How often a name stands there.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.named(name).count()
    }

    fn named(&self, name: &str) -> impl Iterator<Item = &Member> {
        let is = move |of: Text| of.len() == name.len() && self.text(of) == name;
        self.members.iter().filter(move |member| is(member.name))
    }

    pub(crate) fn text(&self, text: Text) -> &str {
        self.json.text(text)
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
        // also when it has moved
        let moved = Box::new(document);
        assert_eq!(moved.text(kept), "xy");
        assert_eq!(moved.get("a"), Some("1"));
    }

    #[test]
    fn a_name_twice_is_counted_and_unsound() {
        let document = Document::read(r#"{"a":1,"\u0061":2}"#.to_owned()).unwrap();
        assert_eq!(document.count("a"), 2);
        assert_eq!(document.get("a"), Some("1"));
        assert!(!document.is_sound());
        assert!(Document::read("[]".to_owned()).is_none());
    }

    #[test]
    fn what_has_no_room_is_not_kept() {
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
