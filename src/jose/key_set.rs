//! The public keys of one issuer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::algorithm::Algorithm;
use super::backend::Backend;
use super::compact::Compact;
use super::jwk::{Key, Signer};
use super::key_problem::SkippedKey;
use crate::json::{Object, array};
use crate::reason::Reason;

/// The public keys of one issuer
/// ([RFC 7517 section 5](https://www.rfc-editor.org/rfc/rfc7517#section-5)). Cheap to clone. The default is a
/// set without keys, under which every token is refused; keys that are not there *yet* are a
/// [`KeysUnavailable`](crate::keys::KeysUnavailable).
///
/// Each key is checked by itself when the set is read. A key that cannot be used is passed over and
/// counted in [`skipped`](Self::skipped); the others serve. Refused are: key types and curves that
/// are not offered, RSA moduli outside 2048 to 8192 bits and exponents that are even, 1, or 2^33 and
/// more, points off their curve, Ed25519 points of small order, keys with a private or symmetric
/// part, and keys whose `use`, `key_ops` or `alg` speak of something else.
///
/// A key with a member `issuer` (Microsoft Entra's) verifies tokens of that issuer and of no other; in it,
/// `{tenantid}` stands for any tenant.
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
    keys: Arc<[Key]>,
    /// Another one for every set that is read. Clones are one set.
    id: u64,
}

/// Tells sets of keys apart: the same for clones of one that was read, and for no other that was read in this process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeySetId(u64);

/// What a JWS is signed over, and the signature.
#[derive(Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// Header, dot, payload, as they were sent (RFC 7515 section 5.1).
    pub(crate) signing_input: &'a str,
    pub(crate) signature: &'a [u8],
}

/// A document is no JWK Set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Not a JSON object with an array `keys`, or `keys` stands twice.
    #[error("not a JWK Set: expected a JSON object with an array `keys`")]
    NotAKeySet,
    /// Larger than 256 KiB.
    #[error("the JWK Set has {0} bytes, more than the 262144 that are read")]
    TooLarge(usize),
    /// More than 100 keys.
    #[error("the JWK Set has {0} keys, more than the 100 that are read")]
    TooManyKeys(usize),
}

impl KeySet {
    const MAX_BYTES: usize = 256 * 1024;
    const MAX_KEYS: usize = 100;
    /// How many keys of one id are tried.
    const MAX_TRIES: usize = 4;

    /// Reads a JWK Set.
    ///
    /// # Errors
    ///
    /// [`KeySetError`] where the document as a whole is none. A single odd key is no error.
    pub fn from_json(json: &str) -> Result<Self, KeySetError> {
        if json.len() > Self::MAX_BYTES {
            return Err(KeySetError::TooLarge(json.len()));
        }
        let object = Object::read(json).ok_or(KeySetError::NotAKeySet)?;
        let keys = object.get("keys").and_then(array).ok_or(KeySetError::NotAKeySet)?;
        if object.count("keys") != 1 {
            return Err(KeySetError::NotAKeySet);
        }
        let keys: Vec<_> = keys.collect();
        if keys.len() > Self::MAX_KEYS {
            return Err(KeySetError::TooManyKeys(keys.len()));
        }
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(KeySet { keys: keys.into_iter().map(Key::parse).collect(), id })
    }

    /// Which set this is: see [`KeySource::is_current`](crate::keys::KeySource::is_current).
    #[must_use]
    pub fn id(&self) -> KeySetId {
        KeySetId(self.id)
    }

