//! Values as slices of a text: an object and its members, arrays, strings.

use std::borrow::Cow;
use std::iter::from_fn;
use std::mem;

use super::scanner::{self, Member, Scanner, decoded_name, read_object};

/// The members of an object, in order, each value as it was written.
#[derive(Debug)]
pub(crate) struct Object<'a> {
    members: Vec<(Cow<'a, str>, &'a str)>,
    sound: bool,
}

impl<'a> Object<'a> {
    /// Reads `text`. Returns `None` if it is not one JSON object.
    pub(crate) fn read(text: &'a str) -> Option<Self> {
        let mut members = Vec::new();
        let sound = each_member(text, |name, value| members.push((name, value)))?;
        Some(Object { members, sound })
    }

    /// Returns true if nothing is wrong with the object at any level: no name stands twice or is one of serde_json's
    /// own, nothing is nested too deep, no string has half a surrogate pair, and no inner number is out of range.
    pub(crate) fn is_sound(&self) -> bool {
        self.sound
    }

    /// Returns the value of a member: of the first one, if the name stands twice.
    pub(crate) fn get(&self, name: &str) -> Option<&'a str> {
        self.members.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// Returns how often a name stands in the object.
    pub(crate) fn count(&self, name: &str) -> usize {
        self.members.iter().filter(|(n, _)| n == name).count()
    }
}

/// Reads one object and calls `each` with the name and the value of every member, the value as it was written. Returns
/// whether it is [sound](Object::is_sound), or `None` if `text` is not one JSON object.
pub(crate) fn each_member<'a>(
    text: &'a str,
    mut each: impl FnMut(Cow<'a, str>, &'a str),
) -> Option<bool> {
    let findings = read_object(text, |Member { name, value }| {
        each(decoded_name(text, name), text.get(value).unwrap_or_default());
    })?;
    Some(findings.sound)
}

/// Returns true if `text` is one JSON value with no space around it, nested one level less than an object may be, in
/// which no object has a name twice, no string has half a surrogate pair, and no number inside is out of range.
pub(crate) fn is_sound_value(text: &str) -> bool {
    scanner::is_sound_value(text)
}

/// Returns the text of a JSON string, borrowed unless it has an escape, or `None` for any other type.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    match memchr::memchr(b'\\', inner.as_bytes()) {
        None => Some(Cow::Borrowed(inner)),
        Some(_) => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}

/// Returns the texts of an array of strings, or `None` for any other type.
pub(crate) fn strings(raw: &str) -> Option<Vec<Cow<'_, str>>> {
    array(raw)?.map(string).collect()
}

/// Returns the values of an array, each as it was written, or `None` for any other type. `raw` must be a value of an
/// object that was read.
pub(crate) fn array(raw: &str) -> Option<impl Iterator<Item = &str>> {
    let mut scanner = Scanner::new(raw);
    scanner.expect(b'[')?;
    let mut first = true;
    Some(from_fn(move || {
        scanner.next_item(b']', mem::take(&mut first))??;
        scanner.slice(Scanner::skip_known_value)
    }))
}

/// Returns the members of an object, or `None` for any other type. `raw` must be a value of an object that was read.
pub(crate) fn members(raw: &str) -> Option<impl Iterator<Item = (Cow<'_, str>, &str)>> {
    let mut scanner = Scanner::new(raw);
    scanner.expect(b'{')?;
    let mut first = true;
    Some(from_fn(move || {
        let quote = scanner.next_item(b'}', mem::take(&mut first))??;
        let name = scanner.decoded_name(quote)?;
        Some((name, scanner.slice(Scanner::skip_known_value)?))
    }))
}

/// Reads an object and the objects nested in it under the name `inner`, in one pass. Calls `each` with the level, the
/// name and the value of every other member; the outermost object has level 0. Returns how many objects there are, or
/// `None` if one of them is not an object. `raw` must be a value of a sound object that was read.
pub(crate) fn nested_members<'a>(
    raw: &'a str,
    inner: &str,
    mut each: impl FnMut(usize, Cow<'a, str>, &'a str),
) -> Option<usize> {
    nested_members_from(&mut Scanner::new(raw), 0, inner, &mut each)
}

