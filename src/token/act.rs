//! One reading of `act`: objects in objects, the outermost first (RFC 8693 section 4.1).
//!
//! In one pass, whatever the depth. That the nesting is bounded is known by then.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::jose::Name;

/// What stands in one link, as it was written.
#[derive(Default)]
pub(super) struct RawLink<'a> {
    pub(super) iss: Option<&'a str>,
    pub(super) sub: Option<&'a str>,
}

/// The links of a chain; `None` where one of them is no object.
pub(super) fn read(raw: &str) -> Option<Vec<RawLink<'_>>> {
    let mut links = Vec::new();
    Chain(&mut links).deserialize(&mut serde_json::Deserializer::from_str(raw)).ok()?;
    Some(links)
}

struct Chain<'l, 'a>(&'l mut Vec<RawLink<'a>>);

impl<'de> DeserializeSeed<'de> for Chain<'_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Chain<'_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an actor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let at = self.0.len();
        self.0.push(RawLink::default());
        while let Some(name) = map.next_key_seed(Name)? {
            match name.as_ref() {
                "act" => map.next_value_seed(Chain(self.0))?,
                "iss" | "sub" => {
                    let value = map.next_value::<&RawValue>()?.get();
                    if let Some(link) = self.0.get_mut(at) {
                        let member = if name == "iss" { &mut link.iss } else { &mut link.sub };
                        *member = Some(value);
                    }
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_come_with_the_outermost_first_whatever_the_order_of_members() {
        let json = r#"{"x":[{}],"act":{"sub":"b","\u0061ct":{"iss":"i","sub":"c"}},"sub":"a"}"#;
        let links = read(json).unwrap();
        let subs: Vec<_> = links.iter().map(|link| link.sub.unwrap()).collect();
        assert_eq!(subs, [r#""a""#, r#""b""#, r#""c""#]);
        assert_eq!(links[2].iss, Some(r#""i""#));
    }

    #[test]
    fn what_is_no_object_is_no_link() {
        for json in ["null", "[]", "1", r#""a""#, r#"{"sub":"a","act":null}"#, r#"{"act":[]}"#] {
            assert!(read(json).is_none(), "{json}");
        }
    }
}
