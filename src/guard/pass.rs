//! What happens to a request that passes, and to its response.

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::{Grant, Guard};
use crate::credential::DPOP;

/// Fields that show possession: proofs, and what proxies say of certificates.
const POSSESSION_FIELDS: [HeaderName; 4] = [
    DPOP,
    HeaderName::from_static("client-cert"),
    HeaderName::from_static("client-cert-chain"),
    HeaderName::from_static("x-forwarded-client-cert"),
];

/// Removes the credential from a request, so that no handler forwards it, and inserts the grant.
pub(crate) fn replace_credential_with_grant(parts: &mut Parts, grant: &Grant) {
    parts.headers.remove(AUTHORIZATION);
    remove_possession_fields(parts);
    parts.extensions.insert(grant.clone());
}

/// Removes the fields that show possession. They were meant for the guard, and are worth nothing to anyone else.
pub(crate) fn remove_possession_fields(parts: &mut Parts) {
    // Most requests have none of them. Comparing the names that are there is faster than looking up each field.
    if parts.headers.keys().any(|name| POSSESSION_FIELDS.contains(name)) {
        for field in POSSESSION_FIELDS {
            parts.headers.remove(field);
        }
    }
}

/// # Responses
impl Guard {
    /// Returns the nonce for the client's next proof, if the one that it used is about to expire.
    ///
    /// Send it in the `DPoP-Nonce` field of the response. A layer does this itself, so call it only if you use
    /// [`authorize`](Self::authorize).
    #[must_use]
    pub fn next_nonce(&self, grant: &Grant) -> Option<HeaderValue> {
        grant.token().proof().filter(|proof| proof.wants_nonce())?;
        let nonces = self.dpop_settings()?.nonces.as_ref()?;
        HeaderValue::try_from(nonces.make(grant.at())).ok()
    }
}
