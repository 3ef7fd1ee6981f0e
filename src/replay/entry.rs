//! The entry that a store remembers for a proof or a token.

use std::time::Duration;

use time::UtcDateTime;

use crate::dates::{earlier, later};
use crate::jose::sha256;
use crate::proof::AcceptedProof;
use crate::token::{AccessToken, TokenLimits};

/// An entry that a [`ReplayStore`](super::ReplayStore) remembers for a proof or a token. It consists of hashes and
/// times, and contains no text of a request.
///
/// A guard makes entries itself. With the plain functions, make one with [`for_proof`](Self::for_proof) or
/// [`for_token`](Self::for_token), and insert it after every other check has passed.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use time::UtcDateTime;
/// use unconfused::replay::{MemoryReplayStore, Remembered, ReplayEntry, ReplayStore};
/// use unconfused::testing::TestIssuer;
/// use unconfused::{Audience, Scope};
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
///
/// let login = TestIssuer::new("https://login.example");
/// let grant = login.grant(login.token(&ORDERS).scope("orders:read"), READ);
///
/// let store = MemoryReplayStore::new_at(UtcDateTime::UNIX_EPOCH);
/// let entry = ReplayEntry::for_token(grant.token(), grant.at()).expect("one audience and an id");
/// assert_eq!(store.insert(entry.clone()).now().unwrap()?, Remembered::First);
/// assert_eq!(store.insert(entry).now().unwrap()?, Remembered::Again);
/// # }
/// # Ok::<(), unconfused::replay::StoreUnavailable>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayEntry {
    key: [u8; 32],
    share_key: [u8; 32],
    issued_at: UtcDateTime,
    expires_at: UtcDateTime,
    now: UtcDateTime,
}

impl ReplayEntry {
    /// Creates an entry that `parts` identify, within a purpose and an audience. `share_parts` identify the share of the
    /// store that it counts against, within the same two.
    ///
    /// `issued_at` is the **earliest** moment at which it may have been issued. If an `iat` in the future is accepted
    /// by some leeway, it is `iat` less that leeway. Otherwise something that was signed by a clock ahead, and used
    /// before the store started, would count as issued after the start.
    ///
    /// `expires_at` is the moment until which it would be accepted again, leeway included. It must depend only on the
    /// proof or token, and never on `now`: a second insertion must have the same `expires_at`.
    pub(crate) fn new(
        purpose: &'static str,
        audience: &str,
        parts: &[&str],
        share_parts: &[&str],
        issued_at: UtcDateTime,
        expires_at: UtcDateTime,
        now: UtcDateTime,
    ) -> Self {
        ReplayEntry {
            key: hash("key", purpose, audience, parts),
            share_key: hash("share", purpose, audience, share_parts),
            issued_at,
            expires_at,
            now,
        }
    }

    /// Creates the entry of a DPoP proof. Its key is made from the proof key and the proof's `jti`.
    ///
    /// The audience is not part of the key, because a proof is for one URL and one token anyway. Proofs of one proof
    /// key have one share.
    #[must_use]
    pub fn for_proof(proof: &AcceptedProof, now: UtcDateTime) -> Self {
        let parts = [proof.key(), proof.jti()];
        let (issued_at, expires_at) = (proof.issued_at(), proof.expires_at());
        ReplayEntry::new("dpop proof", "", &parts, &[proof.key()], issued_at, expires_at, now)
    }

    /// Creates the entry of a token that is spent. Its key is made from the token's issuer, its `jti` and its audience.
    ///
    /// Tokens of one client have one share. Returns `None` if the token has no `jti`, or does not have exactly one
    /// audience: such a token cannot be spent.
    #[must_use]
    pub fn for_token(token: &AccessToken, now: UtcDateTime) -> Option<Self> {
        let (Some(audience), 1) = (token.audience(), token.audiences().count()) else {
            return None;
        };
        let parts = [token.issuer(), token.jti()?];
        let share_parts = [token.issuer(), token.client_id().unwrap_or_default()];
        let issued_at = earlier(token.issued_at(), token.leeway());
        // With the greatest leeway, because another guard that shares the store may have more than this one.
        let until = TokenLimits::MAX_LEEWAY.saturating_add(Duration::from_secs(1));
        let expires_at = later(token.expires_at(), until);
        let audience = audience.as_str();
        let purpose = "access token";
        Some(ReplayEntry::new(purpose, audience, &parts, &share_parts, issued_at, expires_at, now))
    }

