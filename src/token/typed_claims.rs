//! The claims of a token as a type of the service's own.

use std::fmt;

use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use crate::json::Document;
use crate::printable::Printable;
use crate::reason::Reason;

/// Reads one claim.
pub(super) fn read_claim<'a, T: Deserialize<'a>>(
    name: &str,
    raw: &'a str,
) -> Result<T, WrongClaimType> {
    serde_json::from_str(raw).map_err(|error| WrongClaimType::found(name, raw, &error))
}

/// Reads all claims. Unlike a deserializer for the whole text, this one knows which claim does not fit.
pub(super) fn read_all<'a, T: Deserialize<'a>>(claims: &'a Document) -> Result<T, WrongClaimType> {
    T::deserialize(AllClaims(claims)).map_err(|Wrong(wrong)| wrong)
}

/// The error while claims are read. It keeps no message, since that may quote a claim.
#[derive(Debug)]
struct Wrong(WrongClaimType);

impl fmt::Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl std::error::Error for Wrong {}

impl Error for Wrong {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Wrong(WrongClaimType::unnamed())
    }

    fn missing_field(field: &'static str) -> Self {
        Wrong(WrongClaimType::missing(field))
    }

    fn unknown_field(field: &str, _: &'static [&'static str]) -> Self {
        Wrong(WrongClaimType::unexpected(field))
    }
}

struct AllClaims<'a>(&'a Document);

impl<'de> Deserializer<'de> for AllClaims<'de> {
    type Error = Wrong;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_map(Members { members: self.0.iter(), value: None })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Wrong> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Wrong> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct enum identifier ignored_any
    }
}

struct Members<'a, I> {
    members: I,
    /// The name and the value of the claim whose name was read last.
    value: Option<(&'a str, &'a str)>,
}

impl<'a, I: Iterator<Item = (&'a str, &'a str)>> MapAccess<'a> for Members<'a, I> {
    type Error = Wrong;

    fn next_key_seed<K: DeserializeSeed<'a>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Wrong> {
        self.value = self.members.next();
        let name = self.value.map(|(name, _)| seed.deserialize(BorrowedStrDeserializer::new(name)));
        name.transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'a>>(&mut self, seed: V) -> Result<V::Value, Wrong> {
        let Some((name, raw)) = self.value else { return Err(Wrong(WrongClaimType::unnamed())) };
        let value = seed.deserialize(&mut serde_json::Deserializer::from_str(raw));
        value.map_err(|error| Wrong(WrongClaimType::found(name, raw, &error)))
    }
}

/// The error of methods of [`AccessToken`](crate::AccessToken) that read claims, such as
/// [`claim`](crate::AccessToken::claim), [`claims`](crate::AccessToken::claims), [`details`](crate::AccessToken::details)
/// and [`acr`](crate::AccessToken::acr): a claim does not have the type that was asked for, or is missing.
///
/// The message names the claim and what kind of value it has, and never shows the value.
///
/// Turn it into a [`Denial`](crate::Denial) with `from`, or with `?`: 401 and `invalid_token`, by the reason
/// [`ClaimTypeInvalid`](Reason::ClaimTypeInvalid), [`RequiredClaimMissing`](Reason::RequiredClaimMissing), or
/// [`AuthorizationDetailsInvalid`](Reason::AuthorizationDetailsInvalid) for that claim, as the guard has it.
/// No guard makes that denial, so it is not recorded. If the decision of your handler has to be on record, call
/// [`Guard::refuse`](crate::Guard::refuse) instead.
///
/// [`claim`]: crate::AccessToken::claim
/// [`claims`]: crate::AccessToken::claims
/// [`details`]: crate::AccessToken::details
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongClaimType {
    /// Empty if it is not known.
    claim: String,
    problem: &'static str,
}

impl WrongClaimType {
    const MISSING: &str = "is missing";

    /// For a claim that has this value, which could not be read.
    fn found(claim: &str, raw: &str, error: &serde_json::Error) -> Self {
        // An error behind the first character is about something inside the value.
        let is_inside = (error.line(), error.column()) > (1, 1);
        let problem = match raw.bytes().next() {
            Some(b'{') if is_inside => "has a member of another type, or lacks one",
            Some(b'[') if is_inside => "has an entry of another type, or lacks one",
            Some(b'"') => "has another type: it is a string",
            Some(b'{') => "has another type: it is an object",
            Some(b'[') => "has another type: it is an array",
            Some(b't' | b'f') => "has another type: it is a boolean",
            Some(b'n') => "has another type: it is null",
            _ => "has another type: it is a number",
        };
        WrongClaimType { claim: claim.to_owned(), problem }
    }

    /// For a claim whose value says more than its JSON type.
    pub(super) fn of(claim: &str) -> Self {
        WrongClaimType { claim: claim.to_owned(), problem: "has another type" }
    }

    /// For a claim that is a list, of which an entry does not fit.
    pub(super) fn entry(claim: &str) -> Self {
        WrongClaimType { claim: claim.to_owned(), problem: "has an entry of another type" }
    }

    fn missing(claim: &str) -> Self {
        WrongClaimType { claim: claim.to_owned(), problem: Self::MISSING }
    }

    fn unexpected(claim: &str) -> Self {
        WrongClaimType { claim: claim.to_owned(), problem: "is not expected" }
    }

    fn unnamed() -> Self {
        WrongClaimType { claim: String::new(), problem: "" }
    }

    /// Returns the name of the claim. It is empty if your type does not tell which one it was, for example because it
    /// flattens another.
    #[must_use]
    pub fn claim(&self) -> &str {
        &self.claim
    }

    pub(crate) fn reason(&self) -> Reason {
        match (self.problem, &*self.claim) {
            (Self::MISSING, _) => Reason::RequiredClaimMissing,
            (_, "authorization_details") => Reason::AuthorizationDetailsInvalid,
            _ => Reason::ClaimTypeInvalid,
        }
    }
}

impl fmt::Display for WrongClaimType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.claim.is_empty() {
            return f.write_str("the claims do not have the type that was asked for");
        }
        write!(f, "the claim `{}` {}", Printable::from(&*self.claim), self.problem)
    }
}

impl std::error::Error for WrongClaimType {}
