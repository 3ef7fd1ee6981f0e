//! DPoP proofs (RFC 9449 section 4.3).

use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;

use super::accepted::AcceptedProof;
use super::htu::{normalized_path, normalized_uri};
use super::known_key::KnownKey;
use super::nonce::Nonces;
use super::possession::{Possession, ProofField};
use crate::config_error::ConfigError;
use crate::dates::{earlier, later, numeric_date};
use crate::jose::{Algorithm, AlgorithmSet, Backend, Embedded, constant_time_eq};
use crate::json::{Object, string};
use crate::path::has_dot_segment;
use crate::reason::Reason;

/// The longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// The rules for DPoP proofs ([RFC 9449 section 4.3](https://www.rfc-editor.org/rfc/rfc9449#section-4.3)).
///
/// A proof names the URL that it was made for. The base URL says under which name clients know this resource, and the
/// request's path is appended to it. The `Host` field and what proxies report are never used. URLs are compared as
/// [RFC 3986 section 6.2](https://www.rfc-editor.org/rfc/rfc3986#section-6.2) says, so their spelling does not matter.
/// But if the path of the **request** has dot segments, percent-encoded or not, no proof matches it
/// (`dpop_uri_mismatch`), since servers disagree about what it names. Pass this to [`Guard::dpop`], or call
/// [`check`](Self::check) yourself.
///
/// | rule | default | set by |
/// |---|---|---|
/// | algorithms | ES256 and Ed25519 | [`algorithms`](Self::algorithms) |
/// | library that verifies signatures | [`Backend::default`] | [`backend`](Self::backend) |
/// | age of a proof | at most 60 seconds | [`window`](Self::window) |
/// | clock of the client | at most 10 seconds ahead | [`window`](Self::window) |
/// | nonces | none, and one that a proof has is ignored | [`nonces`](Self::nonces) |
/// | size of a proof | at most 4096 bytes | fixed, [`MAX_BYTES`](Self::MAX_BYTES) |
/// | `jti` | from 1 to 256 bytes | fixed |
///
/// ```
/// use std::time::Duration;
/// use unconfused::proof::Dpop;
///
/// let dpop = Dpop::for_base_url("https://api.example.com")?
///     .window(Duration::from_secs(30), Duration::from_secs(5));
/// assert!(Dpop::for_base_url("api.example.com").is_err());
/// # let _ = dpop;
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
///
/// [`Guard::dpop`]: crate::Guard::dpop
#[derive(Debug, Clone)]
pub struct Dpop {
    base_urls: Vec<String>,
    algorithms: Vec<Algorithm>,
    backend: Backend,
    max_age: Duration,
    max_ahead: Duration,
    pub(crate) nonces: Option<Nonces>,
}

impl Dpop {
    /// The size of the largest proof that is read, in bytes.
    pub const MAX_BYTES: usize = 4 * 1024;

    /// Accepts proofs for URLs below this base URL.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] if it is not an http or https URL with a host, or if it has a user, a query or a
    /// fragment.
    pub fn for_base_url(base: &str) -> Result<Self, ConfigError> {
        Ok(Dpop {
            base_urls: vec![normalized_base_url(base)?],
            algorithms: vec![Algorithm::Es256, Algorithm::Ed25519],
            backend: Backend::default(),
            max_age: Duration::from_secs(60),
            max_ahead: Duration::from_secs(10),
            nonces: None,
        })
    }

    /// Accepts proofs for URLs below this base URL, too. For a resource that clients know under several names.
    ///
    /// # Errors
    ///
    /// Returns [`ConfigError`] for the same base URLs as [`for_base_url`](Self::for_base_url).
    pub fn and_base_url(mut self, base: &str) -> Result<Self, ConfigError> {
        self.base_urls.push(normalized_base_url(base)?);
        Ok(self)
    }

