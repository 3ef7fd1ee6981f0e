//! The entry that a store remembers for a proof or a token.

use std::time::Duration;

use time::UtcDateTime;

use crate::dates::{earlier, later};
use crate::jose::sha256;
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
#[must_use = "an entry is remembered only if it is inserted into a `ReplayStore`"]
pub struct ReplayEntry {
    key: [u8; 32],
    share_key: [u8; 32],
    client_share_key: [u8; 32],
    issued_at: UtcDateTime,
    expires_at: UtcDateTime,
    now: UtcDateTime,
}

/// The subject and client whose share of a store an entry counts against.
#[derive(Clone, Copy)]
pub(super) struct Owner<'a> {
    pub(super) issuer: &'a str,
    pub(super) subject: &'a str,
    /// Never makes a share by itself, because clients can register themselves. Empty if the token names none.
    pub(super) client: &'a str,
}

impl<'a> Owner<'a> {
    /// The subject and client of a token. A client that acts for itself is the subject too.
    fn from_token(token: &'a AccessToken) -> Self {
        Owner {
            issuer: token.issuer(),
            subject: token.subject_name(),
            client: token.client_id().unwrap_or_default(),
        }
    }
}

impl ReplayEntry {
    /// Creates an entry that `parts` identify, within a purpose and an audience. It counts against the shares of its
    /// owner, which are the same for all purposes and audiences.
    ///
    /// `issued_at` is the **earliest** moment at which it may have been issued. If an `iat` in the future is accepted
    /// by some leeway, it is `iat` less that leeway. Otherwise something that was signed by a clock ahead, and used
    /// before the store started, would count as issued after the start.
    ///
    /// `expires_at` is the moment until which it would be accepted again, leeway included. It must depend only on the
    /// proof or token, and never on `now`: a second insertion must have the same `expires_at`.
    pub(super) fn new(
        purpose: &'static str,
        audience: &str,
        parts: &[&str],
        owner: Owner<'_>,
        issued_at: UtcDateTime,
        expires_at: UtcDateTime,
        now: UtcDateTime,
    ) -> Self {
        let Owner { issuer, subject, client } = owner;
        ReplayEntry {
            key: hash(&["key", purpose, audience], parts),
            share_key: hash(&["share"], &[issuer, subject]),
            client_share_key: hash(&["client share"], &[issuer, subject, client]),
            issued_at,
            expires_at,
            now,
        }
    }

    /// Creates the entry of the DPoP proof that came with a token. Its key is made from the proof key and the proof's
    /// `jti`.
    ///
    /// The audience is not part of the key, because a proof is for one URL and one token anyway. Returns `None` if the
    /// token came without a [proof](AccessToken::proof).
    #[must_use]
    pub fn for_proof(token: &AccessToken, now: UtcDateTime) -> Option<Self> {
        let proof = token.proof()?;
        let (parts, owner) = ([proof.key(), proof.jti()], Owner::from_token(token));
        let (issued_at, expires_at) = (proof.issued_at(), proof.expires_at());
        Some(ReplayEntry::new("dpop proof", "", &parts, owner, issued_at, expires_at, now))
    }

    /// Creates the entry of a token that is spent. Its key is made from the token's issuer, its `jti` and its audience.
    ///
    /// Returns `None` if the token has no `jti`, does not say when it was issued, or does not have exactly one audience:
    /// such a token cannot be spent.
    #[must_use]
    pub fn for_token(token: &AccessToken, now: UtcDateTime) -> Option<Self> {
        let (Some(audience), 1) = (token.audience(), token.audiences().count()) else {
            return None;
        };
        let parts = [token.issuer(), token.jti()?];
        let issued_at = earlier(token.issued_at()?, token.leeway());
        // With the greatest leeway, because another guard that shares the store may have more than this one.
        let until = TokenLimits::MAX_LEEWAY.saturating_add(Duration::from_secs(1));
        let expires_at = later(token.expires_at(), until);
        let audience = audience.as_str();
        let (purpose, owner) = ("access token", Owner::from_token(token));
        Some(ReplayEntry::new(purpose, audience, &parts, owner, issued_at, expires_at, now))
    }

    /// Creates the entry of a transaction, which spends it whatever token it came with.
    pub(crate) fn for_transaction(
        resource: &str,
        txn: &str,
        token: &AccessToken,
        issued_at: UtcDateTime,
        expires_at: UtcDateTime,
        now: UtcDateTime,
    ) -> Self {
        let owner = Owner::from_token(token);
        ReplayEntry::new("transaction", resource, &[txn], owner, issued_at, expires_at, now)
    }

