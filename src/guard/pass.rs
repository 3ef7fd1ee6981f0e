//! What becomes of a request that passes.

use http::HeaderValue;
use http::header::AUTHORIZATION;
use http::request::Parts;

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
    for field in ["client-cert", "client-cert-chain", "x-forwarded-client-cert"] {
        parts.headers.remove(field);
    }
}

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
