//! Digests, and comparison of secrets.

use std::hash::{Hash, Hasher as _};

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::memcmp;
use openssl::pkey::PKey;
use openssl::sha::Sha256;
use openssl::sign::Signer;
use siphasher::sip128::{Hasher128, SipHasher13};

/// Returns the SHA-256 digest of the concatenated parts.
pub(crate) fn sha256(parts: impl IntoIterator<Item = impl AsRef<[u8]>>) -> [u8; 32] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.as_ref());
    }
    digest.finish()
}

/// Returns the HMAC-SHA-256 of a message, or `None` if the library fails.
pub(crate) fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> Option<Vec<u8>> {
    let mac = || -> Result<Vec<u8>, ErrorStack> {
        let key = PKey::hmac(key)?;
        let mut signer = Signer::new(MessageDigest::sha256(), &key)?;
        signer.update(message)?;
        signer.sign_to_vec()
    };
    mac().ok()
}

/// Returns random bytes that no one can guess, or `None` if the system has no randomness.
pub(crate) fn random_bytes<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    openssl::rand::rand_bytes(&mut bytes).ok()?;
    Some(bytes)
}

/// The random key of [`Digest`]s.
pub(crate) struct DigestKey([u8; 16]);

/// 128 bits of SipHash-1-3 under a secret key. Without the key, no one can find two texts with the same digest or learn
/// a text from its digest.
///
/// The fewer rounds are enough. Digests are never shown, and a guess can only be tested by a request. Anyone who tries to
/// hit the digest of a cached signature knows neither that signature, since the token would do without a forgery, nor
/// the key. Attacks on SipHash with few rounds need chosen texts and their digests, or the difference of two texts.
#[derive(Clone, Copy, Eq)]
pub(crate) struct Digest(u64, u64);

impl DigestKey {
    /// Makes a key. Returns `None` if the system has no randomness.
    pub(crate) fn random() -> Option<Self> {
        random_bytes().map(DigestKey)
    }

    pub(crate) fn digest(&self, bytes: &[u8]) -> Digest {
        let mut hasher = SipHasher13::new_with_key(&self.0);
        hasher.write(bytes);
        let hash = hasher.finish128();
        Digest(hash.h1, hash.h2)
    }
}

impl Digest {
    /// Returns a number less than `buckets`, or `None` if there are none.
    pub(crate) fn bucket(self, buckets: usize) -> Option<usize> {
        // Which bits does not matter. Other than 64 are as good.
        usize::try_from(self.1 & 0xffff_ffff).ok()?.checked_rem(buckets)
    }
}

impl PartialEq for Digest {
    /// Compares in a time that does not depend on where the digests differ.
    fn eq(&self, other: &Self) -> bool {
        (self.0 ^ other.0) | (self.1 ^ other.1) == 0
    }
}

impl Hash for Digest {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        state.write_u64(self.0);
    }
}

/// Compares two secrets in a time that does not depend on where they differ.
pub(crate) fn constant_time_eq(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && memcmp::eq(one, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn digests_match_the_vectors_of_the_standards() {
        // FIPS 180-2 appendix B.1
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(["abc"])), abc);
        assert_eq!(hex(&sha256(["a", "bc"])), abc);
        // RFC 4231 section 4.3. Its key is padded with zeros, as HMAC does itself.
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        assert_eq!(
            hex(&hmac_sha256(&key, b"what do ya want for nothing?").unwrap()),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
        assert!(
            constant_time_eq(b"ab", b"ab")
                && !constant_time_eq(b"ab", b"ac")
                && !constant_time_eq(b"ab", b"abc")
        );
    }
}
