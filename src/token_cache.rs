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
//! - **what is signed** is the same text, header and payload compared whole: what is kept is what they say, and that has
//!   one spelling in base64url;
//! - the issuer's keys are **the very set** that verified it ([`KeySetId`]): with the first answer that brings
//!   another set, the entry is gone, whichever key it was;
//! - the issuer is **the one the guard trusts now**; of a tenant, the very one that is approved again;
//! - the guard is the same: the memory is a part of it, and a guard that is set up differently has its own.
//!
//! No text of a token can be made of an entry: the signature is not in it.
//!
//! # Who can put something out
//!
//! Only validated tokens enter. Where there are several issuers, up to 1024, none has more than its share, and its own
//! oldest goes first. Where there is one, tokens that came once give way before those that came again. What has expired counts
//! for nothing, and goes when it is asked for or gives way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;
use time::UtcDateTime;

use crate::dates::later;
use crate::jose::{Digest, DigestKey, KeySetId, is_base64url_of};
use crate::keys::Issuer;
use crate::token::{Claims, KeyHint};

/// The longest life of an entry.
const MAX_LIFE: Duration = Duration::from_secs(5 * 60);
/// With so many issuers or more, each may have one part in so many.
const SMALLEST_SHARE: usize = 16;
/// For so many issuers it is known which entries are theirs.
const MAX_ISSUERS: usize = 1024;

/// A token whose signature stands, without its signature.
#[derive(Clone)]
pub(crate) struct Verified {
    pub(crate) claims: Arc<Claims>,
    /// The set that verified it.
    pub(crate) keys: KeySetId,
    /// Its issuer, where that is of a template.
    pub(crate) tenant: Option<Arc<Issuer>>,
}

/// A [`Verified`], and how long it counts.
#[derive(Clone)]
struct Entry {
    verified: Verified,
    until: UtcDateTime,
    /// Which note is its own.
    note: u64,
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
    entries: Cache<Digest, Entry>,
    shares: Mutex<Shares>,
}

/// Whose the entries are.
#[derive(Default)]
struct Shares {
    /// By issuer, the oldest first, with a number each. An entry may be gone already, or noted again behind.
    noted: BTreeMap<String, VecDeque<(Digest, u64)>>,
    last: u64,
}

impl Verified {
    /// What its token says of its key.
    pub(crate) fn key_hint(&self) -> KeyHint<'_> {
        let header = self.claims.header();
        KeyHint::new(header.kid(), header.alg())
    }
}

impl Memory {
    /// Of at most so many tokens, of so many issuers. With room for none, nothing is remembered.
    pub(crate) fn new(most: usize, issuers: usize) -> Self {
        let parts = issuers.min(SMALLEST_SHARE);
        let share = (parts > 1).then(|| most.div_ceil(parts));
        Memory { most, share, held: OnceLock::new() }
    }

    fn held(&self) -> Option<&Held> {
        let make = || {
            let key = DigestKey::random()?;
            Some(Held { key, entries: Cache::new(self.most), shares: Mutex::default() })
        };
        self.held.get_or_init(make).as_ref()
    }

    /// Where this token is remembered, if it is. `None` where nothing is.
    pub(crate) fn place(&self, token: &[u8]) -> Option<Digest> {
        let held = if self.most > 0 { self.held() } else { None }?;
        let (_, _, signature) = split(token)?;
        Some(held.key.digest(signature))
    }

    /// What is remembered of this token at its place, where it counts at this time.
    pub(crate) fn get(&self, place: Digest, token: &[u8], at: UtcDateTime) -> Option<Verified> {
        let held = self.held()?;
        let Entry { verified, until, .. } = held.entries.get(&place)?;
        let (claims, (header, payload, _)) = (&verified.claims, split(token)?);
        if !is_base64url_of(payload, claims.payload())
            || !is_base64url_of(header, claims.header().whole())
        {
            return None;
        }
        if at >= until {
            held.entries.remove(&place);
            return None;
        }
        Some(verified)
    }

    /// Remembers a token that was validated, at its place.
    pub(crate) fn insert(
        &self,
        place: Digest,
        verified: Verified,
        expires_at: UtcDateTime,
        at: UtcDateTime,
    ) {
        let Some(held) = self.held() else { return };
        let until = expires_at.min(later(at, MAX_LIFE));
        if at >= until {
            return;
        }
        let issuer = verified.claims.issuer();
        let note = self.share.map_or(0, |share| held.make_room(issuer, place, share));
        held.entries.insert(place, Entry { verified, until, note });
    }

