//! Why a key of a set is skipped.

use std::fmt;

use crate::printable::Printable;

/// Why a key of a set cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyProblem {
    /// No JSON object, a member twice, or a member of a wrong type.
    #[error("malformed JWK")]
    Malformed,
    /// A `kty` or `crv` that is not offered.
    #[error("key type or curve not offered")]
    TypeNotOffered,
    /// The key has a private or a symmetric part: it is no secret any more.
    #[error("private or symmetric key material")]
    Private,
    /// `use` is not `sig`, or `key_ops` lacks `verify`.
    #[error("not meant for verifying signatures")]
    NotForVerifying,
    /// `alg` is not offered, or not one for this type of key.
    #[error("`alg` is not one for this key")]
    AlgorithmNotOffered,
    /// An RSA modulus outside 2048 to 8192 bits, or an exponent that is even, 1, or 2^33 and more.
    #[error("weak or oversized RSA key")]
    WeakRsa,
    /// A point that is not on its curve, not canonical, or of small order.
    #[error("not a valid point of the curve")]
    InvalidPoint,
}

/// A key that was passed over.
#[derive(Clone, Copy)]
pub struct SkippedKey<'a> {
    pub(super) kid: Option<&'a str>,
    pub(super) problem: KeyProblem,
}

impl<'a> SkippedKey<'a> {
    /// Its id, if it has one.
    #[must_use]
    pub fn kid(&self) -> Option<&'a str> {
        self.kid
    }

    /// Why it was passed over.
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
