//! What happens to a request that passes, and to its response.

use std::array;
use std::sync::Arc;

use http::header::{AUTHORIZATION, CACHE_CONTROL, COOKIE, PROXY_AUTHORIZATION};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Grant, Guard};
use crate::credential::{Credential, DPOP, has_query_token};

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

impl Guard {
    /// A copy of the head without credentials, if a policy is asked.
    pub(super) fn head_for_policies(
        &self,
        parts: &Parts,
        credential: &Credential,
    ) -> Option<Arc<Parts>> {
        self.has_policies().then(|| {
            let mut head = parts.clone();
            for name in
                [&self.inner.credential_field, &AUTHORIZATION, &PROXY_AUTHORIZATION, &COOKIE]
            {
                head.headers.remove(name);
            }
            self.remove_credential_fields(&mut head.headers, credential);
            // It holds its credential.
            head.extensions.remove::<Grant>();
            if has_query_token(parts) {
                let path = parts.uri.path().parse();
                head.uri = path.unwrap_or_default();
                #[cfg(feature = "axum")]
                head.extensions.remove::<axum::extract::OriginalUri>();
            }
            Arc::new(head)
        })
    }

    /// Removes the credential from a request, so that no handler forwards it, and inserts the grant.
    pub(crate) fn replace_credential_with_grant(&self, parts: &mut Parts, grant: Grant) {
        let had_field = parts.headers.remove(&self.inner.credential_field).is_some();
        self.remove_credential_fields(&mut parts.headers, grant.credential());
        if had_field {
            // A shared cache stores no answer to a request with `Authorization` unless the answer allows it (RFC 9111
            // section 3.5). For caches behind the guard, this takes the place of the field. Of another field,
            // caches know nothing. It cannot fail, since one field less leaves room for it.
            let no_store = HeaderValue::from_static("no-store");
            let _ = parts.headers.try_append(CACHE_CONTROL, no_store);
        }
        parts.extensions.insert(grant);
    }

    /// Removes the fields that contain the token, and those that show possession.
    fn remove_credential_fields(&self, headers: &mut HeaderMap, credential: &Credential) {
        remove_fields(headers, |name, value| {
            self.is_possession_field(name) || credential.is_in(value.as_bytes())
        });
    }

    /// Removes the fields that show possession. They were meant for the guard, and are worth nothing to anyone else.
    pub(crate) fn remove_possession_fields(&self, parts: &mut Parts) {
        remove_fields(&mut parts.headers, |name, _| self.is_possession_field(name));
    }

    /// True if proofs are in this field, or what a proxy says of the client's certificate.
    fn is_possession_field(&self, name: &HeaderName) -> bool {
        *name == DPOP
            || is_certificate_field(name.as_str())
            || self.inner.certificate_fields.contains(name)
    }
}

/// True if the name says that the field is about the client's certificate.
fn is_certificate_field(name: &str) -> bool {
    // Hardly any name gets past the first condition, which is the cheap one.
    name.as_bytes().windows(4).any(|part| part == b"cert")
        && name
            .split("client")
            .skip(1)
            .any(|rest| rest.strip_prefix(['-', '_']).unwrap_or(rest).starts_with("cert"))
}

/// Removes each field that has a line for which `is_removed` returns true, with all its lines.
fn remove_fields(headers: &mut HeaderMap, is_removed: impl Fn(&HeaderName, &HeaderValue) -> bool) {
    loop {
        let mut found = headers.iter().filter(|(name, value)| is_removed(name, value));
        let Some((first, _)) = found.next() else { return };
        // Several at a time, without an allocation. Most requests have one or none.
        let first = first.clone();
        let more: [Option<HeaderName>; 8] =
            array::from_fn(|_| found.next().map(|(name, _)| name.clone()));
        headers.remove(first);
        for name in more.into_iter().flatten() {
            headers.remove(name);
        }
    }
}
