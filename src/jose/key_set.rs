//! The public keys of one issuer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::algorithm::Algorithm;
use super::backend::Backend;
use super::certificate::KeyName;
use super::compact::Compact;
use super::jwk::{ParsedJwk, Signer};
use super::key_problem::{KeyProblem, SkippedKey};
use super::pem::public_key_in_pem;
use crate::json::{Object, array};
use crate::reason::Reason;

/// The public keys of one issuer
/// ([RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5)).
///
/// A set is cheap to clone. The default is a set without keys, and every token is refused under it. For keys that are
/// not there *yet*, answer with [`KeysUnavailable`](crate::keys::KeysUnavailable) instead.
///
/// Each key is checked on its own when the set is read. A key that cannot be used is skipped and listed in
/// [`skipped`](Self::skipped); the other keys are used. A key is skipped if
///
/// - its type or curve is not supported,
/// - its RSA modulus is even or outside 2048 to 8192 bits, or its exponent is even, 1, or 2^33 or more,
/// - its point is not on its curve, or is an Ed25519 point of small order,
/// - it has a private or symmetric part, or
/// - its `use`, `key_ops` or `alg` are meant for something else.
///
/// A token that has no `kid` may name its key by a certificate (`x5t#S256`, `x5t`). The keys of a JWK Set that have the
/// same member are then the only ones that count. If no key has it, the member is ignored.
///
/// Use [`from_json`](Self::from_json) for what an issuer publishes, and [`from_pem`](Self::from_pem) or
/// [`from_jwk`](Self::from_jwk) for a single key that you were given.
///
/// A key with a member `issuer`, as Microsoft Entra writes it, verifies tokens of that issuer only. `{tenantid}` in it
/// stands for any tenant.
///
/// ```
/// use unconfused::keys::{Algorithm, KeySet};
///
/// let keys = KeySet::from_json(r#"{"keys":[
///     {"kty":"EC","crv":"P-256","kid":"broken","x":"AA","y":"AA"},
///     {"kty":"EC","crv":"P-256",
///      "x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
///      "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#)?;
/// assert_eq!(keys.len(), 1);
/// assert_eq!(keys.skipped().next().unwrap().kid(), Some("broken"));
/// # Ok::<(), unconfused::keys::KeySetError>(())
/// ```
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Arc<[ParsedJwk]>,
    /// True if a key without an id verifies tokens with any id.
    ignores_kid: bool,
    /// Differs for every set that is read. Clones share it.
    id: u64,
}

/// Identifies a key set within this process.
///
/// Clones of a set have the same id. Sets that were read separately have different ids, even if they have the same
/// content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeySetId(u64);

/// What a JWS is signed over, and the signature.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// Header, dot, payload, as they were sent (RFC 7515 section 5.1).
    pub(crate) signing_input: &'a str,
    pub(crate) signature: &'a [u8],
}

/// A document is not a JWK Set, or not a key that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// The document is not a JSON object with an array `keys`, or has `keys` twice.
    #[error("not a JWK Set: expected a JSON object with an array `keys`")]
    NotAKeySet,
    /// The document is larger than 256 KiB.
    #[error("the keys have {0} bytes, and the limit is 262144")]
    TooLarge(usize),
    /// The set has more than 100 keys.
    #[error("the JWK Set has {0} keys, and the limit is 100")]
    TooManyKeys(usize),
    /// The text is not PEM with exactly one block, `PUBLIC KEY` or `CERTIFICATE`.
    #[error("not a key in PEM: expected exactly one block, `PUBLIC KEY` or `CERTIFICATE`")]
    NotPem,
    /// The one key cannot be used.
    #[error("the key cannot be used: {0}")]
    UnusableKey(#[source] KeyProblem),
}

impl KeySet {
    const MAX_BYTES: usize = 256 * 1024;
    const MAX_KEYS: usize = 100;
    /// How many keys with the same id are tried.
    const MAX_TRIES: usize = 4;
    /// How many keys may fit a token that names none. All of them are tried.
    const MAX_UNNAMED: usize = 3;

