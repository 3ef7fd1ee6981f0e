//! The cache of validated tokens. It holds what a token says, never what was decided about it.
//!
//! A cached token is not parsed again, and its signature is not verified again. Everything else is done for every
//! request: the tenant is approved, the keys are looked up, and times, audience, confirmation and requirement are
//! checked.
//!
//! # Why a hit is safe
//!
//! The result of verifying a token depends on its whole text, the keys, and the settings. So an entry is used only if
//! all of these hold:
//!
//! - The **signature** has the same [`Digest`]: 128 bits under a key that is random for each cache.
//! - The **signed text** is the same. Header and payload are compared whole, as they were sent.
//! - The issuer's current keys are **the very set** that verified the token ([`KeySetId`]). An entry, or a copy of it, is
//!   dropped at the first lookup that finds another set, whichever key changed.
//! - The issuer is **the one the guard trusts now**. A tenant's issuer must be the very one that is approved again.
//! - The guard is the same. The cache is a part of its guard, and a guard with other settings has its own.
//!
//! A token cannot be rebuilt from an entry, because the signature is not in it.
//!
//! # How much it holds
//!
//! Each token of the capacity has room for [`ROOM`] bytes. A token that holds less takes that room all the same, and one
//! that holds more takes as much as it holds. So neither the number nor the size of tokens makes the cache grow beyond
//! its capacity times that room. The copies of single threads ([`copies`]) add at most an eighth.
//!
//! # Who can evict an entry
//!
//! Only validated tokens enter. With several issuers, none takes more room than its share, and an issuer that reaches
//! its share evicts its own oldest entries first; this is tracked for up to 1024 issuers. With one issuer, tokens that
//! were sent once are evicted before tokens that were sent again. An expired entry is never used. It is removed when it
//! is looked up or evicted.

mod copies;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::Duration;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use time::UtcDateTime;

use crate::dates::later;
use crate::jose::{Digest, DigestKey, KeySetId};
use crate::keys::Issuer;
use crate::token::{Claims, KeyHint};

use copies::Copies;

/// The bytes that each token of the capacity has room for.
const ROOM: u64 = 4 * 1024;
/// The room of the longest token that a thread has a copy of, in bytes. Tokens that are bound to a key have it too.
const COPY_ROOM: u64 = 3 * ROOM;
/// The copies are at most so many that they take an eighth of the room.
const TOKENS_PER_COPY: usize = 3 * 8;
/// Every shard has room for at least so many tokens. If it had room for a few only, long tokens of one issuer could fill
/// it, though all of them together stay within their share.
const MIN_SHARD: usize = 512;
/// The longest life of an entry.
const MAX_LIFE: Duration = Duration::from_secs(5 * 60);
/// No issuer's share is smaller than the capacity divided by this.
const MAX_SHARES: usize = 16;
/// The most issuers whose entries are tracked.
const MAX_TRACKED_ISSUERS: usize = 1024;

/// A token whose signature was verified, without that signature.
#[derive(Clone)]
pub(crate) struct CachedToken {
    pub(crate) claims: Arc<Claims>,
    /// The set that verified it.
    pub(crate) keys: KeySetId,
    /// The issuer, if it is a tenant of a template. The cache does not keep it.
    pub(crate) tenant: Option<Weak<Issuer>>,
}

impl CachedToken {
    /// Returns what the token says about its key.
    pub(crate) fn key_hint(&self) -> KeyHint<'_> {
        let header = self.claims.header();
        KeyHint::new(header.kid(), header.alg())
    }
}

#[derive(Clone)]
struct Entry {
    token: CachedToken,
    valid_until: UtcDateTime,
    /// Tells this entry from earlier ones in the same slot.
    insertion: u64,
    /// The room that it takes, in bytes.
    room: u64,
}

