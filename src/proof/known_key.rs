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
    const MAX_JWK: usize = 640;

    /// Returns the key of this proof if it is the one that is known.
    pub(super) fn of(&self, proof: &Embedded<'_>) -> Option<&Arc<EmbeddedKey>> {
        self.0.get().filter(|key| proof.has_key(key))
    }

    /// Keeps the key of a proof that passed every check. The first one stays.
    pub(super) fn keep(&self, key: Arc<EmbeddedKey>) {
        if key.jwk_len() <= Self::MAX_JWK {
            let _ = self.0.set(key);
        }
    }
}

#[cfg(all(test, feature = "testing"))]
mod tests {
    use http::Method;
    use time::UtcDateTime;

    use super::*;
    use crate::proof::{Dpop, Possession};
    use crate::testing::{TestProof, TestProofKey};

    #[test]
    fn a_key_is_known_once_a_proof_passed_and_is_prepared_once() {
        let (key, other) = (TestProofKey::new(), TestProofKey::new());
        let (known, now) = (KnownKey::default(), UtcDateTime::now());
        let dpop = Dpop::for_base_url("https://api.example").unwrap();
        let check = |proof: TestProof| {
            let proof = proof.sign();
            let possession = Possession::dpop(&proof, &Method::GET, "/");
            dpop.check_with(&possession, "token", &key.thumbprint(), &known, now).is_ok()
        };
        let good = |key: &TestProofKey| key.proof("GET", "https://api.example/").token("token");
        for refused in [
            good(&other),
            good(&key).forged_by(&other),
            good(&key).token("another"),
            good(&key).claim("htm", "POST"),
        ] {
            assert!(!check(refused) && known.0.get().is_none());
        }
        assert!(check(good(&key)));
        let first = known.0.get().unwrap().clone();
        assert!(check(good(&key)) && !check(good(&other)));
        assert!(Arc::ptr_eq(&first, known.0.get().unwrap()));
        // The cache, and this.
        assert_eq!(Arc::strong_count(&first), 2);
    }

    #[test]
    fn a_long_key_is_not_kept() {
        let (key, known) = (TestProofKey::new(), KnownKey::default());
        let dpop = Dpop::for_base_url("https://api.example").unwrap();
        let proof = key.proof("GET", "https://api.example/").token("token").sign();
        let header =
            String::from_utf8(crate::jose::decode(proof.split('.').next().unwrap()).unwrap());
        let header: serde_json::Value = serde_json::from_str(&header.unwrap()).unwrap();
        let mut jwk = header["jwk"].clone();
        jwk["kid"] = "k".repeat(KnownKey::MAX_JWK).into();
        let proof =
            key.proof("GET", "https://api.example/").token("token").header("jwk", jwk).sign();
        let possession = Possession::dpop(&proof, &Method::GET, "/");
        let now = UtcDateTime::now();
        let checked = dpop.check_with(&possession, "token", &key.thumbprint(), &known, now);
        assert!(checked.is_ok() && known.0.get().is_none());
    }
}
