//! DPoP proofs (RFC 9449 section 4.3).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use time::UtcDateTime;

use super::htu::{normalized, normalized_path};
use super::{Nonces, Possession, ProofField};
use crate::config_error::ConfigError;
use crate::dates::{earlier, later, numeric_date};
use crate::jose::{Algorithm, AlgorithmSet, Embedded, constant_time_eq, sha256};
use crate::json::{Object, string};
use crate::reason::Reason;

/// The longest `jti`, in bytes.
const MAX_JTI: usize = 256;

/// What is asked of DPoP proofs ([RFC 9449 section 4.3](https://www.rfc-editor.org/rfc/rfc9449#section-4.3)).
///
/// The base is the URL under which clients know this resource, before its paths: a proof names the URL that it
/// was made for, and no `Host` field or proxy has a say in what that is. Algorithms are ES256 and Ed25519; a
/// proof is good for 60 seconds after it was made, and may come from a clock that is 10 seconds ahead.
///
/// ```
/// use unconfused::proof::Dpop;
///
/// let dpop = Dpop::for_base_url("https://api.example.com")?;
/// assert!(Dpop::for_base_url("api.example.com").is_err());
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Dpop {
    bases: Vec<String>,
    algorithms: Vec<Algorithm>,
    past: Duration,
    future: Duration,
    pub(crate) nonces: Option<Nonces>,
}

/// A proof that was accepted: what names it, so that it can be accepted once.
///
/// Whether it was accepted **before** is not checked by the plain functions: a store does that
/// ([`ReplayEntry::for_proof`](crate::replay::ReplayEntry::for_proof)).
#[derive(Clone, PartialEq, Eq)]
pub struct AcceptedProof {
    key: Arc<str>,
    jti: Arc<str>,
    issued_at: UtcDateTime,
    expires_at: UtcDateTime,
    by_nonce: bool,
    wants_nonce: bool,
}

impl AcceptedProof {
    /// The thumbprint of the key ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The proof's own id, under its key.
    #[must_use]
    pub fn jti(&self) -> &str {
        &self.jti
    }

    /// When it was made, at the earliest.
    #[must_use]
    pub fn issued_at(&self) -> UtcDateTime {
        self.issued_at
    }

    /// Until when it would be accepted again, if nobody remembered it.
    #[must_use]
    pub fn expires_at(&self) -> UtcDateTime {
        self.expires_at
    }

    /// A nonce of this resource says how fresh it is, and not `iat`.
    pub(crate) fn is_by_nonce(&self) -> bool {
        self.by_nonce
    }

    /// The client should be told the nonce for its next proof.
    pub(crate) fn wants_nonce(&self) -> bool {
        self.wants_nonce
    }
}

impl Dpop {
    /// The largest proof that is read, in bytes.
    pub const MAX_BYTES: usize = 4 * 1024;

    /// Proofs for URLs under this base.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] where it is no http or https URL of a host, or has a user, a query or a fragment.
    pub fn for_base_url(base: &str) -> Result<Self, ConfigError> {
        Ok(Dpop {
            bases: vec![fit(base)?],
            algorithms: vec![Algorithm::Es256, Algorithm::Ed25519],
            past: Duration::from_secs(60),
            future: Duration::from_secs(10),
            nonces: None,
        })
    }

    /// Another base that this resource is known under.
    ///
    /// # Errors
    ///
    /// As [`for_base_url`](Self::for_base_url).
    pub fn and_base_url(mut self, base: &str) -> Result<Self, ConfigError> {
        self.bases.push(fit(base)?);
        Ok(self)
    }

    /// The algorithms of proofs, in place of ES256 and Ed25519. They are told in challenges, in this order.
    ///
    /// # Panics
    ///
    /// Where there is none: no proof could be made.
    #[must_use]
    pub fn algorithms(mut self, algorithms: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = algorithms.into_iter().collect();
        assert!(!self.algorithms.is_empty(), "proofs need an algorithm");
        self
    }

    /// How old a proof may be, and how far ahead a client's clock, in place of 60 and 10 seconds. With
    /// [`nonces`](Self::nonces) the nonce says how fresh a proof is. The same for all guards that share a store: a
    /// proof is remembered for as long as the guard that accepted it would accept it.
    #[must_use]
    pub fn window(mut self, past: Duration, future: Duration) -> Self {
        (self.past, self.future) = (past, future);
        self
    }

    /// The nonce of this moment, for the field `DPoP-Nonce`; none without [`nonces`](Self::nonces). A guard tells it
    /// itself.
    #[must_use]
    pub fn nonce(&self, now: UtcDateTime) -> Option<String> {
        self.nonces.as_ref().map(|nonces| nonces.make(now))
    }

    /// Proofs must have a nonce of this resource, wherever [`Guard::require_nonce_if`] does not say otherwise. A client
    /// that sends none is told one. Then `iat` is not looked at: replicas that share a store should agree on nonces,
    /// also while they are changed.
    ///
    /// [`Guard::require_nonce_if`]: crate::Guard::require_nonce_if
    #[must_use]
    pub fn nonces(mut self, nonces: Nonces) -> Self {
        self.nonces = Some(nonces);
        self
    }

    /// What challenges say of algorithms.
    pub(crate) fn algs(&self) -> String {
        self.algorithms.iter().map(|algorithm| algorithm.as_str()).collect::<Vec<_>>().join(" ")
    }

