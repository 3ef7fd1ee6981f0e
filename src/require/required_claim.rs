//! One claim that a requirement asks for.

use std::fmt;

use crate::detail::MemberPath;
use crate::json::{array, members, string};
use crate::printable::Printable;
use crate::token::AccessToken;

/// Claims that the guard judges itself. A requirement that named one would judge it a second time, by other rules: it
/// would give authority to a prior actor, or to a subject of any issuer.
const JUDGED: &[&str] = &[
    "iss",
    "sub",
    "aud",
    "exp",
    "nbf",
    "iat",
    "jti",
    "client_id",
    "scope",
    "cnf",
    "act",
    "may_act",
    "acr",
    "amr",
    "auth_time",
    "authorization_details",
    "status",
    "txn",
];

/// What a claim of one issuer must state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequiredClaim {
    pub(super) issuer: String,
    path: MemberPath,
    test: ClaimTest,
    value: String,
}

/// How a claim is compared with the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClaimTest {
    /// It is this string.
    Is,
    /// It is an array of strings, and this is one of them.
    Contains,
}

impl RequiredClaim {
    /// The error says why the claim cannot be asked for.
    pub(super) fn new(
        issuer: String,
        path: MemberPath,
        test: ClaimTest,
        value: String,
    ) -> Result<Self, String> {
        if let Some(name) = path.names().next().filter(|name| JUDGED.contains(name)) {
            return Err(format!(
                "the claim `{name}` cannot be required by its name: the guard judges it itself"
            ));
        }
        Ok(RequiredClaim { issuer, path, test, value })
    }

    /// Returns true if the token's issuer is the one that is asked for, and states this.
    pub(super) fn is_met_by(&self, token: &AccessToken) -> bool {
        token.issuer() == self.issuer && self.find(token).is_some_and(|raw| self.is_stated(raw))
    }

    /// The value of the claim, as it was written.
    fn find<'t>(&self, token: &'t AccessToken) -> Option<&'t str> {
        let mut names = self.path.names();
        let outermost = token.raw_claim(names.next()?)?;
        names.try_fold(outermost, |object, name| {
            members(object)?.find(|(member, _)| member == name).map(|(_, value)| value)
        })
    }

    fn is_stated(&self, raw: &str) -> bool {
        match self.test {
            ClaimTest::Is => string(raw).is_some_and(|text| text == self.value),
            ClaimTest::Contains => {
                let Some(mut items) = array(raw) else { return false };
                // An array with anything else in it is of another type.
                let found = items.try_fold(false, |found, item| {
                    string(item).map(|text| found || text == self.value)
                });
                found == Some(true)
            }
        }
    }

    /// Returns true if no token can meet both.
    pub(super) fn excludes(&self, other: &Self) -> bool {
        let is_other_value = self.test == ClaimTest::Is && self.value != other.value;
        self.issuer != other.issuer
            || (self.path == other.path && (self.test != other.test || is_other_value))
    }
}

/// Writes the claim as a requirement is written, with the names of its path joined by `/`.
impl fmt::Display for RequiredClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.path.names().enumerate() {
            let before = if index == 0 { "" } else { "/" };
            write!(f, "{before}{:?}", Printable::from(name))?;
        }
        let test = match self.test {
            ClaimTest::Is => "is",
            ClaimTest::Contains => "contains",
        };
        let (value, issuer) = (Printable::from(&*self.value), Printable::from(&*self.issuer));
        write!(f, " {test} {value:?} of {issuer:?}")
    }
}
