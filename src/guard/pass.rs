//! What becomes of a request that passes.

use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderName, HeaderValue};

use super::Guard;
use crate::credential::DPOP;
use crate::evidence::Grant;

/// The token stops here: it goes off the request, and the grant goes on with it.
pub(crate) fn pass_on(parts: &mut Parts, grant: &Grant) {
    parts.headers.remove(AUTHORIZATION);
    take_off_shown(parts);
    parts.extensions.insert(grant.clone());
}

/// What was shown of possession was shown to the guard, and is worth nothing to anybody else.
pub(crate) fn take_off_shown(parts: &mut Parts) {
    // Most requests have none: looking at the names costs less than looking for each.
    if parts.headers.keys().any(|name| SHOWN.contains(name)) {
        for field in SHOWN {
            parts.headers.remove(field);
        }
    }
}

/// A proof, and what proxies say of certificates.
const SHOWN: [HeaderName; 4] = [
    DPOP,
    HeaderName::from_static("client-cert"),
    HeaderName::from_static("client-cert-chain"),
    HeaderName::from_static("x-forwarded-client-cert"),
];

impl Guard {
    /// The nonce that the client of this grant should use next, where the one it used is ending: for the field
    /// `DPoP-Nonce` of the answer. A layer sends it itself.
    #[must_use]
    pub fn next_nonce(&self, grant: &Grant) -> Option<HeaderValue> {
        grant.token().proof().filter(|proof| proof.wants_nonce())?;
        let nonces = self.inner.terms.dpop.as_ref()?.nonces.as_ref()?;
        HeaderValue::try_from(nonces.make(grant.at())).ok()
    }
}
