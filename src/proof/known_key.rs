//! The proof key of a token, prepared once, and the hash of the token.

use std::sync::{Arc, OnceLock};

use crate::jose::{Embedded, EmbeddedKey, encode, sha256};

/// The key that a proof of a token was verified with, if one was. It lives as long as the claims of the token, so it is
/// kept only while the [token cache](crate::token_cache) keeps them, and counts against the same share.
///
/// Of a proof it is the key and nothing else: every proof is verified, and no result is kept.
#[derive(Debug, Default)]
pub(crate) struct KnownKey {
    key: OnceLock<Arc<EmbeddedKey>>,
    /// The claim `ath` that every proof of the token has (RFC 9449 section 4.2).
    token_hash: OnceLock<Box<str>>,
}

impl Clone for KnownKey {
    /// Knows the hash, and no key: a copy of the claims is for another thread, which prepares a key of its own.
    fn clone(&self) -> Self {
        KnownKey { key: OnceLock::new(), token_hash: self.token_hash.clone() }
    }
}

impl KnownKey {
    /// The most heap that a key takes, in bytes: its JWK, and what the backends prepare for it.
    pub(crate) const MAX_BYTES: usize = 5 * 1024;
    /// The longest JWK that is kept, in bytes. It has room for RSA keys of 3072 bits.
    pub(crate) const MAX_JWK: usize = 640;

    /// Returns the key of this proof if it is the one that is known.
    pub(super) fn of(&self, proof: &Embedded<'_>) -> Option<&Arc<EmbeddedKey>> {
        self.key.get().filter(|key| proof.has_key(key))
    }

    /// The key, if it is known.
    #[cfg(test)]
    pub(crate) fn get(&self) -> Option<&Arc<EmbeddedKey>> {
        self.key.get()
    }

    /// Returns the hash of the token, which is the same one each time.
    pub(super) fn hash_of(&self, token: &str) -> &str {
        let hash = || encode(sha256([token])).into();
        self.token_hash.get_or_init(hash)
    }

    /// Keeps the key of a proof that passed every check. The first one stays.
    pub(super) fn keep(&self, key: Arc<EmbeddedKey>) {
        if key.jwk_len() <= Self::MAX_JWK {
            let _ = self.key.set(key);
        }
    }
}
