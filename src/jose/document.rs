//! A JSON object that owns its text: the payload of a token, read once.

use std::borrow::Cow;

use super::json::Object;

/// A string of a document: where it stands there, or its text where it was escaped.
#[derive(Debug, Clone)]
pub(crate) enum Text {
    Span(usize, usize),
    Owned(Box<str>),
}

/// An object, and where its members stand in its text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Document {
    text: String,
    /// Names, and where the values begin and end.
    members: Vec<(Text, usize, usize)>,
    sound: bool,
}

impl Document {
    /// `None` where `text` is not one JSON object.
    pub(crate) fn read(text: String) -> Option<Self> {
        let object = Object::read(&text)?;
        let sound = object.is_sound();
        let members = object.into_members().map(|(name, value)| {
            let (start, end) = span(&text, value);
            (keep(&text, name), start, end)
        });
        let members = members.collect();
        Some(Document { text, members, sound })
    }

    /// True where nothing is wrong with it: see [`Object::is_sound`].
    pub(crate) fn is_sound(&self) -> bool {
        self.sound
    }

    /// The value of a member, as it was written. Where the name stands twice, the first.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let (_, start, end) = self.members.iter().find(|(n, ..)| self.text(n) == name)?;
        self.text.get(*start..*end)
    }

    /// How often a name stands there.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.members.iter().filter(|(n, ..)| self.text(n) == name).count()
    }

    /// Remembers a string that was read from a value of this document.
    pub(crate) fn keep(&self, text: Cow<'_, str>) -> Text {
        keep(&self.text, text)
    }

    pub(crate) fn text<'a>(&'a self, text: &'a Text) -> &'a str {
        match text {
            Text::Span(start, end) => self.text.get(*start..*end).unwrap_or_default(),
            Text::Owned(text) => text,
        }
    }
}

fn keep(whole: &str, text: Cow<'_, str>) -> Text {
    match text {
        Cow::Owned(text) => Text::Owned(text.into()),
        Cow::Borrowed(text) => {
            let (start, end) = span(whole, text);
            Text::Span(start, end)
        }
    }
}

/// Where `part`, which was borrowed from `whole`, stands in it.
fn span(whole: &str, part: &str) -> (usize, usize) {
    let start = part.as_ptr().addr().saturating_sub(whole.as_ptr().addr());
    (start, start.saturating_add(part.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jose::string;

    #[test]
    fn members_are_found_by_name_and_kept_as_they_were_written() {
        let json = r#" {"a": 1,"\u0062" :"x\u0079","c":[1, 2]} "#;
        let document = Document::read(json.to_owned()).unwrap();
        assert_eq!(document.get("a"), Some("1"));
        assert_eq!(document.get("b"), Some(r#""x\u0079""#));
        assert_eq!(document.get("c"), Some("[1, 2]"));
        assert_eq!(document.get("d"), None);
        let kept = document.keep(string(document.get("b").unwrap()).unwrap());
        assert_eq!(document.text(&kept), "xy");
        // also when it has moved
        let moved = Box::new(document);
        assert_eq!(moved.text(&kept), "xy");
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
}
