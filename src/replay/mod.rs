//! What may be used once, and who remembers it.

mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;

use crate::answer::Answer;
use crate::dates::{earlier, later};
use crate::jose::sha256;
use crate::proof::AcceptedProof;
use crate::token::{AccessToken, TokenLimits};

pub use self::memory::MemoryReplayStore;
#[cfg(feature = "redis")]
pub use self::redis::RedisReplayStore;

/// What a [`ReplayStore`] answers with.
pub type ReplayAnswer = Answer<'static, Result<Remembered, StoreUnavailable>>;

/// Remembers what was seen, so that it is accepted once.
///
/// [`MemoryReplayStore`] is one, for a service of one process; `RedisReplayStore` is one with the feature `redis`, for
/// a service of several; a closure is one, and an `Arc` of one. Whoever implements it keeps four rules:
///
/// - **One step.** Of all who offer one [`key`](ReplayEntry::key), however many at once, one is answered
///   [`First`](Remembered::First). To look first and to write then is two steps.
/// - **Not for less.** What was answered with `First` is remembered until [`expires_at`](ReplayEntry::expires_at),
///   also where room runs short: then the next one gets no place.
/// - **It knows since when it remembers.** What was issued before that is [`BeforeEpoch`](Remembered::BeforeEpoch),
///   never `First`.
/// - **In doubt, [`StoreUnavailable`].** Also where the answer of a server was lost.
///
/// ```
/// use unconfused::replay::{Remembered, ReplayAnswer, ReplayEntry, ReplayStore};
/// use unconfused::Answer;
///
/// // for a test: nothing was ever seen
/// let store = |_: ReplayEntry| -> ReplayAnswer { Answer::Now(Ok(Remembered::First)) };
/// # fn is_one(_: impl ReplayStore) {}
/// # is_one(store);
/// ```
pub trait ReplayStore: Send + Sync + 'static {
    /// Remembers the entry where it is not known yet, and says which of the two it was: one atomic step.
    ///
    /// Where an answer that is [`Later`](Answer::Later) is dropped before it is there, the entry may be remembered or
    /// not.
    fn insert(&self, entry: ReplayEntry) -> ReplayAnswer;
}

impl<F> ReplayStore for F
where
    F: Fn(ReplayEntry) -> ReplayAnswer + Send + Sync + ?Sized + 'static,
{
    fn insert(&self, entry: ReplayEntry) -> ReplayAnswer {
        self(entry)
    }
}

impl<S: ReplayStore + ?Sized> ReplayStore for Arc<S> {
    fn insert(&self, entry: ReplayEntry) -> ReplayAnswer {
        (**self).insert(entry)
    }
}

impl fmt::Debug for dyn ReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayStore(..)")
    }
}

/// How a store knows what it is offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Remembered {
    /// It was not known, and is from now on.
    First,
    /// It was known.
    Again,
    /// It was issued before the store began to remember, or need not be remembered any more: whether it was seen is
    /// not known. Nothing is remembered of it.
    BeforeEpoch,
    /// It was not known, and is not now: whose share it counts against has as many entries as one may have. That
    /// passes when some of them expire.
    ShareFull,
}

/// The store cannot answer now: it is down, too slow, or full. The request is answered with 503, and what it brought
/// may be spent or not.
#[derive(Debug, thiserror::Error)]
#[error("the replay store is unavailable: {cause}")]
pub struct StoreUnavailable {
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreUnavailable {
    /// With the cause, for the operator. It goes into the record: no secret may be in it.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        StoreUnavailable { cause: cause.into() }
    }
}

/// What is to be remembered: hashes and times, and nothing that was in a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReplayEntry {
    key: [u8; 32],
    share: [u8; 32],
    issued_at: UtcDateTime,
    expires_at: UtcDateTime,
    now: UtcDateTime,
}