    /// Creates an entry for testing a store of your own.
    ///
    /// Entries of the same `name` have the same [`key`](Self::key), and entries of the same `share` have the same
    /// [`share_key`](Self::share_key).
    #[cfg(feature = "testing")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
    #[must_use]
    pub fn for_test(
        name: &str,
        share: &str,
        issued_at: UtcDateTime,
        expires_at: UtcDateTime,
        now: UtcDateTime,
    ) -> Self {
        ReplayEntry::new("test", "", &[name], &[share], issued_at, expires_at, now)
    }

    /// Returns the key of the entry. An entry is known if its key was inserted before.
    ///
    /// It is a SHA-256 of the purpose, the audience and the parts that identify the proof or token, each with its
    /// length.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Returns the key of the share that the entry counts against, in a store that limits how much one client may use.
    ///
    /// It is a SHA-256 like the [`key`](Self::key): of the key that signed a proof, or of the client of a token.
    #[must_use]
    pub fn share_key(&self) -> &[u8; 32] {
        &self.share_key
    }

    /// Returns the earliest moment at which the proof or token may have been issued: its `iat`, less the leeway for a
    /// clock that is ahead. If a nonce was required of a proof, the nonce says when.
    #[must_use]
    pub fn issued_at(&self) -> UtcDateTime {
        self.issued_at
    }

    /// Returns the moment until which the entry must be remembered. After that, the proof or token is refused for its
    /// age.
    #[must_use]
    pub fn expires_at(&self) -> UtcDateTime {
        self.expires_at
    }

    /// Returns the moment at which the request is judged.
    #[must_use]
    pub fn now(&self) -> UtcDateTime {
        self.now
    }
}

/// Hashes each part after its length, so that two different lists of parts never hash the same text.
fn hash(kind: &str, purpose: &str, audience: &str, parts: &[&str]) -> [u8; 32] {
    let named = [kind, purpose, audience].into_iter().chain(parts.iter().copied());
    sha256(named.flat_map(|part| {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        [length.to_be_bytes().to_vec(), part.as_bytes().to_vec()]
    }))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use time::UtcDateTime;

    use super::*;

    const THEN: UtcDateTime = UtcDateTime::UNIX_EPOCH;

    fn key(purpose: &'static str, audience: &str, parts: &[&str]) -> [u8; 32] {
        *ReplayEntry::new(purpose, audience, parts, &[], THEN, THEN, THEN).key()
    }

    #[test]
    fn different_names_have_different_keys() {
        let names: [(&str, &str, &[&str]); 12] = [
            ("p", "a", &["ab", "c"]),
            ("p", "a", &["a", "bc"]),
            ("p", "a", &["abc"]),
            ("p", "a", &["abc", ""]),
            ("p", "a", &["", "abc"]),
            ("p", "a", &[]),
            ("p", "a", &[""]),
            ("p", "aab", &["c"]),
            ("pa", "ab", &["c"]),
            ("pa", "", &["abc"]),
            ("q", "a", &["ab", "c"]),
            ("p", "b", &["ab", "c"]),
        ];
        let mut seen = HashMap::new();
        for name in names {
            assert_eq!(seen.insert(key(name.0, name.1, name.2), name), None, "{name:?}");
        }
        assert_eq!(key("p", "a", &["ab", "c"]), key("p", "a", &["ab", "c"]));
    }

    #[test]
    fn a_share_key_is_not_a_key_and_depends_on_purpose_and_audience() {
        let entry_for = |purpose, audience| {
            ReplayEntry::new(purpose, audience, &["x"], &["x"], THEN, THEN, THEN)
        };
        let entry = entry_for("p", "a");
        assert_ne!(entry.key(), entry.share_key());
        assert_ne!(entry.share_key(), entry_for("q", "a").share_key());
        assert_ne!(entry.share_key(), entry_for("p", "b").share_key());
        assert_eq!(entry.share_key(), entry_for("p", "a").share_key());
    }

    proptest! {
        /// Short texts of two letters, so that lists that differ only in where their parts end are common.
        #[test]
        fn keys_are_equal_if_and_only_if_names_are(
            one in proptest::collection::vec("[ab]{0,3}", 0..4),
            other in proptest::collection::vec("[ab]{0,3}", 0..4),
        ) {
            let key = |parts: &[String]| {
                let parts: Vec<_> = parts.iter().map(String::as_str).collect();
                key("p", "a", &parts)
            };
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }

        /// Moves the boundary between two parts over one text.
        #[test]
        fn a_text_that_is_cut_elsewhere_has_another_key(text in "[a-z\0]{1,40}", cuts in any::<(usize, usize)>()) {
            let (one, other) = (cuts.0 % (text.len() + 1), cuts.1 % (text.len() + 1));
            let key = |at: usize| key("p", "a", &[&text[..at], &text[at..]]);
            prop_assert_eq!(key(one) == key(other), one == other);
        }
    }
}
