//! The result of the possession checks.

use super::accepted::AcceptedProof;

/// How the sender of a token confirmed that it holds the key. Without either, the token was a bearer token.
#[derive(Debug, Clone, Default)]
pub(crate) struct Confirmed {
    pub(crate) proof: Option<AcceptedProof>,
    pub(crate) certificate: bool,
}

impl Confirmed {
    /// The name that the audit record shows.
    pub(crate) fn as_str(&self) -> &'static str {
        match (&self.proof, self.certificate) {
            (None, false) => "bearer",
            (Some(_), false) => "dpop",
            (None, true) => "mtls",
            (Some(_), true) => "dpop+mtls",
        }
    }

    pub(crate) fn is_constrained(&self) -> bool {
        self.proof.is_some() || self.certificate
    }
}
