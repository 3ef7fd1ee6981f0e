//! A replay store in the memory of this process.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::UtcDateTime;

use super::entry::ReplayEntry;
use super::store::{Remembered, ReplayAnswer, ReplayStore, StoreStatus, StoreUnavailable};
use crate::answer::Answer;

/// A replay store in the memory of this process, for a service of one process.
///
/// The store is **bounded**. By default it holds one million entries. At most 5 % of them may belong to one subject of
/// one issuer ([`max_share_percent`](Self::max_share_percent)), and at most half of that to one client of this subject,
/// whatever number of proof keys it has. Proofs and spent tokens count together. An entry takes about 105 bytes, and up
/// to 170 if every entry belongs to another subject, so a full store of one million entries takes 105 to 170 MB.
///
/// A client that acts for itself is its own subject. If an issuer lets anyone register such clients, each of them has a
/// share, so limit there how many one person may have.
///
/// An entry stays until it [expires](ReplayEntry::expires_at). It is never evicted before, because the proof or token
/// would then be accepted again. The bound therefore limits the rate of new entries, to the number of entries divided
/// by the time for which each is remembered:
///
/// | entries | remembered for | in total | one subject, at 5 % | one client of a subject |
/// |---|---|---|---|---|
/// | 1,000,000 | 60 s | 16,600 per second | 830 per second | 415 per second |
/// | 1,000,000 | 5 minutes | 3,300 per second | 166 per second | 83 per second |
/// | 1,000,000 | 1 hour | 277 per second | 13 per second | 6 per second |
///
/// Beyond that rate, a new entry is answered with [`StoreUnavailable`], or with [`ShareFull`](Remembered::ShareFull) if
/// only the share of its subject, or its client's half of that, is full. Each insertion drops a few expired entries, so
/// no request waits for a long sweep. Expired entries count until they are dropped. Before the store refuses an entry
/// for lack of space, it drops more of them.
///
/// The store remembers **since it was created**. Something that was issued before then, or within the same second
/// (`iat` is in whole seconds), is [`BeforeEpoch`](Remembered::BeforeEpoch), because an earlier process may have seen
/// it. The system's clock is read only when the store is created. After that, time is what [`ReplayEntry::now`] says.
///
/// This store has two limitations:
///
/// - It does not share entries with other processes. A service of several processes needs a shared store.
/// - It does not detect a wrong clock. If the clock was set back while the service was down, something that was used
///   before can count as new.
///
/// ```
/// use unconfused::replay::MemoryReplayStore;
///
/// let store = MemoryReplayStore::with_capacity(100_000).max_share_percent(10);
/// assert!(store.is_empty());
/// ```
pub struct MemoryReplayStore {
    /// The second in which the store was created.
    created_at: i64,
    capacity: usize,
    max_per_subject: u32,
    len: AtomicUsize,
    shards: Box<[Mutex<Shard>]>,
    /// How many entries each share has. A lock here is taken while that of one shard is held, never the other way.
    share_counts: Box<[Mutex<ShareCounts>]>,
    random: RandomState,
}

/// The first half of an entry's key. Two keys with the same half would cost one false refusal, and are as hard to find
/// as breaking 128 bits.
type KeyPrefix = [u8; 16];
/// A hash under a random key, so that no one can aim at the share of another subject or client.
type ShareId = [u8; 8];
/// Whole seconds after `created_at`.
type Seconds = u32;

/// The shares that an entry counts against.
#[derive(Clone, Copy)]
struct Shares {
    subject: ShareId,
    /// Of the client, for this subject.
    client: ShareId,
}

/// How many entries some subjects have, and how many their clients have. The hash of the subject selects the place of
/// both.
#[derive(Default)]
struct ShareCounts {
    subjects: HashMap<ShareId, u32>,
    clients: HashMap<ShareId, u32>,
}

/// The entries of some keys.
#[derive(Default)]
struct Shard {
    entries: HashMap<KeyPrefix, Shares>,
    /// The next entry to expire comes first.
    expiries: BinaryHeap<Reverse<(Seconds, KeyPrefix)>>,
    /// The latest expiry that was dropped. An entry that expires no later may have been here, so it is refused, even
    /// if some `now` was far ahead or late.
    dropped_until: Seconds,
}

/// There is no space for another entry.
struct Full;