impl Entry {
    /// A copy that shares nothing that is counted for each request.
    fn own_copy(&self) -> Self {
        let claims = Arc::new(Claims::clone(&self.token.claims));
        Entry { token: CachedToken { claims, ..self.token.clone() }, ..self.clone() }
    }
}

impl CachedToken {
    /// The room that this token takes, in bytes.
    fn room(&self) -> u64 {
        let bytes = self.claims.bytes().saturating_add(size_of::<Entry>());
        u64::try_from(bytes).unwrap_or(u64::MAX).max(ROOM)
    }
}

#[derive(Clone)]
struct ByRoom;

impl Weighter<Digest, Entry> for ByRoom {
    fn weight(&self, _: &Digest, entry: &Entry) -> u64 {
        entry.room
    }
}

/// Where a token is looked for, and how many of its bytes are signed.
#[derive(Clone, Copy)]
pub(crate) struct Slot {
    signature: Digest,
    signed_len: usize,
}

/// The validated tokens of one guard. Each token has one slot, which is the digest of its signature.
pub(crate) struct TokenCache {
    capacity: usize,
    /// The most room that the entries of one issuer take, if there are several.
    share: Option<u64>,
    /// Created at the first lookup. `None` if there is no randomness for the digest key: then nothing is cached.
    storage: OnceLock<Option<Storage>>,
}

struct Storage {
    digest_key: DigestKey,
    entries: Cache<Digest, Entry, ByRoom>,
    copies: Copies<Entry>,
    shares: Mutex<IssuerShares>,
}

/// Which issuer each entry counts against.
#[derive(Default)]
struct IssuerShares {
    by_issuer: BTreeMap<String, IssuerShare>,
    last_insertion: u64,
}

/// The insertions that count against one issuer, oldest first. An entry may have been evicted since, or inserted again
/// later in the queue.
#[derive(Default)]
struct IssuerShare {
    insertions: VecDeque<Insertion>,
    /// The room that they take together.
    room: u64,
}

struct Insertion {
    slot: Digest,
    number: u64,
    room: u64,
}

impl TokenCache {
    /// Creates a cache of at most `capacity` tokens of so many issuers. With a capacity of 0, nothing is cached.
    pub(crate) fn new(capacity: usize, issuers: usize) -> Self {
        let shares = issuers.min(MAX_SHARES);
        let share = (shares > 1).then(|| room_for(capacity.div_ceil(shares)));
        TokenCache { capacity, share, storage: OnceLock::new() }
    }

    fn storage(&self) -> Option<&Storage> {
        let create = || {
            let digest_key = DigestKey::random()?;
            let entries = new_entries(self.capacity)?;
            let copies = Copies::new(self.capacity / TOKENS_PER_COPY);
            Some(Storage { digest_key, entries, copies, shares: Mutex::default() })
        };
        self.storage.get_or_init(create).as_ref()
    }

    /// Returns the slot of this token, or `None` if nothing is cached.
    pub(crate) fn slot(&self, token: &[u8]) -> Option<Slot> {
        let storage = if self.capacity > 0 { self.storage() } else { None }?;
        let signed_len = memchr::memrchr(b'.', token)?;
        let signature = token.get(signed_len..)?;
        Some(Slot { signature: storage.digest_key.digest(signature), signed_len })
    }

    /// Returns this token if it is cached in its slot and the entry is valid at this time.
    pub(crate) fn get(&self, slot: Slot, token: &[u8], at: UtcDateTime) -> Option<CachedToken> {
        let storage = self.storage()?;
        let signed = token.get(..slot.signed_len)?;
        let has_ended = |entry: &Entry| at >= entry.valid_until;
        match storage.copies.get(slot.signature) {
            Some(copy) if has_ended(&copy) => {
                storage.copies.remove_if(slot.signature, has_ended);
            }
            Some(copy) if copy.token.claims.is_signed_text(signed) => return Some(copy.token),
            Some(_) | None => {}
        }
        let entry = storage.entries.get(&slot.signature)?;
        if !entry.token.claims.is_signed_text(signed) {
            return None;
        }
        if has_ended(&entry) {
            // Not one that another thread has inserted meanwhile.
            storage.entries.remove_if(&slot.signature, has_ended);
            return None;
        }
        if entry.room <= COPY_ROOM && storage.copies.is_due(slot.signature) {
            storage.copies.keep(slot.signature, entry.own_copy());
        }
        Some(entry.token)
    }

