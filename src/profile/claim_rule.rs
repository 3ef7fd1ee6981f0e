//! Tests of claims, as data.

use std::borrow::Cow;

use super::Word;
use crate::json::{Document, string};

/// A test of one claim. Values are compared with their case, and only with strings: a claim of another type
/// than a string is a refusal (`claim_type_invalid`), whatever the test, but for [`present`](Self::present).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimRule {
    claim: Word,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    Present,
    Is(Word),
    StartsWith(Word),
    EndsWith(Word),
    Lists(Word),
    Same(Word),
    NamesClient(Word, Word),
}

impl ClaimRule {
    /// The claim is there, of whatever type.
    pub fn present(claim: impl Into<Cow<'static, str>>) -> Self {
        ClaimRule { claim: claim.into(), test: Test::Present }
    }

    /// The claim is this string.
    pub fn is(claim: impl Into<Cow<'static, str>>, value: impl Into<Cow<'static, str>>) -> Self {
        ClaimRule { claim: claim.into(), test: Test::Is(value.into()) }
    }

    /// The claim starts with this string.
    pub fn starts_with(
        claim: impl Into<Cow<'static, str>>,
        start: impl Into<Cow<'static, str>>,
    ) -> Self {
        ClaimRule { claim: claim.into(), test: Test::StartsWith(start.into()) }
    }

    /// The claim ends with this string.
    pub fn ends_with(
        claim: impl Into<Cow<'static, str>>,
        end: impl Into<Cow<'static, str>>,
    ) -> Self {
        ClaimRule { claim: claim.into(), test: Test::EndsWith(end.into()) }
    }

    /// The claim is a list with spaces between, and this word is one of it.
    pub fn lists(claim: impl Into<Cow<'static, str>>, word: impl Into<Cow<'static, str>>) -> Self {
        ClaimRule { claim: claim.into(), test: Test::Lists(word.into()) }
    }

    /// Both claims are there and are the same string.
    pub fn same(claim: impl Into<Cow<'static, str>>, other: impl Into<Cow<'static, str>>) -> Self {
        ClaimRule { claim: claim.into(), test: Test::Same(other.into()) }
    }

    /// The claim is the name of the client, with `before` in front and `after` behind, whatever the case.
    pub fn names_client(
        claim: impl Into<Cow<'static, str>>,
        before: impl Into<Cow<'static, str>>,
        after: impl Into<Cow<'static, str>>,
    ) -> Self {
        ClaimRule { claim: claim.into(), test: Test::NamesClient(before.into(), after.into()) }
    }

    pub(super) fn claim(&self) -> &Word {
        &self.claim
    }

    pub(super) fn holds(&self, claims: &Document, client: Option<&str>) -> bool {
        let Some(raw) = claims.get(&self.claim) else { return false };
        if self.test == Test::Present {
            return true;
        }
        let Some(text) = string(raw) else { return false };
        match &self.test {
            Test::Present => true,
            Test::Is(value) => text == *value,
            Test::StartsWith(start) => text.starts_with(&**start),
            Test::EndsWith(end) => text.ends_with(&**end),
            Test::Lists(word) => text.split(' ').any(|one| one == *word),
            Test::Same(other) => claims.get(other).and_then(string).is_some_and(|o| o == text),
            Test::NamesClient(before, after) => client.is_some_and(|client| {
                text.eq_ignore_ascii_case(&format!("{before}{client}{after}"))
            }),
        }
    }

    /// The claims that must be strings where they are there.
    pub(super) fn texts(&self) -> impl Iterator<Item = &Word> {
        let (first, second) = match &self.test {
            Test::Present => (None, None),
            Test::Same(other) => (Some(&self.claim), Some(other)),
            _ => (Some(&self.claim), None),
        };
        first.into_iter().chain(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_holds_for_strings_and_for_no_other_type() {
        let claims = |json: &str| Document::read(json.to_owned()).unwrap();
        let a = claims(r#"{"a":"one two","b":"one two","n":1,"l":["one"],"z":null}"#);
        for (holds, test) in [
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
            assert_eq!(test.holds(&a, Some(" tw")), holds, "{test:?}");
        }
    }
}