    /// What is at this place does not count any more.
    pub(crate) fn forget(&self, place: Digest) {
        if let Some(held) = self.held() {
            held.entries.remove(&place);
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
    /// Notes whose the next entry is, and answers the number of the note; where that issuer has its share, its oldest goes.
    fn make_room(&self, issuer: &str, digest: Digest, share: usize) -> u64 {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let Shares { noted, last } = &mut *shares;
        *last = last.wrapping_add(1);
        if !noted.contains_key(issuer) {
            if noted.len() >= MAX_ISSUERS {
                noted.clear();
            }
            noted.insert(issuer.to_owned(), VecDeque::new());
        }
        let Some(own) = noted.get_mut(issuer) else { return *last };
        if own.len() >= share
            && let Some((oldest, note)) = own.pop_front()
        {
            // What was remembered again since then has another note.
            self.entries.remove_if(&oldest, |entry| entry.note == note);
        }
        own.push_back((digest, *last));
        *last
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

    use super::*;
    use crate::jose::KeySet;
    use crate::token::UnverifiedToken;

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
    }

    /// A token of this issuer, one for each name.
    fn token(issuer: &str, name: &str) -> String {
        let payload = format!(r#"{{"iss":"{issuer}","name":"{name}"}}"#);
        let parts = [r#"{"alg":"ES256"}"#, &payload, &format!("signature of {name}")];
        parts.map(|part| BASE64URL.encode(part)).join(".")
    }

    fn remember(memory: &Memory, token: &str, expires: i64) {
        let claims = Arc::new(UnverifiedToken::parse(token).unwrap().into_claims());
        let verified = Verified { claims, keys: KeySet::default().id(), tenant: None };
        let place = memory.place(token.as_bytes()).unwrap();
        memory.insert(place, verified, at(expires), at(0));
    }

    fn knows(memory: &Memory, token: &str, seconds: i64) -> bool {
        let token = token.as_bytes();
        memory.place(token).and_then(|place| memory.get(place, token, at(seconds))).is_some()
    }

    #[test]
    fn only_the_whole_text_is_the_token() {
        let memory = Memory::new(100, 1);
        let (genuine, other) = (token("a", "genuine"), token("a", "other"));
        remember(&memory, &genuine, 60);
        assert!(knows(&memory, &genuine, 1));
        let parts: [&str; 3] = genuine.split('.').collect::<Vec<_>>().try_into().unwrap();
        let [header, payload, signature] = parts;
        let others: [&str; 3] = other.split('.').collect::<Vec<_>>().try_into().unwrap();
        for wrong in [
            format!("{header}.{payload}.{}", others[2]),
            format!("{header}.{}.{signature}", others[1]),
            format!("{}.{payload}.{signature}", BASE64URL.encode(r#"{"alg":"ES384"}"#)),
            format!("{}.{payload}.{signature}", BASE64URL.encode(r#"{"alg":"ES256" }"#)),
            format!("{header}={payload}.{signature}"),
            format!("{header}.{payload}=.{signature}"),
            format!("{header}.{payload}.{signature}="),
            format!("{header}.{payload}.{payload}.{signature}"),
            format!("{header}..{signature}"),
            format!(".{payload}.{signature}"),
            format!("{payload}.{signature}"),
            format!("{header}.{payload}."),
            signature.to_owned(),
            String::new(),
        ] {
            assert!(!knows(&memory, &wrong, 1), "{wrong}");
        }
        for at in 0..genuine.len() {
            let mut wrong = genuine.clone();
            let byte = if &genuine[at..=at] == "A" { "B" } else { "A" };
            wrong.replace_range(at..=at, byte);
            assert!(!knows(&memory, &wrong, 1), "{wrong}");
            assert!(!knows(&memory, &genuine[..at], 1));
        }
    }

    #[test]
    fn an_entry_lives_as_long_as_its_token_and_five_minutes_at_most() {
        let memory = Memory::new(100, 1);
        let [short, long, over] = ["short", "long", "over"].map(|name| token("a", name));
        remember(&memory, &short, 60);
        remember(&memory, &long, 6000);
        remember(&memory, &over, 0);
        assert!(knows(&memory, &short, 59) && !knows(&memory, &short, 60));
        assert!(knows(&memory, &long, 299) && !knows(&memory, &long, 300));
        assert!(!knows(&memory, &over, 0));
        // gone, also for a clock that goes back
        assert!(!knows(&memory, &short, 1));
    }

    #[test]
    fn it_is_bounded_and_with_room_for_none_it_is_off() {
        let memory = Memory::new(100, 1);
        for n in 0..10_000 {
            remember(&memory, &token("a", &n.to_string()), 60);
        }
        assert!((1..=100).contains(&memory.len()), "{}", memory.len());
        assert!(Memory::new(0, 1).place(token("a", "one").as_bytes()).is_none());
    }

    #[test]
    fn an_issuer_that_floods_puts_out_none_of_another() {
        let memory = Memory::new(1000, 2);
        let quiet = token("quiet", "one");
        remember(&memory, &quiet, 60);
        assert!(knows(&memory, &quiet, 1));
        for n in 0..10_000 {
            remember(&memory, &token("loud", &n.to_string()), 60);
        }
        assert!(knows(&memory, &quiet, 1));
        assert!(memory.len() <= 501, "{}", memory.len());
    }

    #[test]
    fn a_token_that_is_remembered_again_is_not_put_out_by_its_first_time() {
        let memory = Memory::new(20, 2);
        let tokens: Vec<_> = (0..8).map(|n| token("a", &n.to_string())).collect();
        for round in 0..10 {
            for token in &tokens {
                assert!(!knows(&memory, token, 60), "{round}");
                remember(&memory, token, 60);
            }
            assert!(tokens.iter().all(|token| knows(&memory, token, 1)), "{round}");
        }
    }
}
