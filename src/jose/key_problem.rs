//! Why a key of a set is skipped.

use std::fmt;

use crate::printable::Printable;

/// Why a key of a set cannot be used.
///
/// [`SkippedKey::problem`] returns it.
///
/// ```
/// use unconfused::keys::{KeyProblem, KeySet};
///
/// let keys = KeySet::from_json(r#"{"keys":[{"kty":"oct","k":"c2VjcmV0"}]}"#)?;
/// assert_eq!(keys.skipped().next().unwrap().problem(), KeyProblem::Private);
/// # Ok::<(), unconfused::keys::KeySetError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// The key is not a JSON object, repeats a member, or lacks a member or has one of the wrong type.
    #[error("malformed JWK")]
    Malformed,
    /// The `kty` or `crv` is not supported.
    #[error("key type or curve not supported")]
    TypeNotOffered,
    /// The key has a private or symmetric part. Since it was published, it is not a secret any more.
    #[error("private or symmetric key material")]
    Private,
    /// The `use` is not `sig`, or `key_ops` lacks `verify`.
    #[error("not meant for verifying signatures")]
    NotForVerifying,
    /// The `alg` is not supported, or does not fit this type of key.
    #[error("`alg` does not fit the key")]
    AlgorithmNotOffered,
    /// The RSA modulus is even or outside 2048 to 8192 bits, or the exponent is even, 1, or 2^33 or more.
    #[error("weak or oversized RSA key")]
    WeakRsa,
    /// The point is not on its curve, not canonical, or of small order.
    #[error("not a valid point of the curve")]
    InvalidPoint,
}

/// A key of a set that is skipped because it cannot be used.
///
/// [`KeySet::skipped`](super::KeySet::skipped) returns them. `Display` writes the id, escaped, and the problem.
#[derive(Clone, Copy)]
pub struct SkippedKey<'a> {
    pub(super) kid: Option<&'a str>,
    pub(super) problem: KeyProblem,
}

impl<'a> SkippedKey<'a> {
    /// Returns the `kid` of the key, if it has one.
    #[must_use]
    pub fn kid(&self) -> Option<&'a str> {
        self.kid
    }

    /// Returns why the key is skipped.
    #[must_use]
    pub fn problem(&self) -> KeyProblem {
        self.problem
    }
}

impl fmt::Display for SkippedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kid {
            Some(kid) => write!(f, "{:?}: {}", Printable::from(kid), self.problem),
            None => write!(f, "(no kid): {}", self.problem),
        }
    }
}

impl fmt::Debug for SkippedKey<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SkippedKey({self})")
    }
}