    /// Reads a JWK Set.
    ///
    /// # Errors
    ///
    /// Returns [`KeySetError`] if the document as a whole is not a JWK Set. A single key that cannot be used is not an
    /// error.
    pub fn from_json(json: &str) -> Result<Self, KeySetError> {
        check_size(json)?;
        let object = Object::read(json).ok_or(KeySetError::NotAKeySet)?;
        let keys = object.get("keys").and_then(array).ok_or(KeySetError::NotAKeySet)?;
        if object.count("keys") != 1 {
            return Err(KeySetError::NotAKeySet);
        }
        let keys: Vec<_> = keys.collect();
        if keys.len() > Self::MAX_KEYS {
            return Err(KeySetError::TooManyKeys(keys.len()));
        }
        Ok(KeySet::new(keys.into_iter().map(ParsedJwk::parse).collect(), false))
    }

    /// Reads a single JWK ([RFC 7517 section 4](https://www.rfc-editor.org/rfc/rfc7517#section-4)), which is a key of
    /// yours and not a document of the issuer.
    ///
    /// If it has a `kid`, it verifies tokens that name it or name no key. If it has none, the `kid` of a token is
    /// ignored.
    ///
    /// ```
    /// use unconfused::keys::{KeyProblem, KeySet, KeySetError};
    ///
    /// let keys = KeySet::from_jwk(
    ///     r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#,
    /// )?;
    /// assert_eq!(keys.len(), 1);
    ///
    /// let secret = KeySet::from_jwk(r#"{"kty":"oct","k":"c2VjcmV0"}"#);
    /// assert_eq!(secret.unwrap_err(), KeySetError::UnusableKey(KeyProblem::Private));
    /// # Ok::<(), KeySetError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`KeySetError::UnusableKey`] if the key cannot be used: a set skips such a key, but here there is no
    /// other. Returns [`KeySetError::TooLarge`] if the text is larger than 256 KiB.
    pub fn from_jwk(json: &str) -> Result<Self, KeySetError> {
        check_size(json)?;
        let key = ParsedJwk::parse(json);
        if let Some(skipped) = key.skipped() {
            return Err(KeySetError::UnusableKey(skipped.problem()));
        }
        let ignores_kid = key.kid().is_none();
        Ok(KeySet::new(Arc::new([key]), ignores_kid))
    }

    /// Reads one public key in PEM: a `PUBLIC KEY` (SPKI), or the key of a `CERTIFICATE`
    /// ([RFC 7468](https://www.rfc-editor.org/rfc/rfc7468)). Text around the block is ignored.
    ///
    /// PEM has no key ids, so the `kid` of a token is ignored. The key verifies every algorithm that fits its type, as
    /// far as [`Issuer::algorithms`](crate::Issuer::algorithms) allows it.
    ///
    /// A certificate is only a wrapper here. **Not** checked are its signature, its dates, its names and what its key
    /// is meant for: you trust the key because you were given it.
    ///
    /// ```
    /// use unconfused::keys::{KeySet, KeySetError};
    ///
    /// let pem = "\
    /// -----BEGIN PUBLIC KEY-----
    /// MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=
    /// -----END PUBLIC KEY-----
    /// ";
    /// assert_eq!(KeySet::from_pem(pem)?.len(), 1);
    ///
    /// // A chain of certificates: the key of an authority would verify tokens too.
    /// assert_eq!(KeySet::from_pem(&pem.repeat(2)).unwrap_err(), KeySetError::NotPem);
    /// # Ok::<(), KeySetError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Returns [`KeySetError::NotPem`] if there is not exactly one block with one of the two labels, and
    /// [`KeySetError::UnusableKey`] if the key cannot be used, or is a private one. Returns [`KeySetError::TooLarge`]
    /// if the text is larger than 256 KiB.
    pub fn from_pem(pem: &str) -> Result<Self, KeySetError> {
        check_size(pem)?;
        let key = public_key_in_pem(pem).ok_or(KeySetError::NotPem)?;
        let (public_key, certificate) = key.map_err(KeySetError::UnusableKey)?;
        Ok(KeySet::new(Arc::new([ParsedJwk::new(public_key, certificate)]), true))
    }