    /// Caches a validated token in its slot.
    pub(crate) fn insert(
        &self,
        slot: Slot,
        sent: &[u8],
        token: CachedToken,
        expires_at: UtcDateTime,
        at: UtcDateTime,
    ) {
        let Some((storage, signed)) = self.storage().zip(sent.get(..slot.signed_len)) else {
            return;
        };
        let valid_until = expires_at.min(later(at, MAX_LIFE));
        if at >= valid_until {
            return;
        }
        token.claims.keep_signed_text(signed);
        let (issuer, room) = (token.claims.issuer(), token.room());
        let insertion = match self.share {
            None => 0,
            Some(share) if room > share => return,
            Some(share) => storage.count_insertion(issuer, slot.signature, room, share),
        };
        storage.entries.insert(slot.signature, Entry { token, valid_until, insertion, room });
    }

    /// Removes what [`get`](Self::get) returned: the copy of this thread, or the entry if it was that. A copy of another
    /// thread is found out by that thread.
    pub(crate) fn remove(&self, slot: Slot, stale: &CachedToken) {
        let is_stale = |entry: &Entry| Arc::ptr_eq(&entry.token.claims, &stale.claims);
        if let Some(storage) = self.storage()
            && !storage.copies.remove_if(slot.signature, is_stale)
        {
            storage.entries.remove_if(&slot.signature, is_stale);
        }
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.storage.get().and_then(Option::as_ref).map_or(0, |storage| storage.entries.len())
    }

    /// What the cached tokens hold, in bytes.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let storage = self.storage.get().and_then(Option::as_ref);
        let entries = storage.into_iter().flat_map(|storage| storage.entries.iter());
        entries.map(|(_, entry)| entry.token.claims.bytes()).sum()
    }
}

fn new_entries(capacity: usize) -> Option<Cache<Digest, Entry, ByRoom>> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = (capacity / MIN_SHARD).max(1);
    // The cache rounds the number of its shards up to a power of two.
    let shards = cores.saturating_mul(4).next_power_of_two().min(1 << most.ilog2());
    let options = OptionsBuilder::new()
        .shards(shards)
        .estimated_items_capacity(capacity)
        .weight_capacity(room_for(capacity))
        .build()
        .ok()?;
    let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
    Some(Cache::with_options(options, ByRoom, hasher, lifecycle))
}

/// The bytes that so many tokens have room for.
fn room_for(tokens: usize) -> u64 {
    u64::try_from(tokens).unwrap_or(u64::MAX).saturating_mul(ROOM)
}

