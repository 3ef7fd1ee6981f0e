//! Why a token is not valid, for the operator.

use std::fmt;
use std::sync::Arc;

use super::claims::Claims;
use crate::printable::Printable;
use crate::reason::Reason;

/// The error of parsing and validation: a token was refused, and why.
///
/// `Display` is for the operator. A [`Denial`](crate::Denial) made from this with `from` is what the client may know.
///
/// `Display` may show `iss`, `kid`, `typ` and `alg` of a token that was not verified: escaped, truncated, and marked as
/// unverified. It never shows the token, nor any claim that could be a secret.
pub struct InvalidToken {
    reason: Reason,
    detail: Option<String>,
    /// The claims, for the record, if the signature was verified.
    claims: Option<Arc<Claims>>,
}

impl InvalidToken {
    /// Returns the reason: the first check that failed.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// Shows the operator a header parameter or `iss` of a token that was not verified.
    pub(super) fn unverified(reason: Reason, name: &str, value: Option<&str>) -> Self {
        let detail = match value {
            Some(value) => format!("{name} `{}` (unverified)", truncated(value)),
            None => format!("no {name} (unverified)"),
        };
        InvalidToken { reason, detail: Some(detail), claims: None }
    }

    pub(super) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(super) fn with_claims(mut self, claims: Arc<Claims>) -> Self {
        self.claims = Some(claims);
        self
    }

    pub(crate) fn into_claims(self) -> Option<Arc<Claims>> {
        self.claims
    }
}

impl From<Reason> for InvalidToken {
    fn from(reason: Reason) -> Self {
        InvalidToken { reason, detail: None, claims: None }
    }
}

/// The first 128 characters: enough to recognize the text.
pub(super) fn truncated(text: &str) -> &str {
    text.char_indices().nth(128).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

impl fmt::Display for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.detail {
            Some(detail) => write!(f, "{}: {}", self.reason, Printable::from(&**detail)),
            None => write!(f, "{}", self.reason),
        }
    }
}

impl fmt::Debug for InvalidToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InvalidToken({})", self.reason)
    }
}

impl std::error::Error for InvalidToken {}