impl ReplayEntry {
    /// For what `parts` name, within a purpose and an audience; `share_parts` name whose share of the store it takes,
    /// within the same two.
    ///
    /// `issued_at` is when it was issued **at the earliest**: where an `iat` is accepted that lies in the future, by
    /// so much leeway, then `iat` less that leeway. Else what was signed by a clock ahead and spent before a store
    /// began would be taken for issued after it.
    ///
    /// `expires_at` is until when it would be accepted if nobody remembered it, leeway included. It follows from what
    /// is offered and from nothing else, never from `now`: a second offer must come with the same one.
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
            share: hash("share", purpose, audience, share_parts),
            issued_at,
            expires_at,
            now,
        }
    }

    /// For a proof that was accepted: under its key, whatever this resource is called, since it is for one URL and one
    /// token anyway.
    #[must_use]
    pub fn for_proof(proof: &AcceptedProof, now: UtcDateTime) -> Self {
        let parts = [proof.key(), proof.jti()];
        let (issued_at, expires_at) = (proof.issued_at(), proof.expires_at());
        ReplayEntry::new("dpop proof", "", &parts, &[proof.key()], issued_at, expires_at, now)
    }

    /// For a token that is spent: its issuer and its id, under the audience that it is meant for. `None` where it has
    /// no id, or not exactly one audience: it cannot be spent.
    #[must_use]
    pub fn for_token(token: &AccessToken, now: UtcDateTime) -> Option<Self> {
        let (Some(audience), 1) = (token.audience(), token.audiences().count()) else {
            return None;
        };
        let parts = [token.issuer(), token.jti()?];
        let share = [token.issuer(), token.client_id().unwrap_or_default()];
        let issued_at = earlier(token.issued_at(), token.leeway());
        // By the greatest leeway: another guard with the same store may have more.
        let until = TokenLimits::MAX_LEEWAY.saturating_add(Duration::from_secs(1));
        let expires_at = later(token.expires_at(), until);
        let audience = audience.as_str();
        Some(ReplayEntry::new("access token", audience, &parts, &share, issued_at, expires_at, now))
    }

    /// An entry of that name, to test a store of your own with. Entries of one name have one key; what counts against
    /// one share has that.
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

    /// What it is known by: a SHA-256 of its purpose, the audience, and what names it, each with its length.
    #[must_use]
    pub fn key(&self) -> &[u8; 32] {
        &self.key
    }

    /// Whose share of the store it takes: a SHA-256 like the key, of the key that signed a proof, or of the client of
    /// a token.
    #[must_use]
    pub fn share(&self) -> &[u8; 32] {
        &self.share
    }

    /// When it was issued, at the earliest: an `iat`, less the leeway for a clock that is ahead.
    #[must_use]
    pub fn issued_at(&self) -> UtcDateTime {
        self.issued_at
    }

    /// Until when it must be remembered. After that it is refused for its age, whoever offers it.
    #[must_use]
    pub fn expires_at(&self) -> UtcDateTime {
        self.expires_at
    }

    /// The moment by which the request is judged.
    #[must_use]
    pub fn now(&self) -> UtcDateTime {
        self.now
    }
}

/// Each part after its length, so that no two lists of parts are one text.
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
    fn no_two_names_have_one_key() {
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
    fn a_share_is_no_key_and_has_its_purpose_and_audience() {
        let of = |purpose, audience| {
            ReplayEntry::new(purpose, audience, &["x"], &["x"], THEN, THEN, THEN)
        };
        let entry = of("p", "a");
        assert_ne!(entry.key(), entry.share());
        assert_ne!(entry.share(), of("q", "a").share());
        assert_ne!(entry.share(), of("p", "b").share());
        assert_eq!(entry.share(), of("p", "a").share());
    }

    proptest! {
        /// Texts of one or two letters, so that a list that only differs in where its parts end is common.
        #[test]
        fn keys_are_equal_where_names_are(
            one in proptest::collection::vec("[ab]{0,3}", 0..4),
            other in proptest::collection::vec("[ab]{0,3}", 0..4),
        ) {
            let key = |parts: &[String]| {
                let parts: Vec<_> = parts.iter().map(String::as_str).collect();
                key("p", "a", &parts)
            };
            prop_assert_eq!(key(&one) == key(&other), one == other);
        }

        /// The ends of the parts, moved over one text.
        #[test]
        fn a_text_cut_elsewhere_has_another_key(text in "[a-z\0]{1,40}", cuts in any::<(usize, usize)>()) {
            let (one, other) = (cuts.0 % (text.len() + 1), cuts.1 % (text.len() + 1));
            let key = |at: usize| key("p", "a", &[&text[..at], &text[at..]]);
            prop_assert_eq!(key(one) == key(other), one == other);
        }
    }

    #[test]
    fn a_closure_and_an_arc_of_a_store_are_stores() {
        let store: Arc<dyn ReplayStore> =
            Arc::new(|_: ReplayEntry| -> ReplayAnswer { Answer::Now(Ok(Remembered::Again)) });
        let entry = ReplayEntry::new("p", "a", &[], &[], THEN, THEN, THEN);
        let answer = ReplayStore::insert(&store, entry).now().unwrap().unwrap();
        assert_eq!(answer, Remembered::Again);
    }
}
