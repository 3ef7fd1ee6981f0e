//! The proof key of a token, prepared once.

use std::sync::{Arc, OnceLock};

use crate::jose::{Embedded, EmbeddedKey};

/// The key that a proof of a token was verified with, if one was. It lives as long as the claims of the token, so it is
/// kept only while the [token cache](crate::token_cache) keeps them, and counts against the same share.
///
/// It is the key and nothing else: every proof is verified, and no result is kept.
#[derive(Debug, Clone, Default)]
pub(crate) struct KnownKey(OnceLock<Arc<EmbeddedKey>>);

impl KnownKey {
    /// The most heap that a key takes, in bytes: its JWK, and what the backends prepare for it.
    pub(crate) const MAX_BYTES: usize = 5 * 1024;
    /// The longest JWK that is kept, in bytes. It has room for RSA keys of 3072 bits.
    pub(crate) const MAX_JWK: usize = 640;

    /// Returns the key of this proof if it is the one that is known.
    pub(super) fn of(&self, proof: &Embedded<'_>) -> Option<&Arc<EmbeddedKey>> {
        self.0.get().filter(|key| proof.has_key(key))
    }

    /// The key, if it is known.
    #[cfg(test)]
    pub(crate) fn get(&self) -> Option<&Arc<EmbeddedKey>> {
        self.0.get()
    }

    /// Keeps the key of a proof that passed every check. The first one stays.
    pub(super) fn keep(&self, key: Arc<EmbeddedKey>) {
        if key.jwk_len() <= Self::MAX_JWK {
            let _ = self.0.set(key);
        }
    }
}