impl MemoryReplayStore {
    const CAPACITY: usize = 1_000_000;
    const SHARE_PERCENT: u8 = 5;
    /// A hash table of 2^14 slots holds 14,336 entries, and shards are never of exactly the same size.
    const ENTRIES_PER_SHARD: usize = 13_900;
    /// How many expired entries a sweep drops. An insertion sweeps its own shard, and a refusal sweeps all of them.
    const SWEEP_LIMIT: usize = 16;

    /// Creates a store of one million entries that remembers from now on, by the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::new_at(UtcDateTime::now())
    }

    /// Creates a store of one million entries that counts as created at `now`.
    ///
    /// Use this in tests, and for a guard with a clock of its own.
    #[must_use]
    pub fn new_at(now: UtcDateTime) -> Self {
        Self::with_capacity_at(Self::CAPACITY, now)
    }

    /// Creates a store of at most this many entries that remembers from now on, by the system's clock.
    ///
    /// Memory is allocated as entries come, and is not freed when they expire.
    ///
    /// # Panics
    ///
    /// Panics if the capacity is 0.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        Self::with_capacity_at(entries, UtcDateTime::now())
    }

    /// Creates a store of at most this many entries that counts as created at `now`.
    ///
    /// # Panics
    ///
    /// Panics if the capacity is 0.
    #[must_use]
    pub fn with_capacity_at(entries: usize, now: UtcDateTime) -> Self {
        assert!(entries > 0, "a replay store with a capacity of 0 would refuse everything");
        let shards = entries.div_ceil(Self::ENTRIES_PER_SHARD);
        let store = MemoryReplayStore {
            created_at: now.unix_timestamp(),
            capacity: entries,
            max_per_subject: 1,
            len: AtomicUsize::new(0),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            share_counts: (0..shards).map(|_| Mutex::default()).collect(),
            random: RandomState::new(),
        };
        store.max_share_percent(Self::SHARE_PERCENT)
    }

    /// Sets how much of the store one subject may fill, in percent. One client of that subject may fill half of it.
    ///
    /// Defaults to 5. Both are at least one entry, and at most 4,294,967,295. If a service has a single client, set it
    /// to 100 and the capacity to twice as many entries as that client needs.
    ///
    /// # Panics
    ///
    /// Panics if the percentage is 0 or greater than 100.
    #[must_use]
    pub fn max_share_percent(mut self, percent: u8) -> Self {
        assert!(
            (1..=100).contains(&percent),
            "the share of a replay store must be from 1 to 100 percent, not {percent}"
        );
        let capacity = u128::try_from(self.capacity).unwrap_or(u128::MAX);
        let max = capacity.saturating_mul(u128::from(percent)) / 100;
        self.max_per_subject = u32::try_from(max).unwrap_or(u32::MAX).max(1);
        self
    }

    fn max_per_client(&self) -> u32 {
        (self.max_per_subject / 2).max(1)
    }

    /// Returns the number of entries, including those that have expired and are not dropped yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Returns `true` if the store has no entries.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn remember(&self, entry: &ReplayEntry) -> Result<Remembered, Full> {
        if entry.issued_at().unix_timestamp() <= self.created_at {
            return Ok(Remembered::BeforeEpoch);
        }
        let mut answer = self.try_to_remember(entry);
        let now = self.seconds(entry.now().unix_timestamp());
        // Sweeping again helps only while it drops something, and must not take long.
        for _ in 0..8 {
            if !matches!(answer, Err(Full) | Ok(Remembered::ShareFull)) {
                break;
            }
            let before = self.len();
            for shard in &self.shards {
                self.sweep(&mut lock(shard), now);
            }
            answer = self.try_to_remember(entry);
            if self.len() >= before {
                break;
            }
        }
        answer
    }

    fn try_to_remember(&self, entry: &ReplayEntry) -> Result<Remembered, Full> {
        let now = self.seconds(entry.now().unix_timestamp());
        let expires_at = self.seconds(rounded_up(entry.expires_at()));
        let (key, _) = entry.key().split_first_chunk().ok_or(Full)?;
        let shares = Shares {
            subject: self.random.hash_one(entry.share_key()).to_ne_bytes(),
            client: self.random.hash_one(entry.client_share_key()).to_ne_bytes(),
        };

        let mut shard = lock(select(&self.shards, self.random.hash_one(key))?);
        self.sweep(&mut shard, now);
        if shard.entries.contains_key(key) {
            return Ok(Remembered::Again);
        }
        if expires_at <= now || expires_at <= shard.dropped_until {
            return Ok(Remembered::BeforeEpoch);
        }
        {
            let mut counts = lock(self.share_counts(shares)?);
            if !counts.have_space(shares, self.max_per_subject, self.max_per_client()) {
                return Ok(Remembered::ShareFull);
            }
            let one_more = |len: usize| len.checked_add(1).filter(|len| *len <= self.capacity);
            self.len
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
                .map_err(|_| Full)?;
            counts.add(shares);
        }
        shard.entries.insert(*key, shares);
        shard.expiries.push(Reverse((expires_at, *key)));
        Ok(Remembered::First)
    }

    /// Drops some of the expired entries of a shard.
    fn sweep(&self, shard: &mut Shard, now: Seconds) {
        for _ in 0..Self::SWEEP_LIMIT {
            let next = shard.expiries.peek().copied();
            let Some(Reverse((expires_at, key))) =
                next.filter(|Reverse((expires_at, _))| *expires_at <= now)
            else {
                return;
            };
            shard.expiries.pop();
            shard.dropped_until = shard.dropped_until.max(expires_at);
            if let Some(shares) = shard.entries.remove(&key) {
                self.release(shares);
            }
        }
    }

    /// Counts one entry less for the store and for the shares.
    fn release(&self, shares: Shares) {
        self.len.fetch_sub(1, Ordering::Relaxed);
        if let Ok(counts) = self.share_counts(shares) {
            lock(counts).remove(shares);
        }
    }

    fn share_counts(&self, shares: Shares) -> Result<&Mutex<ShareCounts>, Full> {
        select(&self.share_counts, u64::from_ne_bytes(shares.subject))
    }

    /// Caps at 136 years after the start. An entry that expires later is never dropped.
    fn seconds(&self, timestamp: i64) -> Seconds {
        let elapsed = timestamp.saturating_sub(self.created_at).max(0);
        Seconds::try_from(elapsed).unwrap_or(Seconds::MAX)
    }
}