    /// Creates an entry for testing a store of your own.
    ///
    /// Entries of the same `name` have the same [`key`](Self::key), entries of the same `subject` have the same
    /// [`share_key`](Self::share_key), and those that also have the same `client` have the same
    /// [`client_share_key`](Self::client_share_key).
    #[cfg(feature = "testing")]
    #[cfg_attr(docsrs, doc(cfg(feature = "testing")))]
    pub fn for_test(
        name: &str,
        subject: &str,
        client: &str,
        issued_at: UtcDateTime,
        expires_at: UtcDateTime,
        now: UtcDateTime,
    ) -> Self {
        let owner = Owner { issuer: "", subject, client };
        ReplayEntry::new("test", "", &[name], owner, issued_at, expires_at, now)
    }

    /// Returns the key of the entry. An entry is known if its key was inserted before.
    ///
    /// It is a SHA-256 of the purpose, the audience and the parts that identify the proof or token, each with its
    /// length.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Returns the key of the share that the entry counts against, in a store that limits how much one subject may use.
    ///
    /// It is a SHA-256 like the [`key`](Self::key), of the token's issuer and subject. It is the same for proofs and
    /// for tokens, and for all audiences. A client that acts for itself is its own subject.
    ///
    /// Do not limit by the client alone. Clients can register themselves, so one person can have any number of them,
    /// and many people use the same one.
    #[must_use]
    pub fn share_key(&self) -> &[u8; 32] {
        &self.share_key
    }

    /// Returns the key of the part of the [share](Self::share_key) that one client may use.
    ///
    /// It is a SHA-256 of the token's issuer, subject and `client_id`. A store that lets one client have at most half
    /// of its subject's share leaves the other half to the subject's other clients.
    #[must_use]
    pub fn client_share_key(&self) -> &[u8; 32] {
        &self.client_share_key
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

/// Hashes each part after its length, so that two different lists of parts never hash the same text. The first name is
/// the kind of the key.
fn hash(names: &[&str], parts: &[&str]) -> [u8; 32] {
    // One allocation for most entries, instead of two for each part.
    let mut text = Vec::with_capacity(256);
    for part in names.iter().chain(parts) {
        let length = u64::try_from(part.len()).unwrap_or(u64::MAX);
        text.extend_from_slice(&length.to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    sha256([text])
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;
    use time::UtcDateTime;

    use super::*;

    const THEN: UtcDateTime = UtcDateTime::UNIX_EPOCH;
    const OWNER: Owner<'_> = Owner { issuer: "i", subject: "s", client: "c" };

    fn key(purpose: &'static str, audience: &str, parts: &[&str]) -> [u8; 32] {
        *ReplayEntry::new(purpose, audience, parts, OWNER, THEN, THEN, THEN).key()
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
    fn a_share_depends_on_issuer_and_subject_and_a_part_of_it_on_the_client_too() {
        let entry_for = |purpose, audience, issuer, subject, client| {
            let owner = Owner { issuer, subject, client };
            ReplayEntry::new(purpose, audience, &["x"], owner, THEN, THEN, THEN)
        };
        let entry = entry_for("p", "a", "i", "s", "c");
        let keys = [entry.key(), entry.share_key(), entry.client_share_key()];
        assert!(keys[0] != keys[1] && keys[1] != keys[2] && keys[0] != keys[2]);
        // Proofs and tokens, for whatever audience, are in one share.
        let elsewhere = entry_for("q", "b", "i", "s", "c");
        assert_eq!(elsewhere.share_key(), entry.share_key());
        assert_eq!(elsewhere.client_share_key(), entry.client_share_key());

        let by_another_client = entry_for("p", "a", "i", "s", "d");
        assert_eq!(by_another_client.share_key(), entry.share_key());
        assert_ne!(by_another_client.client_share_key(), entry.client_share_key());
        // A client has no share that spans subjects, and a name of one issuer none that spans issuers.
        for other in [entry_for("p", "a", "i", "t", "c"), entry_for("p", "a", "j", "s", "c")] {
            assert_ne!(other.share_key(), entry.share_key());
            assert_ne!(other.client_share_key(), entry.client_share_key());
        }
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