impl Storage {
    /// Counts the next entry against its issuer and returns the number of the insertion. If the issuer has reached
    /// its share, its oldest entries are evicted.
    fn count_insertion(&self, issuer: &str, slot: Digest, room: u64, share: u64) -> u64 {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let IssuerShares { by_issuer, last_insertion } = &mut *shares;
        *last_insertion = last_insertion.wrapping_add(1);
        let number = *last_insertion;
        if !by_issuer.contains_key(issuer) {
            if by_issuer.len() >= MAX_TRACKED_ISSUERS {
                by_issuer.clear();
            }
            by_issuer.insert(issuer.to_owned(), IssuerShare::default());
        }
        let Some(own) = by_issuer.get_mut(issuer) else { return number };
        while own.room.saturating_add(room) > share
            && let Some(oldest) = own.insertions.pop_front()
        {
            own.room = own.room.saturating_sub(oldest.room);
            // An entry that was inserted again since then has another number, and stays.
            self.entries.remove_if(&oldest.slot, |entry| entry.insertion == oldest.number);
        }
        own.insertions.push_back(Insertion { slot, number, room });
        own.room = own.room.saturating_add(room);
        number
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64URL;

    use super::*;
    use crate::jose::KeySet;
    use crate::per_thread::copies as copies_per_cache;
    use crate::token::UnverifiedToken;

    fn at(seconds: i64) -> UtcDateTime {
        UtcDateTime::from_unix_timestamp(1_800_000_000 + seconds).unwrap()
    }

    /// Returns a token of this issuer, another one for each name.
    fn token(issuer: &str, name: &str) -> String {
        long_token(issuer, name, 0)
    }

    /// Returns a token with so many members.
    fn long_token(issuer: &str, name: &str, members: usize) -> String {
        let members: String = (0..members).map(|n| format!(r#","{n}":{n}"#)).collect();
        let payload = format!(r#"{{"iss":"{issuer}","name":"{name}"{members}}}"#);
        let parts = [r#"{"alg":"ES256"}"#, &payload, &format!("signature of {name}")];
        parts.map(|part| BASE64URL.encode(part)).join(".")
    }

    fn insert(cache: &TokenCache, token: &str, expires: i64) {
        let claims = Arc::new(UnverifiedToken::parse(token).unwrap().into_claims());
        let cached = CachedToken { claims, keys: KeySet::default().id(), tenant: None };
        let slot = cache.slot(token.as_bytes()).unwrap();
        cache.insert(slot, token.as_bytes(), cached, at(expires), at(0));
    }

    fn is_cached(cache: &TokenCache, token: &str, seconds: i64) -> bool {
        let token = token.as_bytes();
        cache.slot(token).and_then(|slot| cache.get(slot, token, at(seconds))).is_some()
    }

    #[test]
    fn only_the_whole_text_of_a_token_is_a_hit() {
        let cache = TokenCache::new(100, 1);
        let (genuine, other) = (token("a", "genuine"), token("a", "other"));
        insert(&cache, &genuine, 60);
        assert!(is_cached(&cache, &genuine, 1));
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
            assert!(!is_cached(&cache, &wrong, 1), "{wrong}");
        }
        for at in 0..genuine.len() {
            let mut wrong = genuine.clone();
            let byte = if &genuine[at..=at] == "A" { "B" } else { "A" };
            wrong.replace_range(at..=at, byte);
            assert!(!is_cached(&cache, &wrong, 1), "{wrong}");
            assert!(!is_cached(&cache, &genuine[..at], 1));
        }
    }

    #[test]
    fn an_entry_lives_as_long_as_its_token_and_five_minutes_at_most() {
        let cache = TokenCache::new(100, 1);
        let [short, long, over] = ["short", "long", "over"].map(|name| token("a", name));
        insert(&cache, &short, 60);
        insert(&cache, &long, 6000);
        insert(&cache, &over, 0);
        assert!(is_cached(&cache, &short, 59) && !is_cached(&cache, &short, 60));
        assert!(is_cached(&cache, &long, 299) && !is_cached(&cache, &long, 300));
        assert!(!is_cached(&cache, &over, 0));
        // Removed, so a clock that goes back does not bring it back.
        assert!(!is_cached(&cache, &short, 1));
    }

    /// Where this thread finds the claims of a cached token.
    fn address(cache: &TokenCache, token: &str) -> Option<usize> {
        let slot = cache.slot(token.as_bytes()).unwrap();
        let cached = cache.get(slot, token.as_bytes(), at(0))?;
        Some(Arc::as_ptr(&cached.claims).addr())
    }

    #[test]
    fn a_token_that_is_sent_again_and_again_has_a_copy_in_each_thread() {
        let (cache, one) = (TokenCache::new(10_000, 1), token("a", "one"));
        insert(&cache, &one, 60);
        let [shared, second, own, again] = [(); 4].map(|()| address(&cache, &one).unwrap());
        assert_eq!(shared, second);
        assert!(own != shared && own == again);
        // Some threads have the same copies as this one.
        let addresses = || [(); 3].map(|()| address(&cache, &one).unwrap());
        let in_thread = |_| thread::scope(|scope| scope.spawn(addresses).join().unwrap());
        let [_, _, others] = (0..100 * copies_per_cache())
            .map(in_thread)
            .find(|[first, ..]| *first == shared)
            .unwrap();
        assert!(others != shared && others != own);
        let slot = cache.slot(one.as_bytes()).unwrap();
        let cached = || cache.get(slot, one.as_bytes(), at(0));
        cache.remove(slot, &cached().unwrap());
        assert_eq!(address(&cache, &one), Some(shared));
        cache.remove(slot, &cached().unwrap());
        // It was served twice, so there may be a copy again.
        cached().into_iter().for_each(|copy| cache.remove(slot, &copy));
        assert_eq!(address(&cache, &one), None);
    }

    #[test]
    fn a_copy_that_ended_or_has_another_text_leaves_the_entry_alone() {
        let (cache, one) = (TokenCache::new(10_000, 1), token("a", "one"));
        insert(&cache, &one, 60);
        assert!((0..3).all(|_| is_cached(&cache, &one, 1)));
        insert(&cache, &one, 250);
        assert!(is_cached(&cache, &one, 100) && is_cached(&cache, &one, 200));

        let other = token("a", "other");
        let (signed, _) = other.rsplit_once('.').unwrap();
        let (_, signature) = one.rsplit_once('.').unwrap();
        let same_signature = format!("{signed}.{signature}");
        assert!((0..3).all(|_| is_cached(&cache, &one, 1)));
        insert(&cache, &same_signature, 60);
        assert!(is_cached(&cache, &same_signature, 1) && is_cached(&cache, &one, 1));
    }

    #[test]
    fn a_copy_ends_with_its_entry_and_is_a_hit_for_the_whole_text_only() {
        let (cache, one) = (TokenCache::new(10_000, 1), token("a", "one"));
        insert(&cache, &one, 60);
        assert!((0..5).all(|_| is_cached(&cache, &one, 59)));
        let (_, signature) = one.rsplit_once('.').unwrap();
        let other = token("a", "other");
        let (signed, _) = other.rsplit_once('.').unwrap();
        assert!(!is_cached(&cache, &format!("{signed}.{signature}"), 59));
        assert!(is_cached(&cache, &one, 59) && !is_cached(&cache, &one, 60));
        assert!(!is_cached(&cache, &one, 1));
    }

    #[test]
    fn tokens_that_take_turns_are_not_copied_and_copies_take_an_eighth_of_the_room() {
        let held = |cache: &TokenCache| {
            let copies = cache.storage.get().and_then(Option::as_ref).unwrap().copies.all();
            (copies.len(), copies.iter().map(|copy| copy.room).sum::<u64>())
        };
        let (cache, places) = (TokenCache::new(24 * copies_per_cache(), 1), 1);
        let tokens: Vec<_> = (0..3).map(|n| token("a", &n.to_string())).collect();
        for token in &tokens {
            insert(&cache, token, 60);
        }
        for _ in 0..5 {
            assert!(tokens.iter().all(|token| is_cached(&cache, token, 1)));
        }
        assert_eq!(held(&cache).0, 0);
        for token in tokens.iter().flat_map(|token| [token; 3]) {
            assert!(is_cached(&cache, token, 1));
        }
        assert_eq!(held(&cache).0, places);

        let small = TokenCache::new(24 * copies_per_cache() - 1, 1);
        insert(&small, &tokens[0], 60);
        assert!((0..5).all(|_| is_cached(&small, &tokens[0], 1)));
        assert_eq!(held(&small).0, 0);

        let large = TokenCache::new(10_000, 1);
        thread::scope(|scope| {
            for thread in 0..3 * copies_per_cache() {
                let large = &large;
                scope.spawn(move || {
                    for n in 0..500 {
                        let token = long_token("a", &format!("{thread}-{n}"), n);
                        insert(large, &token, 60);
                        // Tokens of other threads may have evicted it meanwhile.
                        for _ in 0..3 {
                            let _ = is_cached(large, &token, 1);
                        }
                    }
                });
            }
        });
        let (count, room) = held(&large);
        assert!(count > 0 && room <= room_for(10_000) / 8, "{count} copies, {room} bytes");
    }

    #[test]
    fn it_is_bounded_and_a_capacity_of_zero_turns_it_off() {
        let cache = TokenCache::new(100, 1);
        for n in 0..10_000 {
            insert(&cache, &token("a", &n.to_string()), 60);
        }
        assert!((1..=100).contains(&cache.len()), "{}", cache.len());
        assert!(TokenCache::new(0, 1).slot(token("a", "one").as_bytes()).is_none());
    }

    #[test]
    fn long_tokens_take_the_room_of_several_so_the_bytes_are_bounded_too() {
        let held = |members: usize| {
            let cache = TokenCache::new(100, 1);
            for n in 0..150 {
                insert(&cache, &long_token("a", &n.to_string(), members), 60);
            }
            (cache.len(), cache.bytes())
        };
        let limit = 100 * 4096;
        // About 100 bytes, 2 KiB, and the longest token that is read by default.
        let [short, _, (tokens, bytes)] = [0, 200, 1200].map(|members| {
            let (tokens, bytes) = held(members);
            assert!(bytes <= limit, "{tokens} tokens of {members} members hold {bytes} bytes");
            (tokens, bytes)
        });
        assert!(short.0 > 90, "short tokens are cached up to the capacity");
        assert!(tokens >= 5 && bytes > limit / 2, "{tokens} long tokens hold {bytes} bytes");
        // One that alone takes more than all of the room is not cached.
        let (cache, long) = (TokenCache::new(2, 1), long_token("a", "long", 1200));
        insert(&cache, &long, 60);
        assert!(!is_cached(&cache, &long, 1));
    }

    #[test]
    fn an_issuer_that_floods_evicts_no_token_of_another() {
        for members in [0, 1200] {
            let cache = TokenCache::new(100, 2);
            let quiet = token("quiet", "one");
            insert(&cache, &quiet, 60);
            assert!(is_cached(&cache, &quiet, 1));
            for n in 0..200 {
                insert(&cache, &long_token("loud", &n.to_string(), members), 60);
            }
            assert!(is_cached(&cache, &quiet, 1), "{members}");
            assert!(cache.len() <= 51, "{}", cache.len());
            assert!(cache.bytes() <= 51 * 4096, "{}", cache.bytes());
        }
    }

    #[test]
    fn an_issuer_with_a_token_beyond_its_share_evicts_nothing_for_it() {
        let cache = TokenCache::new(4, 2);
        let [short, long] = [token("a", "short"), long_token("a", "long", 1200)];
        insert(&cache, &short, 60);
        insert(&cache, &long, 60);
        assert!(is_cached(&cache, &short, 1) && !is_cached(&cache, &long, 1));
    }

    #[test]
    fn a_token_that_is_cached_again_is_not_evicted_for_its_first_insertion() {
        let cache = TokenCache::new(20, 2);
        let tokens: Vec<_> = (0..8).map(|n| token("a", &n.to_string())).collect();
        for round in 0..10 {
            for token in &tokens {
                assert!(!is_cached(&cache, token, 60), "{round}");
                insert(&cache, token, 60);
            }
            assert!(tokens.iter().all(|token| is_cached(&cache, token, 1)), "{round}");
        }
    }
}