fn nested_members_from<'a>(
    scanner: &mut Scanner<'a>,
    level: usize,
    inner: &str,
    each: &mut impl FnMut(usize, Cow<'a, str>, &'a str),
) -> Option<usize> {
    scanner.expect(b'{')?;
    let next = level.saturating_add(1);
    let (mut first, mut objects) = (true, next);
    while let Some(quote) = scanner.next_item(b'}', mem::take(&mut first))? {
        let name = scanner.decoded_name(quote)?;
        if name == inner {
            objects = nested_members_from(scanner, next, inner, each)?;
        } else {
            each(level, name, scanner.slice(Scanner::skip_known_value)?);
        }
    }
    Some(objects)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt;

    use proptest::collection::{btree_map, vec};
    use proptest::prelude::*;
    use proptest::sample::{Index, select};
    use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
    use serde_json::value::RawValue;
    use serde_json::{Value, json};

    use super::*;

    fn sound(text: &str) -> bool {
        Object::read(text).unwrap().is_sound()
    }

    #[test]
    fn anything_but_one_object_is_refused() {
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

    /// Different names with one fingerprint; the second begins with the first.
    const ALIKE: [&str; 4] = [
        "0123456789abcdefg",
        "0123456789abcdefg________9abcgefg",
        "a name that differs 1 in its middle",
        "a name that differs 2 in its middle",
    ];

    #[test]
    fn names_that_are_alike_are_not_the_same() {
        for (one, other) in [(ALIKE[0], ALIKE[1]), (ALIKE[2], ALIKE[3])] {
            let many: String = (0..40).map(|n| format!("\"m{n}\":0,")).collect();
            let escaped = one.replace('a', "\\u0061");
            for (first, second) in
                [(one, other), (other, one), (&*escaped, other), (other, &*escaped)]
            {
                let last = format!("\"{first}\":0,\"{second}\":[{{}}]}}");
                let objects = [format!("{{{last}"), format!("{{{many}{last}")];
                for object in objects {
                    assert!(sound(&object), "{object}");
                    assert!(sound(&format!("{{\"a\":[1,{object}],\"b\":{object}}}")), "{object}");
                    for name in [first, second] {
                        let twice = object.replacen('{', &format!("{{\"{name}\":{{}},"), 1);
                        assert!(!sound(&twice), "{twice}");
                        assert!(!sound(&format!("{{\"a\":[1,{twice}],\"b\":0}}")), "{twice}");
                    }
                }
            }
        }
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
        // what is nested too deep must still be JSON
        assert!(Object::read(&deep.replace('0', "00")).is_none());
    }

    #[test]
    fn a_number_out_of_range_is_a_flaw_below_the_top_level() {
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

    /// The members in order as serde_json reads them, or `None` if it does not read an object.
    fn read_with_serde_json(text: &str) -> Option<Vec<(String, &RawValue)>> {
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

    /// Reads a value and fails unless serde_json can read it and it is sound by a plain check of its names.
    struct SoundAt(usize);

    impl<'de> DeserializeSeed<'de> for SoundAt {
        type Value = ();

        fn deserialize<D: Deserializer<'de>>(self, parser: D) -> Result<(), D::Error> {
            parser.deserialize_any(self)
        }
    }

    impl<'de> Visitor<'de> for SoundAt {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a sound value")
        }

        fn visit_unit<E: Error>(self) -> Result<(), E> {
            Ok(())
        }

        fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
            Ok(())
        }

        fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
            Ok(())
        }

        fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
            Ok(())
        }

        fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
            Ok(())
        }

        fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
            Ok(())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            while items.next_element_seed(SoundAt(self.0 + 1))?.is_some() {}
            if self.0 > 32 { Err(A::Error::custom("too deep")) } else { Ok(()) }
        }

        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
            let mut names = BTreeSet::new();
            while let Some(name) = members.next_key::<String>()? {
                members.next_value_seed(SoundAt(self.0 + 1))?;
                if name.starts_with("$serde_json::private::") || !names.insert(name) {
                    return Err(A::Error::custom("a name"));
                }
            }
            if self.0 > 32 { Err(A::Error::custom("too deep")) } else { Ok(()) }
        }
    }

    fn is_sound_by_serde_json(members: &[(String, &RawValue)]) -> bool {
        let is_own = |name: &str| name.starts_with("$serde_json::private::");
        let names: BTreeSet<_> = members.iter().map(|(name, _)| name).collect();
        let is_sound = |raw: &RawValue| {
            // A number at the top level may be of any size.
            raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit())
                || SoundAt(2)
                    .deserialize(&mut serde_json::Deserializer::from_str(raw.get()))
                    .is_ok()
        };
        names.len() == members.len()
            && members.iter().all(|(name, raw)| !is_own(name) && is_sound(raw))
    }

    /// A name as it may be written: some are alike, and some are the same, spelled in another way.
    fn written_name() -> impl Strategy<Value = String> {
        let others = vec![
            "",
            "a",
            "abc",
            "adc",
            "abcdefgh",
            "$serde_json::private::Number",
            "\\ud83d\\ude00",
            "\\ud83d",
            "é",
        ];
        let names = prop_oneof![
            4 => (0..500).prop_map(|n| format!("n{n}")),
            1 => select(ALIKE.to_vec()).prop_map(str::to_owned),
            1 => select(others).prop_map(str::to_owned),
        ];
        (names, 0..4).prop_map(|(name, spelling)| match spelling {
            0 => name.replacen('a', "\\u0061", 1).replacen('1', "\\u0031", 1),
            _ => name,
        })
    }

    /// An object in which names may stand twice, at any level, among a few or many.
    fn written_object() -> impl Strategy<Value = String> {
        let leaf = prop_oneof![
            20 => select(vec!["1", "\"x\"", "[]", "{}", "null"]).prop_map(str::to_owned),
            1 => Just("1e999".to_owned()),
        ];
        let object = |inner: BoxedStrategy<String>| {
            let members = vec((written_name(), inner.clone()), 0..4);
            let many = vec((written_name(), inner), 25..45);
            prop_oneof![6 => members, 1 => many].prop_map(|members| {
                let member = |(name, value): &(String, String)| format!("\"{name}\":{value}");
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            })
        };
        let nested = leaf.prop_recursive(3, 40, 4, move |inner| {
            let objects = object(inner.clone().boxed());
            let array = vec(inner, 0..4).prop_map(|items| format!("[{}]", items.join(", ")));
            prop_oneof![2 => objects, 1 => array]
        });
        object(nested.boxed())
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,8}".prop_map(Value::from),
            "[ab\"\\\\/\u{1}\u{1f}é]{0,20}".prop_map(Value::from),
            "[a-z]{50,150}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 12, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..5).prop_map(Value::from),
                btree_map(name(), inner, 0..5).prop_map(|map| json!(map)),
            ]
        })
    }

    fn name() -> &'static str {
        "[a-c\"]{0,10}"
    }

    /// An object, sometimes with more names than are compared one by one.
    fn object() -> impl Strategy<Value = Value> {
        prop_oneof![
            4 => btree_map(name(), value(), 0..8).prop_map(|map| json!(map)),
            1 => btree_map(name(), any::<bool>(), 28..40).prop_map(|map| json!(map)),
        ]
    }

    /// Where a text is edited, how many characters are cut there, and what is put there.
    fn edit() -> impl Strategy<Value = (Index, usize, &'static str)> {
        let put = select(vec![
            "", " ", "\"", "\\", "\\u", "\\ud83d", "\\udc00", "\\/", "\\x", "{", "}", "[", "]",
            "[]", "{}", ":", ",", "0", "00", "-", "-1", ".", ".5", "e", "E+7", "1e999", "t",
            "true", "null", "\t", "\u{1}", "\u{7f}", "\u{a0}", "é",
        ]);
        (any::<Index>(), 0..3_usize, put)
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn it_knows_which_names_stand_twice(text in written_object()) {
            reads_as_serde_json(&text)?;
        }

        #[test]
        fn it_reads_what_serde_json_reads(
            value in object(),
            pretty in any::<bool>(),
            edits in vec(edit(), 12),
        ) {
            let whole = if pretty { format!("{value:#}") } else { value.to_string() };
            reads_as_serde_json(&whole)?;
            // Each by itself.
            for (at, cut, put) in edits {
                let mut at = at.index(whole.len());
                while !whole.is_char_boundary(at) {
                    at -= 1;
                }
                let cut = whole[at..].chars().take(cut).map(char::len_utf8).sum::<usize>();
                let mut text = whole.clone();
                text.replace_range(at..at + cut, put);
                reads_as_serde_json(&text)?;
            }
        }
    }

    fn reads_as_serde_json(text: &str) -> Result<(), TestCaseError> {
        let object = Object::read(text);
        let halves = text.contains("\\ud83d") || text.contains("\\udc00");
        match (&object, read_with_serde_json(text)) {
            (None, None) => {}
            (Some(object), Some(members)) => {
                let ours = object.members.iter().map(|(name, value)| (&**name, *value));
                prop_assert!(ours.eq(members.iter().map(|(name, value)| (&**name, value.get()))));
                prop_assert_eq!(object.is_sound(), is_sound_by_serde_json(&members), "{}", text);
            }
            // A name with half a surrogate pair.
            (object, members) => {
                prop_assert!(object.is_some() && members.is_none() && halves, "{text}");
            }
        }
        Ok(())
    }
}