    fn new(keys: Arc<[ParsedJwk]>, ignores_kid: bool) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        KeySet { keys, ignores_kid, id: NEXT.fetch_add(1, Ordering::Relaxed) }
    }

    /// Returns the id of this set, which [`KeySource::is_current`](crate::keys::KeySource::is_current) compares.
    #[must_use]
    pub fn id(&self) -> KeySetId {
        KeySetId(self.id)
    }

    /// Returns the number of keys that can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len().saturating_sub(self.skipped().count())
    }

    /// Returns true if no key can be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the keys that were skipped, each with the reason.
    pub fn skipped(&self) -> impl Iterator<Item = SkippedKey<'_>> {
        self.keys.iter().filter_map(ParsedJwk::skipped)
    }

    /// Returns the SHA-256 thumbprint of each key that can be used, in base64url
    /// ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).
    pub fn thumbprints(&self) -> impl Iterator<Item = String> {
        self.keys.iter().filter_map(|key| key.thumbprint().ok())
    }

    /// Verifies the signature of one compact JWS and returns its payload. **Nothing else is checked**: no claim, no
    /// `typ`, no time, no audience.
    ///
    /// This is for test harnesses. To validate an access token, use
    /// [`UnverifiedToken::validate`](crate::token::UnverifiedToken::validate). Size, base64url, header, `crit` and the
    /// choice of the key are treated as strictly as for a token. The payload may be anything, also empty
    /// ([RFC 7515 section 5.1](https://www.rfc-editor.org/rfc/rfc7515#section-5.1)).
    ///
    /// # Errors
    ///
    /// Returns [`Reason::CredentialTooLarge`] if the JWS exceeds 16 KiB. Otherwise returns the first reason that
    /// applies, in the order of [`Reason::ALL`], from [`Reason::TokenFormatNotAccepted`] to
    /// [`Reason::SignatureInvalid`].
    pub fn verify_signature_only(
        &self,
        jws: &str,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Result<Vec<u8>, Reason> {
        self.verify_signature_only_with(jws, algorithms, Backend::default())
    }

    /// Verifies the signature of one compact JWS with the given backend, like
    /// [`verify_signature_only`](Self::verify_signature_only), which uses the default.
    ///
    /// # Errors
    ///
    /// Returns the same reasons as [`verify_signature_only`](Self::verify_signature_only).
    pub fn verify_signature_only_with(
        &self,
        jws: &str,
        algorithms: impl IntoIterator<Item = Algorithm>,
        backend: Backend,
    ) -> Result<Vec<u8>, Reason> {
        if jws.len() > Compact::MAX_BYTES {
            return Err(Reason::CredentialTooLarge);
        }
        let compact = Compact::parse_any(jws)?;
        let algorithm = compact.header.algorithm(algorithms.into_iter().collect())?;
        let name = compact.header.key_name();
        let signed = Signed { signing_input: compact.signing_input, signature: &compact.signature };
        self.verify_signature(None, &name, algorithm, signed, backend)?;
        Ok(compact.payload)
    }

    /// Returns true if the set has a key with this id, usable or not. Always true without an id.
    #[cfg(feature = "remote")]
    pub(crate) fn knows(&self, kid: Option<&str>) -> bool {
        self.ignores_kid || kid.is_none_or(|kid| self.keys.iter().any(|key| key.kid() == Some(kid)))
    }

    /// Returns the ids of the keys, usable or not.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(ParsedJwk::kid)
    }

    /// Returns true if the set has keys that can be used, and none of them is for the algorithm of this name.
    #[cfg(feature = "remote")]
    pub(crate) fn lacks_algorithm(&self, name: &str) -> bool {
        let has_key = |algorithm| self.keys.iter().any(|key| key.fits(algorithm));
        !self.is_empty() && !Algorithm::from_name(name).is_some_and(has_key)
    }

    /// Says to the operator which key was expected, if `reason` is about the key.
    pub(crate) fn expected(
        &self,
        kid: Option<&str>,
        algorithm: Algorithm,
        reason: Reason,
    ) -> Option<String> {
        let mut text = match (reason, kid) {
            (Reason::KeyNotFound, _) => {
                format!("expected a key of the issuer, which has {}", self.keys.len())
            }
            (Reason::KeyUnusable, Some(_)) => {
                let skipped = self.skipped().find(|key| key.kid() == kid);
                let problem = skipped.map(|key| format!(", and it is skipped: {}", key.problem()));
                let problem = problem.unwrap_or_default();
                return Some(format!(
                    "expected a key of the issuer that may verify {algorithm}{problem}"
                ));
            }
            _ => return None,
        };
        for (index, id) in self.ids().enumerate().take(4) {
            text.push_str(if index == 0 { ": " } else { ", " });
            text.push_str(&format!("`{id}`"));
        }
        if self.ids().nth(4).is_some() {
            text.push_str(", ..");
        }
        Some(text)
    }

    /// Chooses the key by name and type, then verifies the signature. Checks `key_not_found` to `signature_invalid`.
    /// Without a signer, a key of any issuer is accepted.
    pub(crate) fn verify_signature(
        &self,
        signer: Option<Signer<'_>>,
        name: &KeyName<'_>,
        algorithm: Algorithm,
        signed: Signed<'_>,
        backend: Backend,
    ) -> Result<(), Reason> {
        let fits = |key: &&ParsedJwk| {
            key.fits(algorithm) && signer.is_none_or(|signer| key.may_sign_for(signer))
        };
        let Signed { signing_input, signature } = signed;
        let verifies =
            |key: &ParsedJwk| key.verify(algorithm, signing_input.as_bytes(), signature, backend);
        let Some(kid) = name.kid.filter(|_| !self.ignores_kid) else {
            // The keys that the header names by their certificate, if there are such.
            let is_named = |key: &&ParsedJwk| key.is_certified_by(&name.certificate);
            let is_one_named = self.keys.iter().filter(fits).any(|key| is_named(&key));
            // Without a name, all keys that fit are tried, if they are few (RFC 7515 section 6).
            let candidates =
                || self.keys.iter().filter(fits).filter(|key| !is_one_named || is_named(key));
            if candidates().nth(Self::MAX_UNNAMED).is_some() {
                return Err(Reason::KeyNotFound);
            }
            return first_success(candidates(), verifies).unwrap_or(Err(Reason::KeyNotFound));
        };
        let named = || self.keys.iter().filter(|key| key.kid() == Some(kid));
        if named().next().is_none() {
            return Err(Reason::KeyNotFound);
        }
        // Keys of different types may share an id (RFC 7517 section 4.5).
        let candidates = named().filter(fits).take(Self::MAX_TRIES);
        first_success(candidates, verifies).unwrap_or(Err(Reason::KeyUnusable))
    }
}

fn check_size(text: &str) -> Result<(), KeySetError> {
    match text.len() > KeySet::MAX_BYTES {
        true => Err(KeySetError::TooLarge(text.len())),
        false => Ok(()),
    }
}

/// Tries the keys until one verifies. `None` if there is none to try.
fn first_success<'k>(
    keys: impl Iterator<Item = &'k ParsedJwk>,
    verifies: impl Fn(&ParsedJwk) -> Result<(), Reason>,
) -> Option<Result<(), Reason>> {
    let mut outcome = None;
    for key in keys {
        outcome = Some(verifies(key));
        if outcome == Some(Ok(())) {
            break;
        }
    }
    outcome
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("len", &self.len())
            .field("skipped", &self.skipped().count())
            .finish()
    }
}
