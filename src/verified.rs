//! The memory of validated tokens: what they say, never what was decided about them.
//!
//! A token that comes again is not verified again. Everything else is done again for every request: the tenant is
//! approved, the keys are asked for, times, audience, confirmation and requirement are checked. What is saved is
//! parsing and the signature.
//!
//! # Why the key is complete
//!
//! What a signature and its claims depend on is the whole text of the token, the keys, and the settings. So an entry
//! counts only where
//!
//! - the **signature** has the same [`Digest`], 128 bits under a key that is random for each memory;
//! - **what is signed**, header and payload, is the same text, compared whole: the header as it was sent, the payload
//!   with what it says, in its one canonical spelling;
//! - the issuer's keys are **the very set** that verified it ([`KeySet::id`]): with the first answer that brings
//!   another set, the entry is gone, whichever key it was;
//! - the issuer is **the one the guard trusts now**; of a tenant, the very one that is approved again;
//! - the guard is the same: the memory is a part of it, and a guard that is set up differently has its own.
//!
//! No text of a token can be made of an entry: the signature is not in it.
//!
//! # Who can put something out
//!
//! Only validated tokens enter. Where there are several issuers, none has more than its share, and its own oldest goes
//! first. Where there is one, tokens that came once give way before those that came again. What has expired counts
//! for nothing, and goes when it is asked for or gives way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use time::UtcDateTime;

use crate::jose::{Algorithm, Digest, DigestKey, KeySet, is_base64url_of, later};
use crate::keys::Issuer;
use crate::token::{Claims, KeyHint, UnverifiedToken};

/// The longest life of an entry.
const MAX_LIFE: Duration = Duration::from_secs(5 * 60);
/// With so many issuers or more, each may have one part in so many.
const SMALLEST_SHARE: usize = 16;
/// For so many issuers it is known which entries are theirs.
const MAX_ISSUERS: usize = 1024;

/// A token whose signature stands, without its signature.
pub(crate) struct Verified {
    digest: Digest,
    header: Box<[u8]>,
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    keys: u64,
    until: UtcDateTime,
    pub(crate) issuer: Arc<Issuer>,
    pub(crate) claims: Arc<Claims>,
}

/// What is kept of a token while it is validated.
pub(crate) struct Candidate {
    kid: Option<Box<str>>,
    algorithm: Algorithm,
    keys: u64,
}

/// The memory of one guard.
pub(crate) struct Memory {
    most: usize,
    /// The most entries of one issuer, where there are several.
    share: Option<usize>,
    held: OnceLock<Option<Held>>,
}

struct Held {
    key: DigestKey,
    entries: Cache<Digest, Arc<Verified>>,
    /// By issuer, the oldest first; some may be gone already.
    shares: Mutex<BTreeMap<String, VecDeque<Digest>>>,
}

impl Verified {
    /// What its token says of its key.
    pub(crate) fn key_hint(&self) -> KeyHint<'_> {
        KeyHint::new(self.kid.as_deref(), self.algorithm.name())
    }

    /// These keys verified it.
    pub(crate) fn is_by(&self, keys: &KeySet) -> bool {
        self.keys == keys.id()
    }
}

impl Candidate {
    /// Of a token that was admitted with this algorithm.
    pub(crate) fn new(token: &UnverifiedToken<'_>, algorithm: Algorithm, keys: &KeySet) -> Self {
        Candidate { kid: token.key_hint().kid().map(Into::into), algorithm, keys: keys.id() }
    }
}

impl Memory {
    /// Of at most so many tokens, of so many issuers. With room for none, nothing is remembered.
    pub(crate) fn new(most: usize, issuers: usize) -> Self {
        let parts = issuers.min(SMALLEST_SHARE);
        let share = (parts > 1).then(|| most.div_ceil(parts));
        Memory { most, share, held: OnceLock::new() }
    }

    /// True where tokens are remembered.
    pub(crate) fn is_on(&self) -> bool {
        self.most > 0
    }

    fn held(&self) -> Option<&Held> {
        let make = || {
            let key = DigestKey::random()?;
            Some(Held { key, entries: Cache::new(self.most), shares: Mutex::default() })
        };
        self.held.get_or_init(make).as_ref()
    }

    /// The entry of this token, where there is one at this time.
    pub(crate) fn get(&self, token: &[u8], at: UtcDateTime) -> Option<Arc<Verified>> {
        let held = self.held.get()?.as_ref()?;
        let (header, payload, signature) = split(token)?;
        let digest = held.key.digest(signature);
        let entry = held.entries.get(&digest)?;
        if *entry.header != *header || !is_base64url_of(payload, entry.claims.payload()) {
            return None;
        }
        if at >= entry.until {
            held.entries.remove(&digest);
            return None;
        }
        Some(entry)
    }

    /// Remembers a token that was validated.
    pub(crate) fn insert(
        &self,
        candidate: Candidate,
        token: &[u8],
        issuer: Arc<Issuer>,
        claims: Arc<Claims>,
        expires_at: UtcDateTime,
        at: UtcDateTime,
    ) {
        let Some(held) = self.held() else { return };
        let Candidate { kid, algorithm, keys } = candidate;
        let Some((header, _, signature)) = split(token) else { return };
        let until = expires_at.min(later(at, MAX_LIFE));
        if at >= until {
            return;
        }
        let digest = held.key.digest(signature);
        if let Some(share) = self.share {
            held.make_room(issuer.name(), digest, share);
        }
        let header = header.into();
        let entry = Verified { digest, header, kid, algorithm, keys, until, issuer, claims };
        held.entries.insert(digest, Arc::new(entry));
    }