    /// Checks a proof for a token that is bound to the key of this thumbprint: steps 35 to 47, all of RFC 9449
    /// section 4.3 but whether the proof was used before. The token may be opaque.
    ///
    /// # Errors
    ///
    /// The first of [`Reason::ALL`] that holds, from [`Reason::DpopProofMissing`] to
    /// [`Reason::DpopNonceInvalid`].
    pub fn check(
        &self,
        possession: &Possession<'_>,
        token: &str,
        jkt: &str,
        now: UtcDateTime,
    ) -> Result<AcceptedProof, Reason> {
        // 35 and 36
        let shown = possession.shown.as_ref().ok_or(Reason::DpopProofMissing)?;
        let jws = match &shown.proof {
            ProofField::Missing => return Err(Reason::DpopProofMissing),
            ProofField::Several => return Err(Reason::DpopProofMultiple),
            ProofField::One(jws) if jws.contains(',') => return Err(Reason::DpopProofMultiple),
            ProofField::One(jws) => jws,
        };
        // 37
        let jws = Some(&**jws).filter(|jws| jws.len() <= Self::MAX_BYTES);
        let proof = jws.and_then(Embedded::parse).filter(|proof| proof.is_type("dpop+jwt"));
        let proof = proof.ok_or(Reason::DpopProofMalformed)?;
        let claims = Proof::read(proof.payload()).ok_or(Reason::DpopProofMalformed)?;
        // 38 and 39
        let allowed: AlgorithmSet = self.algorithms.iter().copied().collect();
        let algorithm = proof.algorithm(allowed).ok_or(Reason::DpopAlgorithmNotAllowed)?;
        let key = proof.key(algorithm).ok_or(Reason::DpopKeyInvalid)?;
        // 40 and 41
        if claims.htm != shown.method.as_str() {
            return Err(Reason::DpopMethodMismatch);
        }
        let made_for = normalized(&claims.htu).ok_or(Reason::DpopProofMalformed)?;
        // The path by itself: it must not climb out of the base.
        let path = normalized_path(&shown.path);
        let ours = |base: &String| {
            let (rest, path) = (made_for.strip_prefix(&**base), path.as_deref());
            // `/` of a base with a path is the base itself, too.
            rest.is_some() && (rest == path || (rest == Some("") && path == Some("/")))
        };
        if !self.bases.iter().any(ours) {
            return Err(Reason::DpopUriMismatch);
        }
        // 42: where nonces are required, they decide
        let by_nonce = self.nonces.as_ref().filter(|_| shown.nonce_required);
        let in_window =
            claims.iat <= later(now, self.future) && now <= later(claims.iat, self.past);
        if by_nonce.is_none() && !in_window {
            return Err(Reason::DpopProofStale);
        }
        // 43
        proof.verify(&key, algorithm).map_err(|_| Reason::DpopSignatureInvalid)?;
        // 44
        let hash = URL_SAFE_NO_PAD.encode_to_string(sha256([token]));
        if !claims.ath.is_some_and(|ath| constant_time_eq(ath.as_bytes(), hash.as_bytes())) {
            return Err(Reason::DpopTokenHashMismatch);
        }
        // 45
        let thumbprint = key.thumbprint().map_err(|_| Reason::DpopKeyInvalid)?;
        if !constant_time_eq(thumbprint.as_bytes(), jkt.as_bytes()) {
            return Err(Reason::DpopKeyMismatch);
        }
        // 46 and 47: a nonce that is there must be ours, also where none is asked for
        let nonce = match (&self.nonces, &claims.nonce) {
            (Some(nonces), Some(nonce)) => {
                Some(nonces.read(nonce, now).ok_or(Reason::DpopNonceInvalid)?)
            }
            (Some(_), None) if by_nonce.is_some() => return Err(Reason::DpopNonceRequired),
            (_, _) => None,
        };
        // By the clock of the client, which may be ahead; where a nonce was required, by ours. One that was not
        // required may be, the next time.
        let mut issued_at = earlier(claims.iat, self.future);
        let mut expires_at = later(claims.iat, self.past);
        if let Some(nonce) = nonce {
            let required = by_nonce.is_some();
            issued_at = if required { nonce.made_at } else { issued_at.min(nonce.made_at) };
            expires_at = if required { nonce.until } else { expires_at.max(nonce.until) };
        }
        // It is accepted at that very moment, too.
        let expires_at = later(expires_at, Duration::from_secs(1));
        Ok(AcceptedProof {
            key: thumbprint.into(),
            jti: claims.jti.into(),
            issued_at,
            expires_at,
            by_nonce: by_nonce.is_some(),
            wants_nonce: self.nonces.is_some() && nonce.is_none_or(|nonce| nonce.is_ending),
        })
    }
}

/// The claims of a proof.
struct Proof {
    jti: String,
    htm: String,
    htu: String,
    iat: UtcDateTime,
    ath: Option<String>,
    nonce: Option<String>,
}

impl Proof {
    /// `None` where it is no sound object, or a claim is missing or has another type.
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
        Some(Proof { jti, htm: text("htm")?, htu: text("htu")?, iat, ath, nonce })
    }
}

fn unusable(base: &str) -> ConfigError {
    let problem = "expected http or https and a host, without user, query and fragment";
    ConfigError::new(base, "a base URL", problem)
}

fn fit(base: &str) -> Result<String, ConfigError> {
    let plain = Some(base).filter(|base| !base.contains(['?', '#']));
    let normal = plain.and_then(normalized).ok_or_else(|| unusable(base))?;
    Ok(normal.trim_end_matches('/').to_owned())
}

impl fmt::Debug for AcceptedProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AcceptedProof(..)")
    }
}
