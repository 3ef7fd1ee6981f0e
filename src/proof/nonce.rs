//! Nonces for DPoP proofs (RFC 9449 section 9): made from the time and a key, so that nothing is stored and every
//! replica knows them.

use std::fmt;
use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use time::UtcDateTime;

use crate::dates::{earlier, later};
use crate::jose::{constant_time_eq, hmac_sha256};

/// How far the clock of a replica may be ahead.
const AHEAD: Duration = Duration::from_secs(2);
/// How much of the code is sent.
const CODE: usize = 16;

/// Makes and checks nonces for DPoP proofs
/// ([RFC 9449 section 9](https://www.rfc-editor.org/rfc/rfc9449#section-9)). A nonce says when it was made, under
/// a key: it cannot be guessed, needs no storage, and is good at every replica that has the key, for 5 minutes
/// unless set.
///
/// To change the key, give the new one to every replica with the old one as
/// [`previous`](Self::previous), and leave the old one out once its nonces have passed.
///
/// ```
/// use unconfused::proof::Nonces;
///
/// # let (secret_of_today, secret_of_yesterday) = ([1; 32], [2; 32]);
/// let nonces = Nonces::new(secret_of_today).previous(secret_of_yesterday);
/// ```
#[derive(Clone)]
pub struct Nonces {
    key: [u8; 32],
    previous: Option<[u8; 32]>,
    life: Duration,
}

/// A nonce of ours that has not passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Good {
    /// When it was made, at the earliest.
    pub(super) made_at: UtcDateTime,
    pub(super) until: UtcDateTime,
    /// It soon passes.
    pub(super) is_ending: bool,
}

impl Nonces {
    /// Under this key: 32 random bytes, kept secret, the same at every replica.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        Nonces { key, previous: None, life: Duration::from_secs(300) }
    }

    /// Nonces of this key are good too, and none is made with it.
    #[must_use]
    pub fn previous(mut self, key: [u8; 32]) -> Self {
        self.previous = Some(key);
        self
    }

    /// How long a nonce is good, in place of 5 minutes.
    #[must_use]
    pub fn life(mut self, life: Duration) -> Self {
        self.life = life;
        self
    }

    /// The nonce of this moment, in whole seconds.
    pub(crate) fn make(&self, now: UtcDateTime) -> String {
        let at = now.unix_timestamp().to_be_bytes();
        let mut nonce = at.to_vec();
        nonce.extend(code(&self.key, at));
        URL_SAFE_NO_PAD.encode_to_string(nonce)
    }

    pub(super) fn read(&self, nonce: &str, now: UtcDateTime) -> Option<Good> {
        let bytes = URL_SAFE_NO_PAD.decode_to_vec(nonce).ok()?;
        let (at, sent) = bytes.split_first_chunk::<8>()?;
        let made_with = |key: &[u8; 32]| {
            let code = code(key, *at);
            code.len() == CODE && constant_time_eq(&code, sent)
        };
        let current = made_with(&self.key);
        if !current && !self.previous.as_ref().is_some_and(made_with) {
            return None;
        }
        let made_at = UtcDateTime::from_unix_timestamp(i64::from_be_bytes(*at)).ok()?;
        let until = later(made_at, self.life);
        // A replica's clock may be ahead.
        let is_good = made_at <= later(now, AHEAD) && now <= until;
        let half = self.life.mul_f32(0.5);
        let is_ending = !current || now > later(made_at, half);
        is_good.then_some(Good { made_at: earlier(made_at, AHEAD), until, is_ending })
    }
}

fn code(key: &[u8; 32], at: [u8; 8]) -> Vec<u8> {
    let mut message = b"unconfused dpop nonce".to_vec();
    message.extend(at);
    let mut code = hmac_sha256(key, &message).unwrap_or_default();
    code.truncate(CODE);
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
    fn a_nonce_is_good_for_its_life_and_under_its_key_alone() {
        let nonces = Nonces::new([1; 32]);
        let nonce = nonces.make(at(0));
        let ending = |nonces: &Nonces, seconds| {
            nonces.read(&nonce, at(seconds)).map(|good| {
                assert_eq!((good.made_at, good.until), (at(-2), at(300)));
                good.is_ending
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
            assert_eq!(nonces.read(bad, at(0)), None, "{bad}");
        }
        for place in 0..nonce.len() {
            let mut bytes = nonce.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(nonces.read(&changed, at(0)), None, "{changed}");
        }
    }
}
