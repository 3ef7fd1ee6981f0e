//! Rules about single claims, as data.

use std::borrow::Cow;

use super::claim_name::{name, name_of_text};
use crate::json::{Document, string};

/// A rule about one claim of a token, for the methods of [`Profile`](crate::profile::Profile).
///
/// Values are compared with regard to case, except in [`names_client`](Self::names_client). A claim that a rule reads
/// must be a string: a token with a claim of another type is refused (`claim_type_invalid`), whether the rule would
/// hold or not. Only [`present`](Self::present) accepts any type.
///
/// ```
/// use unconfused::profile::{ClaimRule, Profile};
///
/// let profile = Profile::rfc9068()
///     .subject_is_client_if([ClaimRule::names_client("sub", "service-", "")])
///     .subject_is_not_a_person_if([ClaimRule::lists("sub_profile", "ai_agent")]);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRule {
    claim: Cow<'static, str>,
    condition: Condition,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Condition {
    Present,
    Is(Cow<'static, str>),
    StartsWith(Cow<'static, str>),
    EndsWith(Cow<'static, str>),
    Lists(Cow<'static, str>),
    SameAs(Cow<'static, str>),
    NamesClient { before: Cow<'static, str>, after: Cow<'static, str> },
}

impl ClaimRule {
    /// Holds if the claim is there, whatever its type.
    ///
    /// # Panics
    ///
    /// Panics if a claim [cannot be read](crate::profile::Profile).
    pub fn present(claim: impl Into<Cow<'static, str>>) -> Self {
        ClaimRule { claim: name(claim), condition: Condition::Present }
    }

    /// Holds if the claim is this string.
    ///
    /// # Panics
    ///
    /// Panics if a claim [cannot be read](crate::profile::Profile).
    pub fn is(claim: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        ClaimRule { claim: name_of_text(claim), condition: Condition::Is(value.into()) }
    }

    /// Holds if the claim starts with this string.
    ///
    /// # Panics
    ///
    /// Panics if a claim [cannot be read](crate::profile::Profile).
    pub fn starts_with(
        claim: impl Into<Cow<'static, str>>,
        start: impl Into<Cow<'static, str>>,
    ) -> Self {
        ClaimRule { claim: name_of_text(claim), condition: Condition::StartsWith(start.into()) }
    }

    /// Holds if the claim ends with this string.
    ///
    /// # Panics
    ///
    /// Panics if a claim [cannot be read](crate::profile::Profile).
    pub fn ends_with(
        claim: impl Into<Cow<'static, str>>,
        end: impl Into<Cow<'static, str>>,
    ) -> Self {
        ClaimRule { claim: name_of_text(claim), condition: Condition::EndsWith(end.into()) }
    }

    /// Holds if the claim is a string of words separated by spaces, and this word is one of them.
    ///
    /// # Panics
    ///
    /// Panics if a claim [cannot be read](crate::profile::Profile).
    pub fn lists(claim: impl Into<Cow<'static, str>>, word: impl Into<Cow<'static, str>>) -> Self {
        ClaimRule { claim: name_of_text(claim), condition: Condition::Lists(word.into()) }
    }

    /// Holds if both claims are there and are the same string.
    ///
    /// # Panics
    ///
    /// Panics if a claim [cannot be read](crate::profile::Profile).
    pub fn same(claim: impl Into<Cow<'static, str>>, other: impl Into<Cow<'static, str>>) -> Self {
        ClaimRule { claim: name_of_text(claim), condition: Condition::SameAs(name_of_text(other)) }
    }

    /// Holds if the claim is the name of the client with `before` in front of it and `after` behind it, compared
    /// without regard to the case of ASCII letters.
    ///
    /// # Panics
    ///
    /// Panics if a claim [cannot be read](crate::profile::Profile).
    pub fn names_client(
        claim: impl Into<Cow<'static, str>>,
        before: impl Into<Cow<'static, str>>,
        after: impl Into<Cow<'static, str>>,
    ) -> Self {
        let condition = Condition::NamesClient { before: before.into(), after: after.into() };
        ClaimRule { claim: name_of_text(claim), condition }
    }

    pub(super) fn claim(&self) -> &Cow<'static, str> {
        &self.claim
    }

    pub(super) fn holds(&self, claims: &Document, client: Option<&str>) -> bool {
        let Some(raw) = claims.get(&self.claim) else { return false };
        if self.condition == Condition::Present {
            return true;
        }
        let Some(text) = string(raw) else { return false };
        match &self.condition {
            Condition::Present => true,
            Condition::Is(value) => text == *value,
            Condition::StartsWith(start) => text.starts_with(&**start),
            Condition::EndsWith(end) => text.ends_with(&**end),
            Condition::Lists(word) => text.split(' ').any(|one| one == *word),
            Condition::SameAs(other) => {
                claims.get(other).and_then(string).is_some_and(|other| other == text)
            }
            Condition::NamesClient { before, after } => client.is_some_and(|client| {
                text.eq_ignore_ascii_case(&format!("{before}{client}{after}"))
            }),
        }
    }

    /// Writes the claim so that the rule holds.
    #[cfg(feature = "testing")]
    pub(super) fn write(
        &self,
        claims: &mut serde_json::Map<String, serde_json::Value>,
        client: &str,
    ) {
        let value = match &self.condition {
            Condition::Present => "present".to_owned(),
            Condition::Is(text)
            | Condition::StartsWith(text)
            | Condition::EndsWith(text)
            | Condition::Lists(text) => text.clone().into_owned(),
            Condition::SameAs(other) => {
                let other = claims.get(&**other).and_then(serde_json::Value::as_str);
                other.unwrap_or_default().to_owned()
            }
            Condition::NamesClient { before, after } => format!("{before}{client}{after}"),
        };
        claims.insert(self.claim.clone().into_owned(), value.into());
    }

    /// The claims that must be strings if they are there.
    pub(super) fn string_claims(&self) -> impl Iterator<Item = &Cow<'static, str>> {
        let (first, second) = match &self.condition {
            Condition::Present => (None, None),
            Condition::SameAs(other) => (Some(&self.claim), Some(other)),
            _ => (Some(&self.claim), None),
        };
        first.into_iter().chain(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_holds_for_strings_and_for_no_other_type() {
        let claims = |json: &str| Document::read(json.to_owned()).unwrap();
        let a = claims(r#"{"a":"one two","b":"one two","n":1,"l":["one"],"z":null}"#);
        for (holds, rule) in [
            (true, ClaimRule::present("n")),
            (true, ClaimRule::present("z")),
            (false, ClaimRule::present("c")),
            (true, ClaimRule::is("a", "one two")),
            (false, ClaimRule::is("a", "one")),
            (false, ClaimRule::is("n", "1")),
            (true, ClaimRule::starts_with("a", "one")),
            (true, ClaimRule::ends_with("a", "two")),
            (true, ClaimRule::lists("a", "two")),
            (false, ClaimRule::lists("a", "tw")),
            (false, ClaimRule::lists("l", "one")),
            (true, ClaimRule::names_client("a", "ONE", "o")),
            (false, ClaimRule::names_client("a", "", "o")),
            (true, ClaimRule::same("a", "b")),
            (false, ClaimRule::same("a", "n")),
            (false, ClaimRule::same("c", "d")),
        ] {
            assert_eq!(rule.holds(&a, Some(" tw")), holds, "{rule:?}");
        }
    }
}
