//! A DPoP proof after its checks.

use std::fmt;
use std::sync::Arc;

use time::UtcDateTime;

/// A DPoP proof that passed every check of [`Dpop::check`](super::Dpop::check).
///
/// Whether the same proof was used **before** is not checked there. To accept each proof once, insert
/// [`ReplayEntry::for_proof`](crate::replay::ReplayEntry::for_proof) of the token into a
/// [`ReplayStore`](crate::replay::ReplayStore). A guard does this itself.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "whether the proof was used before is not checked yet: insert its `ReplayEntry`"]
pub struct AcceptedProof {
    pub(super) key: Arc<str>,
    pub(super) jti: Arc<str>,
    pub(super) issued_at: UtcDateTime,
    pub(super) expires_at: UtcDateTime,
    pub(super) is_dated_by_nonce: bool,
    pub(super) wants_nonce: bool,
}

impl AcceptedProof {
    /// Returns the SHA-256 thumbprint of the proof key ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)), in
    /// base64url.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Returns the proof's `jti`, which is unique among the proofs of its key.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// Returns the earliest moment at which the proof may have been made.
    ///
    /// This is `iat`, less the time by which a client's clock may be ahead. If a nonce was required, it is the moment
    /// when the nonce was made, less 2 seconds for a replica whose clock is ahead.
    #[must_use]
    pub fn issued_at(&self) -> UtcDateTime {
        self.issued_at
    }

    /// Returns the moment from which the proof is too old to be accepted. A store must remember it until then.
    #[must_use]
    pub fn expires_at(&self) -> UtcDateTime {
        self.expires_at
    }

    /// True if a nonce of this resource, and not `iat`, decided how fresh the proof is.
    pub(crate) fn is_dated_by_nonce(&self) -> bool {
        self.is_dated_by_nonce
    }

    /// True if the client should be given a nonce for its next proof.
    pub(crate) fn wants_nonce(&self) -> bool {
        self.wants_nonce
    }
}

impl fmt::Debug for AcceptedProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcceptedProof(..)")
    }
}
