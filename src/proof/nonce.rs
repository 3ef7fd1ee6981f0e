//! Nonces for DPoP proofs (RFC 9449 section 9). They are made from the time and a key, so nothing is stored and every
//! replica recognizes them.

use std::fmt;
use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use time::UtcDateTime;

use crate::dates::{MAX_CLOCK_AHEAD, earlier, later};
use crate::jose::{constant_time_eq, hmac_sha256};

/// How much of the HMAC is sent.
const CODE_BYTES: usize = 16;

/// Makes and checks the nonces of DPoP proofs
/// ([RFC 9449 section 9](https://www.rfc-editor.org/rfc/rfc9449#section-9)).
///
/// With nonces, this resource's clock decides how fresh a proof is, not the client's. A nonce contains the time when it
/// was made and the first 128 bits of an HMAC-SHA-256 over it. It cannot be guessed, nothing is stored, and every
/// replica that has the key accepts it. A nonce is valid for 5 minutes by [default](Self::lifetime), and may come
/// from a replica whose clock is up to 2 seconds ahead. It may be used for several proofs.
///
/// To change the key, give every replica the new key, and the old one as [`previous`](Self::previous). Drop the old
/// key when its last nonces have expired.
///
/// ```
/// use std::time::Duration;
/// use unconfused::proof::{Dpop, Nonces};
///
/// # let (current_secret, previous_secret) = ([1; 32], [2; 32]);
/// let nonces = Nonces::new(current_secret).previous(previous_secret).lifetime(Duration::from_secs(120));
/// let dpop = Dpop::for_base_url("https://api.example.com")?.nonces(nonces);
/// # let _ = dpop;
/// # Ok::<(), unconfused::error::ConfigError>(())
/// ```
#[derive(Clone)]
pub struct Nonces {
    key: [u8; 32],
    previous: Option<[u8; 32]>,
    lifetime: Duration,
}

/// The times of a nonce that was made with one of our keys and has not expired.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ValidNonce {
    /// The earliest moment at which it may have been made.
    pub(super) made_at: UtcDateTime,
    pub(super) expires_at: UtcDateTime,
    /// The client should get a new one: half of the lifetime is over, or the key is the previous one.
    pub(super) is_ending: bool,
}

impl Nonces {
    /// Makes nonces with this key: 32 random bytes that are kept secret and are the same at every replica.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Nonces { key, previous: None, lifetime: Duration::from_secs(300) }
    }

    /// Also accepts nonces that were made with this key. New nonces are never made with it.
    ///
    /// At most one previous key is kept: a second call replaces it.
    #[must_use]
    pub fn previous(mut self, key: [u8; 32]) -> Self {
        self.previous = Some(key);
        self
    }

    /// Sets how long a nonce is valid.
    ///
    /// Defaults to 5 minutes. A client is given a new nonce when half of this time is over.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// Makes the nonce of this moment, in whole seconds.
    pub(crate) fn make(&self, now: UtcDateTime) -> String {
        let made_at = now.unix_timestamp().to_be_bytes();
        let mut nonce = made_at.to_vec();
        nonce.extend(code(&self.key, made_at));
        URL_SAFE_NO_PAD.encode_to_string(nonce)
    }

    /// Returns `None` if the text is not a nonce of ours, or is one that has expired.
    pub(super) fn check(&self, nonce: &str, now: UtcDateTime) -> Option<ValidNonce> {
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(nonce).ok()?;
        let (made_at, sent) = bytes.split_first_chunk::<8>()?;
        let is_made_with = |key: &[u8; 32]| {
            let code = code(key, *made_at);
            code.len() == CODE_BYTES && constant_time_eq(&code, sent)
        };
        let is_current_key = is_made_with(&self.key);
        if !is_current_key && !self.previous.as_ref().is_some_and(is_made_with) {
            return None;
        }
        let made_at = UtcDateTime::from_unix_timestamp(i64::from_be_bytes(*made_at)).ok()?;
        let expires_at = later(made_at, self.lifetime);
        let is_valid = made_at <= later(now, MAX_CLOCK_AHEAD) && now <= expires_at;
        let half = self.lifetime.mul_f32(0.5);
        let is_ending = !is_current_key || now > later(made_at, half);
        let made_at = earlier(made_at, MAX_CLOCK_AHEAD);
        is_valid.then_some(ValidNonce { made_at, expires_at, is_ending })
    }
}

fn code(key: &[u8; 32], made_at: [u8; 8]) -> Vec<u8> {
    let mut message = b"unconfused dpop nonce".to_vec();
    message.extend(made_at);
    let mut code = hmac_sha256(key, &message).unwrap_or_default();
    code.truncate(CODE_BYTES);
    code
}

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
    }

    #[test]
    fn a_nonce_is_valid_for_its_lifetime_and_under_its_key_alone() {
        let nonces = Nonces::new([1; 32]);
        let nonce = nonces.make(at(0));
        let ending = |nonces: &Nonces, seconds| {
            nonces.check(&nonce, at(seconds)).map(|valid| {
                assert_eq!((valid.made_at, valid.expires_at), (at(-2), at(300)));
                valid.is_ending
            })
        };
        for (seconds, expected) in [
            (0, Some(false)),
            (150, Some(false)),
            (151, Some(true)),
            (300, Some(true)),
            (301, None),
            (-2, Some(false)),
            (-3, None),
        ] {
            assert_eq!(ending(&nonces, seconds), expected, "{seconds}");
        }
        assert_eq!(ending(&Nonces::new([2; 32]), 0), None);
        assert_eq!(ending(&Nonces::new([2; 32]).previous([1; 32]), 0), Some(true));
        assert_ne!(nonces.make(at(1)), nonce);
    }

    #[test]
    fn no_other_text_is_a_nonce() {
        let nonces = Nonces::new([1; 32]);
        let nonce = nonces.make(at(0));
        let longer = format!("{nonce}A");
        for bad in ["", "a", "AAAAAAAAAAA", &nonce[1..], &nonce[..nonce.len() - 1], &longer] {
            assert_eq!(nonces.check(bad, at(0)), None, "{bad}");
        }
        for place in 0..nonce.len() {
            let mut bytes = nonce.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(nonces.check(&changed, at(0)), None, "{changed}");
        }
    }
}
