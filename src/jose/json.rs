//! One strict reading of a JSON object: no member twice, at any level, and no bottomless nesting.
//!
//! RFC 7519 section 4 lets a parser refuse duplicate names or take the last; taking either lets two
//! parsers disagree about who a token speaks for, so they are refused.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// How deep objects and arrays may be nested, the outermost included.
pub(crate) const MAX_DEPTH: u8 = 32;

/// The members of an object, in order, each value as it was written.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// A member name stands twice, here or further in.
    duplicate: bool,
    /// Nested deeper than [`MAX_DEPTH`], or a string with half a surrogate pair.
    unreadable: bool,
}

impl<'a> Object<'a> {
    /// Reads `text`; `None` where it is not one JSON object.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let flaws = Flaws::default();
        let members = deserializer.deserialize_map(Members(&flaws)).ok()?;
        deserializer.end().ok()?;
        let mut unreadable = false;
        for (_, value) in &members {
            unreadable |= walk(value.get(), &flaws).is_err();
        }
        unreadable |= flaws.too_deep.get();
        Some(Object { members, duplicate: flaws.duplicate.get(), unreadable })
    }

    /// True where nothing is wrong with it.
    pub(crate) fn is_sound(&self) -> bool {
        !self.duplicate && !self.unreadable
    }

    /// Members as name and value. Where a name stands twice, the first of it.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(n, _)| n == name).map(|(_, value)| value.get())
    }

    /// Every member, in order.
    pub(super) fn into_members(self) -> impl Iterator<Item = (Cow<'a, str>, &'a str)> {
        self.members.into_iter().map(|(name, value)| (name, value.get()))
    }

    /// Every member, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &'a str)> {
        self.members.iter().map(|(name, value)| (name.as_ref(), value.get()))
    }
}

/// The text of a JSON string, borrowed unless it has an escape; `None` for any other type.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inner.contains('\\') {
        serde_json::from_str(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inner))
    }
}

/// The texts of an array of strings; `None` for any other type.
pub(crate) fn strings(raw: &str) -> Option<Vec<Cow<'_, str>>> {
    let values: Vec<&RawValue> = array(raw)?;
    values.into_iter().map(|value| string(value.get())).collect()
}

/// The values of an array, each as it was written; `None` for any other type.
pub(crate) fn array(raw: &str) -> Option<Vec<&RawValue>> {
    if raw.starts_with('[') { serde_json::from_str(raw).ok() } else { None }
}

#[derive(Default)]
struct Flaws {
    duplicate: Cell<bool>,
    too_deep: Cell<bool>,
}

/// The names seen in one object. Few are compared one by one; many are hashed under a random key,
/// so that no choice of names makes it slow.
#[derive(Default)]
struct Names<'a> {
    few: Vec<Cow<'a, str>>,
    many: HashSet<Cow<'a, str>>,
}

impl<'a> Names<'a> {
    const FEW: usize = 24;

    /// False where the name was there already.
    fn insert(&mut self, name: Cow<'a, str>) -> bool {
        if self.few.contains(&name) {
            false
        } else if self.few.len() < Self::FEW {
            self.few.push(name);
            true
        } else {
            self.many.insert(name)
        }
    }
}

/// A member name, borrowed where it has no escape.
pub(crate) struct Name;

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Name {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member name")
    }

    fn visit_borrowed_str<E>(self, name: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(name))
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(name.to_owned()))
    }
}

/// The outermost object.
struct Members<'f>(&'f Flaws);

impl<'de> Visitor<'de> for Members<'_> {
    type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::with_capacity(16);
        let mut names = Names::default();
        while let Some(name) = map.next_key_seed(Name)? {
            if !names.insert(name.clone()) {
                self.0.duplicate.set(true);
            }
            members.push((name, map.next_value()?));
        }
        Ok(members)
    }
}

/// Looks into a value that is a member of the outermost object. Strings without an escape and
/// scalars were read in full already.
fn walk(raw: &str, flaws: &Flaws) -> Result<(), serde_json::Error> {
    let nested = raw.starts_with(['{', '[']);
    if nested || raw.contains('\\') {
        let mut deserializer = serde_json::Deserializer::from_str(raw);
        Walk { flaws, depth: 1 }.deserialize(&mut deserializer)?;
    }
    Ok(())
}

/// Visits a value, keeps nothing. `depth`: how many objects and arrays are round it.
#[derive(Clone, Copy)]
struct Walk<'f> {
    flaws: &'f Flaws,
    depth: u8,
}

impl Walk<'_> {
    fn inner(self) -> Option<Self> {
        let depth = self.depth.checked_add(1)?;
        if depth > MAX_DEPTH {
            self.flaws.too_deep.set(true);
            return None;
        }
        Some(Walk { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        match self.inner() {
            Some(inner) => while seq.next_element_seed(inner)?.is_some() {},
            // `IgnoredAny` does not recurse in serde_json.
            None => while seq.next_element::<IgnoredAny>()?.is_some() {},
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some(inner) = self.inner() else {
            while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(());
        };
        let mut names = Names::default();
        while let Some(name) = map.next_key_seed(Name)? {
            if !names.insert(name) {
                self.flaws.duplicate.set(true);
            }
            map.next_value_seed(inner)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
        assert!(Object::read(&deep).unwrap().unreadable);
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
}
