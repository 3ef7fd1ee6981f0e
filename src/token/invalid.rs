//! Why a token is not valid, for the operator.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use super::claims::Claims;
use crate::jose::Unreadable;
use crate::printable::Explanation;
use crate::reason::Reason;

/// The error of parsing and validation: a token was refused, and why.
///
/// `Display` is for the operator: it says what was expected and what was found. `Display` of a
/// [`Denial`](crate::Denial) made from this with `from` is what the client may know.
///
/// What was found may be `iss`, `typ`, `alg` and `kid` of a token that was not verified: escaped, truncated, and marked
/// as unverified. `Display` never shows the token, nor any claim that could be a secret.
pub struct InvalidToken {
    reason: Reason,
    explanation: Explanation,
    /// The claims, for the record, if the signature was verified.
    claims: Option<Arc<Claims>>,
}

impl InvalidToken {
    /// Returns the reason: the first check that failed.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Makes the error that says what was expected, by the settings, and what was found in a token that is not verified.
    pub(super) fn unverified(
        reason: Reason,
        expected: Option<Cow<'static, str>>,
        found: impl fmt::Display,
    ) -> Self {
        let found = format!("{found} (unverified)");
        let explanation = Explanation { detail: expected, unverified: Some(found.into()) };
        InvalidToken { explanation, ..InvalidToken::from(reason) }
    }

    pub(super) fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.explanation.detail = Some(detail.into());
        self
    }

    pub(super) fn with_claims(mut self, claims: Arc<Claims>) -> Self {
        self.claims = Some(claims);
        self
    }

    pub(crate) fn into_parts(self) -> (Reason, Explanation, Option<Arc<Claims>>) {
        (self.reason, self.explanation, self.claims)
    }

    pub(crate) fn explanation(&self) -> &Explanation {
        &self.explanation
    }
}

impl From<Reason> for InvalidToken {
    fn from(reason: Reason) -> Self {
        InvalidToken { reason, explanation: Explanation::default(), claims: None }
    }
}

impl From<Unreadable> for InvalidToken {
    fn from(unreadable: Unreadable) -> Self {
        let Unreadable { reason, expected, found } = unreadable;
        InvalidToken::unverified(reason, Some(expected), found)
    }
}

/// The first 128 characters: enough to recognize the text.
pub(super) fn truncated(text: &str) -> &str {
    text.char_indices().nth(128).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.reason, self.explanation)
    }
}

impl fmt::Debug for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidToken({})", self.reason)
    }
}

impl std::error::Error for InvalidToken {}