    /// Sets the algorithms that proofs may be signed with. Challenges list them in this order.
    ///
    /// Defaults to ES256 and Ed25519.
    ///
    /// # Panics
    ///
    /// Panics if there is none, because no proof could be made.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        assert!(!self.algorithms.is_empty(), "DPoP needs at least one algorithm");
        self
    }

    /// Sets the library that verifies the signatures of proofs.
    ///
    /// Defaults to [`Backend::default`].
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Sets how old a proof may be (`past`), and how far a client's clock may be ahead (`future`).
    ///
    /// Defaults to 60 and 10 seconds. A proof for which a nonce is required is dated by its [nonce](Self::nonces), and
    /// this window does not apply to it.
    ///
    /// Guards that share a replay store need the same window. A store remembers a proof for as long as the guard
    /// that accepted it would accept it again, so a guard with a longer window could accept it a second time.
    #[must_use]
    pub fn window(mut self, past: Duration, future: Duration) -> Self {
        (self.max_age, self.max_ahead) = (past, future);
        self
    }

    /// Returns the nonce of this moment, for the response field `DPoP-Nonce`. Returns `None` without
    /// [`nonces`](Self::nonces).
    ///
    /// A guard sends nonces to clients itself.
    #[must_use]
    pub fn nonce(&self, now: UtcDateTime) -> Option<String> {
        self.nonces.as_ref().map(|nonces| nonces.make(now))
    }

    /// Requires that proofs have a nonce of this resource
    /// ([RFC 9449 section 9](https://www.rfc-editor.org/rfc/rfc9449#section-9)).
    ///
    /// With a guard, [`Guard::require_nonce_if`] limits this to some requests. A client whose proof has no nonce is
    /// refused and given one. If a nonce is required, it alone decides how fresh a proof is, and `iat` is not checked.
    /// A nonce that is not required is still refused if it is not valid.
    ///
    /// Replicas that share a replay store need the same nonces, also while their key is changed.
    ///
    /// [`Guard::require_nonce_if`]: crate::Guard::require_nonce_if
    #[must_use]
    pub fn nonces(mut self, nonces: Nonces) -> Self {
        self.nonces = Some(nonces);
        self
    }

    /// The algorithms as a challenge lists them, with spaces between.
    pub(crate) fn algs(&self) -> String {
        self.algorithms.iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Checks the proof that came with a token, which is bound to the key with the thumbprint `jkt`.
    ///
    /// This is all of RFC 9449 section 4.3, except whether the proof was used before. The token is only hashed, so
    /// it may be opaque.
    ///
    /// The proof's key is prepared anew each time. A guard prepares it once for each token in its cache.
    ///
    /// # Errors
    ///
    /// Returns the reason of the first check that fails, from [`Reason::DpopProofMissing`] to
    /// [`Reason::DpopNonceInvalid`] in the order of [`Reason::ALL`].
    #[must_use = "an error is the refusal, and whether an accepted proof was used before is not checked yet"]
    pub fn check(
        &self,
        possession: &Possession<'_>,
        token: &str,
        jkt: &str,
        now: UtcDateTime,
    ) -> Result<AcceptedProof, Reason> {
        self.check_with(possession, token, jkt, &KnownKey::default(), now)
    }

    /// Checks the proof as [`check`](Self::check) does. A key that is known is not prepared again, and the key of an
    /// accepted proof becomes known.
    pub(crate) fn check_with(
        &self,
        possession: &Possession<'_>,
        token: &str,
        jkt: &str,
        known: &KnownKey,
        now: UtcDateTime,
    ) -> Result<AcceptedProof, Reason> {
        let request = possession.dpop.as_ref().ok_or(Reason::DpopProofMissing)?;
        let jws = match &request.proof {
            ProofField::Missing => return Err(Reason::DpopProofMissing),
            ProofField::Several => return Err(Reason::DpopProofMultiple),
            ProofField::One(jws) if jws.contains(',') => return Err(Reason::DpopProofMultiple),
            ProofField::One(jws) => jws,
        };
        let jws = Some(&**jws).filter(|jws| jws.len() <= Self::MAX_BYTES);
        let proof = jws.and_then(Embedded::parse).filter(|proof| proof.is_type("dpop+jwt"));
        let proof = proof.ok_or(Reason::DpopProofMalformed)?;
        let claims = ProofClaims::read(proof.payload()).ok_or(Reason::DpopProofMalformed)?;

        let allowed: AlgorithmSet = self.algorithms.iter().copied().collect();
        let algorithm = proof.algorithm(allowed).ok_or(Reason::DpopAlgorithmNotAllowed)?;
        let known_key = known.of(&proof).cloned();
        let is_new = known_key.is_none();
        let key = known_key.or_else(|| proof.key().map(Arc::new));
        let key = key.filter(|key| key.fits(algorithm)).ok_or(Reason::DpopKeyInvalid)?;

        if claims.htm != request.method.as_str() {
            return Err(Reason::DpopMethodMismatch);
        }
        if !self.is_written_like(&claims.htu, &request.path) {
            let htu = normalized_uri(&claims.htu).ok_or(Reason::DpopProofMalformed)?;
            if !self.is_url_of(&htu, &request.path) {
                return Err(Reason::DpopUriMismatch);
            }
        }

        let is_dated_by_nonce = self.nonces.is_some() && request.nonce_required;
        let in_window =
            claims.iat <= later(now, self.max_ahead) && now <= later(claims.iat, self.max_age);
        if !is_dated_by_nonce && !in_window {
            return Err(Reason::DpopProofStale);
        }

        let verified = proof.verify(&key, algorithm, self.backend);
        verified.map_err(|_| Reason::DpopSignatureInvalid)?;

        let hash = known.hash_of(token).as_bytes();
        if !claims.ath.is_some_and(|ath| constant_time_eq(ath.as_bytes(), hash)) {
            return Err(Reason::DpopTokenHashMismatch);
        }
        let thumbprint = key.thumbprint();
        if !constant_time_eq(thumbprint.as_bytes(), jkt.as_bytes()) {
            return Err(Reason::DpopKeyMismatch);
        }

        // A nonce that is present must be valid, even if none is required.
        let nonce = match (&self.nonces, &claims.nonce) {
            (Some(nonces), Some(nonce)) => {
                Some(nonces.check(nonce, now).ok_or(Reason::DpopNonceInvalid)?)
            }
            (Some(_), None) if is_dated_by_nonce => return Err(Reason::DpopNonceRequired),
            (_, _) => None,
        };

        // `iat` is by the client's clock, which may be ahead. A required nonce is by our clocks. A nonce that is
        // not required now may be required when the proof is offered again, so the wider of the two periods counts.
        let mut issued_at = earlier(claims.iat, self.max_ahead);
        let mut expires_at = later(claims.iat, self.max_age);
        if let Some(nonce) = nonce {
            if is_dated_by_nonce {
                (issued_at, expires_at) = (nonce.made_at, nonce.expires_at);
            } else {
                issued_at = issued_at.min(nonce.made_at);
                expires_at = expires_at.max(nonce.expires_at);
            }
        }
        // A proof is still accepted at the last moment of its period.
        let expires_at = later(expires_at, Duration::from_secs(1));
        let thumbprint = thumbprint.clone();
        if is_new {
            known.keep(key);
        }
        Ok(AcceptedProof {
            key: thumbprint,
            jti: claims.jti.into(),
            issued_at,
            expires_at,
            is_dated_by_nonce,
            wants_nonce: self.nonces.is_some() && nonce.is_none_or(|nonce| nonce.is_ending),
        })
    }

    /// True if this URL is one of the base URLs followed by the path of the request, character for character, and
    /// nothing in the path has another spelling. Then normalizing it would change nothing.
    fn is_written_like(&self, htu: &str, path: &str) -> bool {
        let has_one_spelling = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        self.base_urls.iter().any(|base| htu.strip_prefix(&**base) == Some(path))
            && path.starts_with('/')
            && path.bytes().all(has_one_spelling)
            && !has_dot_segment(path)
    }

    /// True if this normalized URL is one of the base URLs followed by the path of the request.
    fn is_url_of(&self, htu: &str, path: &str) -> bool {
        // Servers disagree about what such a path names.
        if has_dot_segment(path.split(['?', '#']).next().unwrap_or_default()) {
            return false;
        }
        let path = normalized_path(path);
        self.base_urls.iter().any(|base| {
            let (rest, path) = (htu.strip_prefix(&**base), path.as_deref());
            // The path `/` below a base URL that has a path also stands for the base URL itself.
            rest.is_some() && (rest == path || (rest == Some("") && path == Some("/")))
        })
    }
}