    /// It does not count any more.
    pub(crate) fn forget(&self, entry: &Verified) {
        if let Some(Some(held)) = self.held.get() {
            held.entries.remove(&entry.digest);
        }
    }

    /// How many there are.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.held.get().and_then(Option::as_ref).map_or(0, |held| held.entries.len())
    }
}

/// Header, payload and signature, as they were sent.
fn split(token: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (signed, signature) = token.split_at_checked(memchr::memrchr(b'.', token)?)?;
    let (header, payload) = signed.split_at_checked(memchr::memchr(b'.', signed)?)?;
    Some((header, payload.get(1..)?, signature.get(1..)?))
}

impl Held {
    /// Notes whose the next entry is; where that issuer has its share, its oldest goes.
    fn make_room(&self, issuer: &str, digest: Digest, share: usize) {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if !shares.contains_key(issuer) {
            if shares.len() >= MAX_ISSUERS {
                shares.clear();
            }
            shares.insert(issuer.to_owned(), VecDeque::new());
        }
        let Some(own) = shares.get_mut(issuer) else { return };
        if own.len() >= share
            && let Some(oldest) = own.pop_front()
        {
            self.entries.remove(&oldest);
        }
        own.push_back(digest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
    }

    fn issuer(name: &str) -> Arc<Issuer> {
        Arc::new(Issuer::new(name, KeySet::default()))
    }

    fn remember(memory: &Memory, issuer: &Arc<Issuer>, token: &str, expires: i64) {
        let candidate = Candidate { kid: None, algorithm: Algorithm::Es256, keys: 0 };
        let claims = Arc::new(Claims::of("{\"sub\":\"alice\"}"));
        memory.insert(candidate, token.as_bytes(), issuer.clone(), claims, at(expires), at(0));
    }

    fn knows(memory: &Memory, token: &str, seconds: i64) -> bool {
        memory.get(token.as_bytes(), at(seconds)).is_some()
    }

    #[test]
    fn only_the_whole_text_is_the_token() {
        let memory = Memory::new(100, 1);
        remember(&memory, &issuer("a"), "head.eyJzdWIiOiJhbGljZSJ9.signature", 60);
        assert!(knows(&memory, "head.eyJzdWIiOiJhbGljZSJ9.signature", 1));
        for other in [
            "head.eyJzdWIiOiJhbGljZSJ9.signaturf",
            "head.eyJzdWIiOiJhbGljZSJ9.signature0",
            "head.eyJzdWIiOiJhbGljZSJ9.signatur",
            "head.eyJzdWIiOiJhbGljZSJ8.signature",
            "hfad.eyJzdWIiOiJhbGljZSJ9.signature",
            "head.eyJzdWIiOiJhbGljZSJ.signature",
            "head.eyJzdWIiOiJhbGljZSJ9A.signature",
            "head.eyJzdWIiOiJhbGljZSJ9=.signature",
            "head.eyJzdWIiOiJhbGljZSJ9.eyJzdWIiOiJhbGljZSJ9.signature",
            "eyJzdWIiOiJhbGljZSJ9.signature",
            "head.eyJzdWIiOiJhbGljZSJ9.x.signature",
            "head.eyJzdWIiOiJhbGljZSJ9.",
            "signature",
            "",
        ] {
            assert!(!knows(&memory, other, 1), "{other}");
        }
    }

    #[test]
    fn an_entry_lives_as_long_as_its_token_and_five_minutes_at_most() {
        let memory = Memory::new(100, 1);
        let issuer = issuer("a");
        remember(&memory, &issuer, "a.eyJzdWIiOiJhbGljZSJ9.short", 60);
        remember(&memory, &issuer, "a.eyJzdWIiOiJhbGljZSJ9.long", 6000);
        remember(&memory, &issuer, "a.eyJzdWIiOiJhbGljZSJ9.over", 0);
        assert!(
            knows(&memory, "a.eyJzdWIiOiJhbGljZSJ9.short", 59)
                && !knows(&memory, "a.eyJzdWIiOiJhbGljZSJ9.short", 60)
        );
        assert!(
            knows(&memory, "a.eyJzdWIiOiJhbGljZSJ9.long", 299)
                && !knows(&memory, "a.eyJzdWIiOiJhbGljZSJ9.long", 300)
        );
        assert!(!knows(&memory, "a.eyJzdWIiOiJhbGljZSJ9.over", 0));
        // gone, also for a clock that goes back
        assert!(!knows(&memory, "a.eyJzdWIiOiJhbGljZSJ9.short", 1));
    }

    #[test]
    fn it_is_bounded_and_with_room_for_none_it_is_off() {
        let memory = Memory::new(100, 1);
        let issuer = issuer("a");
        for n in 0..10_000 {
            remember(&memory, &issuer, &format!("a.eyJzdWIiOiJhbGljZSJ9.{n}"), 60);
        }
        assert!((1..=100).contains(&memory.len()), "{}", memory.len());
        assert!(!Memory::new(0, 1).is_on());
    }

    #[test]
    fn an_issuer_that_floods_puts_out_none_of_another() {
        let memory = Memory::new(1000, 2);
        let (quiet, loud) = (issuer("quiet"), issuer("loud"));
        remember(&memory, &quiet, "a.eyJzdWIiOiJhbGljZSJ9.quiet", 60);
        assert!(knows(&memory, "a.eyJzdWIiOiJhbGljZSJ9.quiet", 1));
        for n in 0..10_000 {
            remember(&memory, &loud, &format!("a.eyJzdWIiOiJhbGljZSJ9.{n}"), 60);
        }
        assert!(knows(&memory, "a.eyJzdWIiOiJhbGljZSJ9.quiet", 1));
        assert!(memory.len() <= 501, "{}", memory.len());
    }
}