impl ShareCounts {
    fn have_space(&self, shares: Shares, max_per_subject: u32, max_per_client: u32) -> bool {
        let count =
            |counts: &HashMap<ShareId, u32>, share| counts.get(&share).copied().unwrap_or(0);
        count(&self.subjects, shares.subject) < max_per_subject
            && count(&self.clients, shares.client) < max_per_client
    }

    fn add(&mut self, shares: Shares) {
        let levels = [(&mut self.subjects, shares.subject), (&mut self.clients, shares.client)];
        for (counts, share) in levels {
            let count = counts.entry(share).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn remove(&mut self, shares: Shares) {
        let levels = [(&mut self.subjects, shares.subject), (&mut self.clients, shares.client)];
        for (counts, share) in levels {
            match counts.get_mut(&share) {
                Some(count) if *count > 1 => *count = count.saturating_sub(1),
                _ => drop(counts.remove(&share)),
            }
        }
    }
}

fn rounded_up(time: UtcDateTime) -> i64 {
    time.unix_timestamp().saturating_add(i64::from(time.nanosecond() > 0))
}

fn select<T>(items: &[T], hash: u64) -> Result<&T, Full> {
    let len = u64::try_from(items.len()).unwrap_or(u64::MAX);
    let index = hash.checked_rem(len).and_then(|index| usize::try_from(index).ok());
    index.and_then(|index| items.get(index)).ok_or(Full)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ReplayStore for MemoryReplayStore {
    fn insert(&self, entry: ReplayEntry) -> ReplayAnswer {
        Answer::Now(self.remember(&entry).map_err(|Full| {
            StoreUnavailable::new(format!("the store is full, with {} entries", self.capacity))
        }))
    }

    fn status(&self) -> StoreStatus {
        StoreStatus::Ready
    }
}

impl Default for MemoryReplayStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MemoryReplayStore({} of {})", self.len(), self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Barrier;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::Remembered::{Again, BeforeEpoch, First, ShareFull};
    use super::*;
    use crate::replay::entry::Owner;

    /// Half a second after a full second.
    const START: UtcDateTime = at(1_000_000_500);

    const fn at(milliseconds: i64) -> UtcDateTime {
        match UtcDateTime::from_unix_timestamp_nanos(milliseconds as i128 * 1_000_000) {
            Ok(at) => at,
            Err(_) => panic!(),
        }
    }

    fn after(milliseconds: u64) -> UtcDateTime {
        START + Duration::from_millis(milliseconds)
    }

    fn owner<'a>(subject: &'a str, client: &'a str) -> Owner<'a> {
        Owner { issuer: "i", subject, client }
    }

    /// Issued as late as possible and inserted at `now`. Times are in milliseconds after the start.
    fn by_client(name: &str, subject: &str, client: &str, now: u64, until: u64) -> ReplayEntry {
        let (issued, owner) = (after(now.max(1000)), owner(subject, client));
        ReplayEntry::new("p", "a", &[name], owner, issued, after(until), after(now))
    }

    /// Of a client of its own, so that only the share of the subject counts.
    fn entry(name: &str, subject: &str, now: u64, until: u64) -> ReplayEntry {
        by_client(name, subject, name, now, until)
    }

    /// Returns `None` if the store is full.
    fn insert(store: &MemoryReplayStore, entry: ReplayEntry) -> Option<Remembered> {
        store.insert(entry).now().unwrap().ok()
    }

    fn store(capacity: usize) -> MemoryReplayStore {
        MemoryReplayStore::with_capacity_at(capacity, START).max_share_percent(100)
    }

    #[test]
    fn the_first_is_first_and_then_it_is_again_until_it_expires() {
        let store = store(10);
        assert_eq!(insert(&store, entry("x", "s", 1000, 5000)), Some(First));
        assert_eq!(insert(&store, entry("x", "s", 1000, 5000)), Some(Again));
        assert_eq!(insert(&store, entry("x", "t", 4999, 5000)), Some(Again));
        assert_eq!(insert(&store, entry("y", "s", 4999, 5500)), Some(First));
        // It has expired and was dropped, and is still not accepted.
        assert_eq!(insert(&store, entry("x", "s", 6000, 5000)), Some(BeforeEpoch));
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn an_entry_issued_before_the_store_or_in_its_second_is_before_the_epoch() {
        let store = store(10);
        let issued = |milliseconds| {
            let name = format!("issued at {milliseconds}");
            let issued = at(milliseconds);
            ReplayEntry::new("p", "a", &[&name], owner("s", "c"), issued, after(9000), after(1000))
        };
        for milliseconds in [0, 999_999_999, 1_000_000_000, 1_000_000_500, 1_000_000_999] {
            assert_eq!(insert(&store, issued(milliseconds)), Some(BeforeEpoch), "{milliseconds}");
        }
        assert_eq!(store.len(), 0);
        assert_eq!(insert(&store, issued(1_000_001_000)), Some(First));
    }

    #[test]
    fn a_clock_that_jumps_lets_nothing_in_again() {
        let store = store(10);
        assert_eq!(insert(&store, entry("x", "s", 1000, 60_000)), Some(First));
        // One request comes with a clock an hour ahead, and the next ones without.
        assert_eq!(insert(&store, entry("y", "s", 3_600_000, 3_660_000)), Some(First));
        assert_eq!(insert(&store, entry("x", "s", 2000, 60_000)), Some(BeforeEpoch));
        assert_eq!(insert(&store, entry("y", "s", 2000, 3_660_000)), Some(Again));
        assert_eq!(insert(&store, entry("z", "s", 2000, 62_000)), Some(First));
        // A clock before the start.
        let early =
            ReplayEntry::new("p", "a", &["w"], owner("s", "c"), after(1000), after(9000), at(0));
        assert_eq!(insert(&store, early), Some(BeforeEpoch));
        let early =
            ReplayEntry::new("p", "a", &["v"], owner("s", "c"), after(1000), after(61_500), at(0));
        assert_eq!(insert(&store, early), Some(First));
    }

    #[test]
    fn an_entry_that_never_expires_is_kept() {
        let store = store(10);
        let forever = |now| {
            ReplayEntry::new(
                "p",
                "a",
                &["x"],
                owner("s", "c"),
                after(1000),
                at(200_000_000_000_000),
                now,
            )
        };
        assert_eq!(insert(&store, forever(after(1000))), Some(First));
        assert_eq!(insert(&store, forever(at(4_000_000_000_000))), Some(Again));
    }

    #[test]
    fn a_full_store_accepts_nothing_and_evicts_nothing() {
        // There are several shards, and the bound applies to all of them together.
        let capacity = 3 * MemoryReplayStore::ENTRIES_PER_SHARD;
        let store = store(capacity);
        let name = |number: usize| number.to_string();
        for number in 0..capacity {
            assert_eq!(insert(&store, entry(&name(number), "s", 1000, 60_000)), Some(First));
        }
        for number in capacity..capacity + 100 {
            assert_eq!(insert(&store, entry(&name(number), "t", 1000, 60_000)), None);
        }
        assert_eq!(store.len(), capacity);
        for number in 0..capacity {
            assert_eq!(insert(&store, entry(&name(number), "s", 2000, 60_000)), Some(Again));
        }
        // When they expire there is space, for a key in any shard.
        for number in capacity..2 * capacity {
            let answer = insert(&store, entry(&name(number), "s", 61_000, 120_000));
            assert_eq!(answer, Some(First), "{number}");
        }
        assert!(store.len() <= capacity);
        let refused = store.insert(entry("none", "t", 61_000, 120_000)).now().unwrap();
        assert_eq!(
            refused.unwrap_err().to_string(),
            "the replay store is unavailable: the store is full, with 41700 entries"
        );
    }

    #[test]
    fn a_full_share_of_a_subject_does_not_fill_the_others() {
        let store = MemoryReplayStore::with_capacity_at(100, START);
        for name in ["1", "2", "3", "4", "5"] {
            assert_eq!(insert(&store, entry(name, "s", 1000, 60_000)), Some(First));
        }
        assert_eq!(insert(&store, entry("6", "s", 1000, 60_000)), Some(ShareFull));
        assert_eq!(insert(&store, entry("5", "s", 1000, 60_000)), Some(Again));
        assert_eq!(insert(&store, entry("6", "t", 1000, 60_000)), Some(First));
        assert_eq!(store.len(), 6);
        // An entry that was refused is not remembered.
        assert_eq!(insert(&store, entry("7", "s", 1000, 60_000)), Some(ShareFull));
        assert_eq!(insert(&store, entry("7", "u", 1000, 60_000)), Some(First));
        // When they expire the share is free again.
        for name in ["11", "12", "13", "14", "15"] {
            assert_eq!(insert(&store, entry(name, "s", 61_000, 120_000)), Some(First));
        }
        assert_eq!(insert(&store, entry("16", "s", 61_000, 120_000)), Some(ShareFull));
        assert_eq!(store.len(), 5);
    }

    #[test]
    fn one_client_of_a_subject_has_at_most_half_of_its_share() {
        let store = MemoryReplayStore::with_capacity_at(200, START);
        let insert_by = |name: &str, subject: &str, client: &str| {
            insert(&store, by_client(name, subject, client, 1000, 60_000))
        };
        for name in ["1", "2", "3", "4", "5"] {
            assert_eq!(insert_by(name, "s", "c"), Some(First));
        }
        assert_eq!(insert_by("6", "s", "c"), Some(ShareFull));
        assert_eq!(insert_by("5", "s", "c"), Some(Again));
        // The same client has the same for another subject, and another client has the other half.
        for name in ["11", "12", "13", "14", "15"] {
            assert_eq!(insert_by(name, "t", "c"), Some(First));
            assert_eq!(insert_by(&format!("of s {name}"), "s", "d"), Some(First));
        }
        // A third client finds nothing left of this subject's share.
        assert_eq!(insert_by("21", "s", "e"), Some(ShareFull));
        assert_eq!(insert_by("21", "t", "e"), Some(First));
        assert_eq!(store.len(), 16);
        // When they expire, both levels are free again.
        for name in ["31", "32", "33", "34", "35"] {
            let late = by_client(name, "s", "c", 61_000, 120_000);
            assert_eq!(insert(&store, late), Some(First));
        }
        let late = by_client("36", "s", "c", 61_000, 120_000);
        assert_eq!(insert(&store, late), Some(ShareFull));
    }

    #[test]
    fn a_share_is_at_least_one_entry_and_at_most_all() {
        let max = |capacity, percent| {
            let store = MemoryReplayStore::with_capacity_at(capacity, START);
            let store = store.max_share_percent(percent);
            (store.max_per_subject, store.max_per_client())
        };
        assert_eq!(max(1, 1), (1, 1));
        assert_eq!(max(99, 1), (1, 1));
        assert_eq!(max(300, 1), (3, 1));
        assert_eq!(max(1_000_000, 5), (50_000, 25_000));
        assert_eq!(max(1_000_000, 100), (1_000_000, 500_000));
        assert_eq!(MemoryReplayStore::new_at(START).max_per_subject, 50_000);
        // The capacity is set afterwards, because shards for so many entries would not fit in memory.
        let mut vast = store(1);
        vast.capacity = usize::MAX;
        assert_eq!(vast.max_share_percent(100).max_per_subject, u32::MAX);
    }

    #[test]
    #[should_panic(expected = "capacity of 0")]
    fn a_capacity_of_zero_panics() {
        let _ = MemoryReplayStore::with_capacity(0);
    }

    #[test]
    #[should_panic(expected = "from 1 to 100 percent")]
    fn a_share_of_zero_percent_panics() {
        let _ = MemoryReplayStore::new().max_share_percent(0);
    }

    #[test]
    fn one_insertion_drops_a_few_expired_entries() {
        let store = store(1000);
        for number in 0..1000 {
            insert(&store, entry(&number.to_string(), "s", 1000, 2000 + number));
        }
        assert_eq!(store.len(), 1000);
        insert(&store, entry("x", "s", 10_000, 60_000));
        assert_eq!(store.len(), 1000 - MemoryReplayStore::SWEEP_LIMIT + 1);
        for number in 0..1000 / MemoryReplayStore::SWEEP_LIMIT {
            insert(&store, entry(&format!("y{number}"), "s", 10_000, 60_000));
        }
        assert_eq!(store.len(), 1 + 1000 / MemoryReplayStore::SWEEP_LIMIT);
        let of = |counts: &Mutex<ShareCounts>| lock(counts).subjects.values().sum::<u32>();
        let counts: u32 = store.share_counts.iter().map(of).sum();
        assert_eq!(usize::try_from(counts).unwrap(), store.len());
    }

    #[test]
    fn one_of_sixty_four_threads_is_first() {
        const ROUNDS: usize = 500;
        let store = store(ROUNDS);
        let together = Barrier::new(64);
        let run = || {
            let mut firsts = 0;
            for round in 0..ROUNDS {
                together.wait();
                match insert(&store, entry(&round.to_string(), "s", 1000, 60_000)) {
                    Some(First) => firsts += 1,
                    answer => assert_eq!(answer, Some(Again)),
                }
            }
            firsts
        };
        let firsts: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..64).map(|_| scope.spawn(run)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        // One per key, since a second one would be of a key that is known.
        assert_eq!(firsts, ROUNDS);
        assert_eq!(store.len(), ROUNDS);
    }

    #[test]
    fn the_bounds_hold_under_many_threads() {
        // The threads insert more than fits into the store, into each share, and into each client's half of one.
        let store = store(1000).max_share_percent(20);
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..2000_u64 {
                        let name = format!("{thread}/{number}");
                        let (subject, client) = ((number % 10).to_string(), number % 3);
                        let now = 1000 + number;
                        let client = client.to_string();
                        insert(store, by_client(&name, &subject, &client, now, now + 300));
                        assert!(store.len() <= 1000);
                    }
                });
            }
        });
        let (mut subjects, mut clients) = (Vec::new(), Vec::new());
        for counts in &store.share_counts {
            let counts = lock(counts);
            subjects.extend(counts.subjects.values().copied());
            clients.extend(counts.clients.values().copied());
        }
        for (counts, max) in [(subjects, 200), (clients, 100)] {
            assert!(counts.iter().all(|count| (1..=max).contains(count)), "{counts:?}");
            assert_eq!(usize::try_from(counts.iter().sum::<u32>()).unwrap(), store.len());
        }
        let kept: usize = store.shards.iter().map(|shard| lock(shard).entries.len()).sum();
        let queued: usize = store.shards.iter().map(|shard| lock(shard).expiries.len()).sum();
        assert_eq!((kept, queued), (store.len(), store.len()));
    }

    proptest! {
        /// Compares with a model that remembers everything: an entry that was accepted is never accepted again, in
        /// whatever order the moments come.
        #[test]
        fn nothing_is_accepted_twice(
            insertions in proptest::collection::vec(
                (0..12_u64, 1000..20_000_u64, 0..4_u8, 0..3_u8),
                1..200,
            ),
        ) {
            let store = MemoryReplayStore::with_capacity_at(6, START).max_share_percent(50);
            let mut accepted = BTreeSet::new();
            for (name, now, subject, client) in insertions {
                // Entries of the same name expire at the same moment.
                let (subject, client) = (subject.to_string(), client.to_string());
                let until = 2000 + 1500 * name;
                let entry = by_client(&name.to_string(), &subject, &client, now, until);
                if insert(&store, entry) == Some(First) {
                    prop_assert!(accepted.insert(name), "{name} is accepted twice");
                }
                prop_assert!(store.len() <= 6);
            }
        }
    }
}