/// The claims of a proof.
struct ProofClaims {
    jti: String,
    htm: String,
    htu: String,
    iat: UtcDateTime,
    ath: Option<String>,
    nonce: Option<String>,
}

impl ProofClaims {
    /// Returns `None` if the payload is not a sound object, or if a claim is missing or has the wrong type.
    fn read(payload: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        let claims = Object::read(text).filter(Object::is_sound)?;
        let text = |name: &str| claims.get(name).and_then(string).map(|text| text.into_owned());
        let optional = |name: &str| match claims.get(name) {
            None => Some(None),
            Some(_) => text(name).map(Some),
        };
        let jti = text("jti").filter(|jti| (1..=MAX_JTI).contains(&jti.len()))?;
        let iat = claims.get("iat").and_then(numeric_date)?;
        let (ath, nonce) = (optional("ath")?, optional("nonce")?);
        Some(ProofClaims { jti, htm: text("htm")?, htu: text("htu")?, iat, ath, nonce })
    }
}

fn normalized_base_url(base: &str) -> Result<String, ConfigError> {
    let without_query = Some(base).filter(|base| !base.contains(['?', '#']));
    let normalized = without_query.and_then(normalized_uri).ok_or_else(|| {
        let problem = "expected http or https and a host, without user, query and fragment";
        ConfigError::new(base, "a base URL", problem)
    })?;
    Ok(normalized.trim_end_matches('/').to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_url_that_is_written_like_the_request_is_the_same_when_normalized(
            base in "https?://[a-zA-Z.]{1,6}(:443|:8443)?(/[a-z%2E.]{0,4}){0,2}/?",
            path in "/?([a-zA-Z0-9_~.:@%2eE?#]{0,3}/){0,3}[a-z.]{0,3}",
            other in "/?([a-z.]{0,3}/){0,2}",
        ) {
            let Ok(dpop) = Dpop::for_base_url(&base) else { return Ok(()) };
            for end in [&path, &other] {
                let htu = format!("{}{end}", dpop.base_urls[0]);
                if dpop.is_written_like(&htu, &path) {
                    let normalized = normalized_uri(&htu).unwrap();
                    prop_assert!(dpop.is_url_of(&normalized, &path), "{htu} {path}");
                    prop_assert_eq!(normalized, htu);
                }
            }
        }
    }

    #[test]
    fn an_ordinary_path_is_written_like_the_request_and_unusual_ones_are_normalized() {
        let dpop = Dpop::for_base_url("https://api.example/v1").unwrap();
        assert!(dpop.is_written_like("https://api.example/v1/orders/17", "/orders/17"));
        for (htu, path) in [
            ("https://api.example/v1/orders/17", "/orders/18"),
            ("https://api.example/v1/orders/%31", "/orders/%31"),
            ("https://api.example/v1/../orders", "/../orders"),
            ("https://api.example/v1/./orders", "/./orders"),
            ("https://api.example/v1/orders?a", "/orders?a"),
            ("https://api.example/v1orders", "orders"),
            ("https://api.example/v1", ""),
            ("https://API.example/v1/orders", "/orders"),
        ] {
            assert!(!dpop.is_written_like(htu, path), "{htu} {path}");
        }
    }
}
