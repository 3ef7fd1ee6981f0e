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
    parts.headers.remove(DPOP);
    take_off_forwarded(parts);
    parts.extensions.insert(grant.clone());
}

/// What proxies say of certificates was said to the guard, and is worth nothing to anybody else.
pub(crate) fn take_off_forwarded(parts: &mut Parts) {
    // Most requests have none: looking at the names costs less than looking for three.
    if parts.headers.keys().any(|name| FORWARDED.contains(name)) {
        for field in FORWARDED {
            parts.headers.remove(field);
        }
    }
}

const FORWARDED: [HeaderName; 3] = [
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
