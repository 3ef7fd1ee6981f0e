//! Why a token is not valid, for the operator.

use std::fmt;
use std::sync::Arc;

use super::Claims;
use crate::printable::Printable;
use crate::reason::Reason;

/// A token that was refused, and why. `Display` is for the operator; what the client may know is a
/// [`Denial`](crate::Denial) made from this.
///
/// `Display` may show `iss`, `kid`, `typ` and `alg` of a token nobody verified: escaped, cut, and marked
/// as unverified. It never shows the token, and no claim that could be a secret.
pub struct InvalidToken {
    reason: Reason,
    detail: Option<String>,
    /// The claims, once the signature stands: for the record.
    signed: Option<Arc<Claims>>,
}

impl InvalidToken {
    /// The first check that failed.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    pub(crate) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// A header parameter or `iss` that nobody verified, shown to the operator.
    pub(super) fn unverified(reason: Reason, name: &str, value: Option<&str>) -> Self {
        let detail = match value {
            Some(value) => format!("{name} `{}` (unverified)", start(value)),
            None => format!("no {name} (unverified)"),
        };
        InvalidToken { reason, detail: Some(detail), signed: None }
    }

    pub(super) fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    pub(super) fn signed(mut self, claims: Arc<Claims>) -> Self {
        self.signed = Some(claims);
        self
    }

    pub(crate) fn into_claims(self) -> Option<Arc<Claims>> {
        self.signed
    }
}

impl From<Reason> for InvalidToken {
    fn from(reason: Reason) -> Self {
        InvalidToken { reason, detail: None, signed: None }
    }
}

/// The first 128 characters: enough to recognise it.
pub(super) fn start(text: &str) -> &str {
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