    /// How many keys can be used.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len().saturating_sub(self.skipped().count())
    }

    /// True where no key can be used.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The keys that were passed over, and why.
    pub fn skipped(&self) -> impl Iterator<Item = SkippedKey<'_>> {
        self.keys.iter().filter_map(Key::skipped)
    }

    /// The thumbprint of each key that can be used, SHA-256 in base64url
    /// ([RFC 7638](https://www.rfc-editor.org/rfc/rfc7638)).
    pub fn thumbprints(&self) -> impl Iterator<Item = String> {
        self.keys.iter().filter_map(|key| key.thumbprint().ok())
    }

    /// Verifies one compact JWS under these keys and returns its payload. **The signature only**:
    /// no claim is looked at, no `typ`, no time, no audience. For harnesses; an access token is
    /// validated with [`UnverifiedToken::validate`](crate::token::UnverifiedToken::validate).
    ///
    /// Sizes, base64url, header, `crit` and the choice of the key are as strict as for a token.
    ///
    /// # Errors
    ///
    /// [`Reason::CredentialTooLarge`] over 16 KiB; else the first of [`Reason::ALL`] from
    /// [`Reason::TokenFormatNotAccepted`] to [`Reason::SignatureInvalid`].
    pub fn verify_signature_only(
        &self,
        jws: &str,
        algorithms: impl IntoIterator<Item = Algorithm>,
    ) -> Result<Vec<u8>, Reason> {
        self.verify_signature_only_with(jws, algorithms, Backend::default())
    }

    /// The same with this backend.
    ///
    /// # Errors
    ///
    /// As [`verify_signature_only`](Self::verify_signature_only).
    pub fn verify_signature_only_with(
        &self,
        jws: &str,
        algorithms: impl IntoIterator<Item = Algorithm>,
        backend: Backend,
    ) -> Result<Vec<u8>, Reason> {
        if jws.len() > Compact::MAX_BYTES {
            return Err(Reason::CredentialTooLarge);
        }
        let compact = Compact::parse(jws)?;
        let algorithm = compact.header.algorithm(algorithms.into_iter().collect())?;
        let kid = compact.header.kid();
        let signed = Signed { signing_input: compact.signing_input, signature: &compact.signature };
        self.verify_signature(None, kid, algorithm, signed, backend)?;
        Ok(compact.payload)
    }

    /// True where a token that names this key, or none, finds one here, usable or not.
    #[cfg(feature = "remote")]
    pub(crate) fn knows(&self, kid: Option<&str>) -> bool {
        kid.is_none_or(|kid| self.keys.iter().any(|key| key.kid() == Some(kid)))
    }

    /// The ids of its keys, usable or not.
    #[cfg(feature = "remote")]
    pub(crate) fn ids(&self) -> impl Iterator<Item = &str> {
        self.keys.iter().filter_map(Key::kid)
    }

    /// Steps 17 to 19: choose the key by id and type, then verify. Without a signer, nobody asks whose key it
    /// is.
    pub(crate) fn verify_signature(
        &self,
        signer: Option<Signer<'_>>,
        kid: Option<&str>,
        algorithm: Algorithm,
        signed: Signed<'_>,
        backend: Backend,
    ) -> Result<(), Reason> {
        let fits = |key: &&Key| {
            key.fits(algorithm) && signer.is_none_or(|signer| key.may_sign_for(signer))
        };
        let Signed { signing_input, signature } = signed;
        let verifies =
            |key: &Key| key.verify(algorithm, signing_input.as_bytes(), signature, backend);
        let Some(kid) = kid else {
            // Without an id, only where there is no choice (RFC 7515 section 4.1.4).
            let mut candidates = self.keys.iter().filter(fits);
            return match (candidates.next(), candidates.next()) {
                (Some(key), None) => verifies(key),
                _ => Err(Reason::KeyNotFound),
            };
        };
        let named = || self.keys.iter().filter(|key| key.kid() == Some(kid));
        if named().next().is_none() {
            return Err(Reason::KeyNotFound);
        }
        // Keys of different types may share an id (RFC 7517 section 4.5).
        let mut outcome = Err(Reason::KeyUnusable);
        for key in named().filter(fits).take(Self::MAX_TRIES) {
            outcome = verifies(key);
            if outcome.is_ok() {
                break;
            }
        }
        outcome
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet")
            .field("len", &self.len())
            .field("skipped", &self.skipped().count())
            .finish()
    }
}
