//! A token for the next hop, which attaches itself to requests for its own resource and to no others.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use tokio::time::Instant;

use super::nonce::LastNonce;
use super::proof_key::ProofKey;
use super::www_authenticate::challenges;
use crate::credential::DPOP;
use crate::names::Scope;
use crate::outbound::Origin;

/// The field of transaction tokens (draft-ietf-oauth-transaction-tokens).
pub(super) const TXN_TOKEN: HeaderName = HeaderName::from_static("txn-token");

/// A token for what this service calls next. It cannot be read: it attaches itself to requests.
///
/// [`NextHop::token`](super::NextHop::token) makes it. It is for one resource, and [`attach`](Self::attach) refuses any
/// request for another origin. `Debug` does not show it. It is cheap to clone.
///
/// # Redirects
///
/// Once the token is in a request, the HTTP client decides where that goes. **Follow no redirects**, or only with a client
/// that drops `Authorization` when a redirect leads to another origin: `reqwest` does. A client drops only the fields
/// that it knows, so `Txn-Token` would go along: for [transaction tokens](super::HopTarget::transaction_token), follow no
/// redirects. [`NextHopLayer`](super::NextHopLayer) checks each request of a tower client, also those after a redirect.
#[derive(Clone)]
pub struct OutboundToken(Arc<Inner>);

struct Inner {
    token: String,
    kind: Kind,
    target: Arc<Target>,
    scopes: Vec<Scope>,
    ends_at: Instant,
}

/// How a token is sent.
pub(super) enum Kind {
    Bearer,
    Dpop(ProofKey),
    Transaction,
}

/// Where tokens are sent.
pub(super) struct Target {
    /// The name of the resource.
    pub(super) resource: String,
    pub(super) origin: Origin,
    /// The nonce for the next proof at the resource.
    pub(super) nonce: LastNonce,
}

impl Target {
    /// True if a request for this URL goes to the resource. A `Host` field decides what a server that is shared by
    /// several origins takes it for, so it must not name another one.
    pub(super) fn is_at(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        Origin::of(uri).as_ref() == Some(&self.origin)
            && headers.get_all(HOST).iter().all(|host| self.origin.is_named_by(host))
    }
}

/// The error of [`OutboundToken::attach`]. The request has no credential then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The request is not for the origin of the token's resource, or does not say where it goes: its URL must be
    /// absolute, and a `Host` field, if there is one, must name the same origin.
    #[error("the token is for {expected}, and the request is not")]
    OtherOrigin {
        /// The origin of the resource.
        expected: String,
    },
    /// The token has ended. Ask the hop for another one.
    #[error("the token has ended")]
    Ended,
    /// The proof cannot be signed.
    #[error("the proof cannot be signed")]
    Unsigned,
}

impl OutboundToken {
    pub(super) fn new(
        token: String,
        kind: Kind,
        target: Arc<Target>,
        scopes: Vec<Scope>,
        ends_at: Instant,
    ) -> Self {
        OutboundToken(Arc::new(Inner { token, kind, target, scopes, ends_at }))
    }

    /// Returns the name of the resource that the token is for.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.0.target.resource
    }

    /// Returns the scopes of the token, as the server said: those that were asked for, or fewer.
    #[must_use]
    pub fn scopes(&self) -> &[Scope] {
        &self.0.scopes
    }

    /// Returns how long the token can still be attached. It is never longer than the grant that it was made from.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        self.0.ends_at.saturating_duration_since(Instant::now())
    }

    /// Attaches the token to a request, whose URL must be absolute.
    ///
    /// Sets `Authorization`, marked as sensitive, and `DPoP` if the token is bound to a key; or `Txn-Token` for a
    /// transaction token. What was in these fields is replaced.
    ///
    /// # Errors
    ///
    /// Returns [`AttachError`] if the request is for another origin (scheme, host and port) than the token's resource, by
    /// its URL or by a `Host` field, or if the token has ended. The fields are removed then.
    pub fn attach<B>(&self, request: &mut Request<B>) -> Result<(), AttachError> {
        let (method, uri) = (request.method().clone(), request.uri().clone());
        self.attach_to(&method, &uri, request.headers_mut())
    }

    /// Attaches the token to the fields of a request with this method and URL, for a client whose requests are of
    /// another type.
    ///
    /// Pass what the client will send: a URL that is changed afterwards is not checked.
    ///
    /// # Errors
    ///
    /// Returns [`AttachError`] as [`attach`](Self::attach) does.
    pub fn attach_to(
        &self,
        method: &Method,
        uri: &Uri,
        headers: &mut HeaderMap,
    ) -> Result<(), AttachError> {
        let Inner { token, kind, target, ends_at, .. } = &*self.0;
        // Whatever was there is not for this resource.
        for name in [AUTHORIZATION, DPOP, TXN_TOKEN] {
            headers.remove(name);
        }
        if !target.is_at(uri, headers) {
            return Err(AttachError::OtherOrigin { expected: target.origin.to_string() });
        }
        if Instant::now() >= *ends_at {
            return Err(AttachError::Ended);
        }
        let sensitive = |text: String| {
            let mut value = HeaderValue::try_from(text).map_err(|_| AttachError::Unsigned)?;
            value.set_sensitive(true);
            Ok(value)
        };
        match kind {
            Kind::Bearer => {
                headers.insert(AUTHORIZATION, sensitive(format!("Bearer {token}"))?);
            }
            Kind::Dpop(key) => {
                let nonce = target.nonce.get();
                let proof = key.proof(method.as_str(), uri, Some(token), nonce.as_deref());
                let proof = sensitive(proof.ok_or(AttachError::Unsigned)?)?;
                headers.insert(AUTHORIZATION, sensitive(format!("DPoP {token}"))?);
                headers.insert(DPOP, proof);
            }
            Kind::Transaction => {
                headers.insert(TXN_TOKEN, sensitive(token.clone())?);
            }
        }
        Ok(())
    }

    /// Keeps the nonce of an answer for the next proof, and returns true if the resource refused the request only because
    /// its proof had no nonce or an old one.
    ///
    /// If it returns true, attach the token anew and send the request again, once
    /// ([RFC 9449 section 9](https://www.rfc-editor.org/rfc/rfc9449#section-9)). It is always false for a token that is
    /// not bound to a key.
    #[must_use]
    pub fn wants_retry(&self, status: StatusCode, headers: &HeaderMap) -> bool {
        let Inner { kind: Kind::Dpop(_), target, .. } = &*self.0 else { return false };
        let has_nonce = target.nonce.keep(headers);
        has_nonce
            && status == StatusCode::UNAUTHORIZED
            && challenges(headers).any(|challenge| {
                challenge.is_of("dpop") && challenge.get("error") == Some("use_dpop_nonce")
            })
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.0.target
    }

    /// The bytes of the token.
    pub(super) fn bytes(&self) -> usize {
        self.0.token.len()
    }

    pub(super) fn ends_at(&self) -> Instant {
        self.0.ends_at
    }
}

impl fmt::Debug for OutboundToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutboundToken(for {:?})", self.resource())
    }
}
