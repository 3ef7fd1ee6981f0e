//! A store in this process.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::UtcDateTime;

use super::{Remembered, ReplayAnswer, ReplayEntry, ReplayStore, StoreUnavailable};
use crate::answer::Answer;

/// Remembers in the memory of this process, for a service that is one process.
///
/// It is **bounded**: one million entries unless set, at most 5 % of them of one key or client unless
/// [set](Self::share). An entry takes about 90 bytes, up to 130 where every entry is of another key or client: so a
/// full store of one million takes 90 to 130 MB. It keeps its place until it [expires](ReplayEntry::expires_at) and is
/// never put out before, since that would let it in again. So the bound allows a rate: entries, by the seconds for
/// which one is remembered.
///
/// | entries | remembered for | all together | one key, at 5 % |
/// |---|---|---|---|
/// | 1,000,000 | 60 s | 16,600 a second | 830 a second |
/// | 1,000,000 | 5 minutes | 3,300 a second | 166 a second |
/// | 1,000,000 | 1 hour | 277 a second | 13 a second |
///
/// Beyond it a new entry is [`StoreUnavailable`], or [`ShareFull`](Remembered::ShareFull) where it is one key's
/// share that is full. What has expired is dropped as other entries come, a few with each: no request waits for a
/// sweep. Until then it counts, and before an entry is refused for want of room, some of it is dropped first.
///
/// It remembers **since it was made**. What was issued before, or within the same second, since an `iat` is in whole
/// seconds, is [`BeforeEpoch`](Remembered::BeforeEpoch): a process before this one may have seen it. Time is what
/// [`ReplayEntry::now`] says; only the moment when it was made is read from the system's clock, and
/// [`new_at`](Self::new_at) is for another clock.
///
/// Not promised: that another process knows of it. A service of several processes needs a store that they share. Nor
/// that a clock was right: where it was set back while the service was down, what was spent before may be taken for
/// new.
///
/// ```
/// use unconfused::replay::MemoryReplayStore;
///
/// let store = MemoryReplayStore::with_capacity(100_000).share(10); // percent
/// # let _ = store;
/// ```
pub struct MemoryReplayStore {
    /// The second in which it was made.
    born: i64,
    capacity: usize,
    most_of_one_share: usize,
    len: AtomicUsize,
    shards: Box<[Mutex<Shard>]>,
    /// How many entries each share has, below no lock but that of one shard.
    shares: Box<[Mutex<HashMap<Share, usize>>]>,
    random: RandomState,
}

/// Half of the hash: what is as hard as to break 128 bits is hard enough, and gains a second refusal.
type Key = [u8; 16];
/// A hash under a random key, so that nobody can aim at the share of another.
type Share = [u8; 8];
/// In whole seconds after `born`.
type Second = u32;

/// The entries of some keys.
#[derive(Default)]
struct Shard {
    kept: HashMap<Key, Share>,
    /// What expires first is first.
    queue: BinaryHeap<Reverse<(Second, Key)>>,
    /// The latest expiry that was dropped. What expires by then may have been here: a `now` that jumped ahead, or came
    /// late, opens nothing.
    dropped: Second,
}

/// There is no place.
struct Full;

impl MemoryReplayStore {
    const CAPACITY: usize = 1_000_000;
    const SHARE_PERCENT: u8 = 5;
    /// A table of 2^14 places holds 14,336, and shards are never of quite one size.
    const PER_SHARD: usize = 13_900;
    /// How many expired entries one insertion drops of its shard, and a refusal of each.
    const SWEPT: usize = 16;

    /// A store of one million entries that remembers from now on, by the clock of the system.
    #[must_use]
    pub fn new() -> Self {
        Self::new_at(UtcDateTime::now())
    }

    /// The same, where it is `now`: for tests, and for a guard with another clock.
    #[must_use]
    pub fn new_at(now: UtcDateTime) -> Self {
        Self::with_capacity_at(Self::CAPACITY, now)
    }

    /// A store of so many entries, in place of one million. Memory is taken as they come, and kept.
    ///
    /// # Panics
    ///
    /// With a capacity of 0.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        Self::with_capacity_at(entries, UtcDateTime::now())
    }

    /// The same, where it is `now`.
    ///
    /// # Panics
    ///
    /// With a capacity of 0.
    #[must_use]
    pub fn with_capacity_at(entries: usize, now: UtcDateTime) -> Self {
        assert!(entries > 0, "a replay store without a place refuses everything");
        let shards = entries.div_ceil(Self::PER_SHARD);
        let store = MemoryReplayStore {
            born: now.unix_timestamp(),
            capacity: entries,
            most_of_one_share: entries,
            len: AtomicUsize::new(0),
            shards: (0..shards).map(|_| Mutex::default()).collect(),
            shares: (0..shards).map(|_| Mutex::default()).collect(),
            random: RandomState::new(),
        };
        store.share(Self::SHARE_PERCENT)
    }

    /// How much of it one key or client may take, in percent, in place of 5. At least one entry, and with 100 all of
    /// them: for a service with one client.
    ///
    /// # Panics
    ///
    /// With 0, or more than 100.
    #[must_use]
    pub fn share(mut self, percent: u8) -> Self {
        assert!(
            (1..=100).contains(&percent),
            "a share is from 1 to 100 percent of a replay store, not {percent}"
        );
        let whole = u128::try_from(self.capacity).unwrap_or(u128::MAX);
        let most = whole.saturating_mul(u128::from(percent)) / 100;
        self.most_of_one_share = usize::try_from(most).unwrap_or(self.capacity).max(1);
        self
    }

    /// How many entries take a place, those included that have expired and are not swept yet.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// True where nothing takes a place.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn remember(&self, entry: &ReplayEntry) -> Result<Remembered, Full> {
        if entry.issued_at.unix_timestamp() <= self.born {
            return Ok(Remembered::BeforeEpoch);
        }
        let mut answer = self.try_to_remember(entry);
        let now = self.second(entry.now.unix_timestamp());
        // Before a refusal for want of room, more is dropped, as long as that helps, and not for long.
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
        let now = self.second(entry.now.unix_timestamp());
        let until = self.second(ceil(entry.expires_at));
        let (key, _) = entry.key.split_first_chunk().ok_or(Full)?;
        let share = self.random.hash_one(entry.share).to_ne_bytes();

        let mut shard = lock(pick(&self.shards, self.random.hash_one(key))?);
        self.sweep(&mut shard, now);
        if shard.kept.contains_key(key) {
            return Ok(Remembered::Again);
        }
        if until <= now || until <= shard.dropped {
            return Ok(Remembered::BeforeEpoch);
        }
        {
            let mut counts = lock(pick(&self.shares, u64::from_ne_bytes(share))?);
            let count = counts.get(&share).copied().unwrap_or(0);
            if count >= self.most_of_one_share {
                return Ok(Remembered::ShareFull);
            }
            let one_more = |len: usize| len.checked_add(1).filter(|len| *len <= self.capacity);
            self.len
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
                .map_err(|_| Full)?;
            counts.insert(share, count.saturating_add(1));
        }
        shard.kept.insert(*key, share);
        shard.queue.push(Reverse((until, *key)));
        Ok(Remembered::First)
    }

    /// Drops some of what has expired.
    fn sweep(&self, shard: &mut Shard, now: Second) {
        for _ in 0..Self::SWEPT {
            let Some(Reverse((until, key))) =
                shard.queue.peek().copied().filter(|Reverse((until, _))| *until <= now)
            else {
                return;
            };
            shard.queue.pop();
            shard.dropped = shard.dropped.max(until);
            if let Some(share) = shard.kept.remove(&key) {
                self.give_back(share);
            }
        }
    }

    fn give_back(&self, share: Share) {
        self.len.fetch_sub(1, Ordering::Relaxed);
        let Ok(counts) = pick(&self.shares, u64::from_ne_bytes(share)) else { return };
        let mut counts = lock(counts);
        match counts.get_mut(&share) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => drop(counts.remove(&share)),
        }
    }

    /// Nothing lasts longer than 136 years: what would, is never dropped.
    fn second(&self, at: i64) -> Second {
        let after = at.saturating_sub(self.born).max(0);
        Second::try_from(after).unwrap_or(Second::MAX)
    }
}

fn ceil(at: UtcDateTime) -> i64 {
    at.unix_timestamp().saturating_add(i64::from(at.nanosecond() > 0))
}

fn pick<T>(of: &[T], hash: u64) -> Result<&T, Full> {
    let len = u64::try_from(of.len()).unwrap_or(u64::MAX);
    let at = hash.checked_rem(len).and_then(|at| usize::try_from(at).ok());
    at.and_then(|at| of.get(at)).ok_or(Full)
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

    /// Half a second into a second.
    const BIRTH: UtcDateTime = at(1_000_000_500);

    const fn at(milliseconds: i64) -> UtcDateTime {
        match UtcDateTime::from_unix_timestamp_nanos(milliseconds as i128 * 1_000_000) {
            Ok(at) => at,
            Err(_) => panic!(),
        }
    }

    fn after(milliseconds: u64) -> UtcDateTime {
        BIRTH + Duration::from_millis(milliseconds)
    }

    /// Issued as late as can be, offered at `now`; both in milliseconds after the birth.
    fn entry(name: &str, share: &str, now: u64, until: u64) -> ReplayEntry {
        let issued = after(now.max(1000));
        ReplayEntry::new("p", "a", &[name], &[share], issued, after(until), after(now))
    }

    /// `None`: the store is full.
    fn offer(store: &MemoryReplayStore, entry: ReplayEntry) -> Option<Remembered> {
        store.insert(entry).now().unwrap().ok()
    }

    fn store(capacity: usize) -> MemoryReplayStore {
        MemoryReplayStore::with_capacity_at(capacity, BIRTH).share(100)
    }

    #[test]
    fn the_first_is_first_and_then_it_is_again_until_it_expires() {
        let store = store(10);
        assert_eq!(offer(&store, entry("x", "s", 1000, 5000)), Some(First));
        assert_eq!(offer(&store, entry("x", "s", 1000, 5000)), Some(Again));
        assert_eq!(offer(&store, entry("x", "t", 4999, 5000)), Some(Again));
        assert_eq!(offer(&store, entry("y", "s", 4999, 5500)), Some(First));
        // Expired, and swept: not accepted for that.
        assert_eq!(offer(&store, entry("x", "s", 6000, 5000)), Some(BeforeEpoch));
        assert_eq!(store.len(), 0);
    }

    #[test]
    fn what_was_issued_before_it_was_made_or_in_that_second_is_forgotten() {
        let store = store(10);
        let issued = |milliseconds| {
            let name = format!("issued at {milliseconds}");
            let issued = at(milliseconds);
            ReplayEntry::new("p", "a", &[&name], &[], issued, after(9000), after(1000))
        };
        for milliseconds in [0, 999_999_999, 1_000_000_000, 1_000_000_500, 1_000_000_999] {
            assert_eq!(offer(&store, issued(milliseconds)), Some(BeforeEpoch), "{milliseconds}");
        }
        assert_eq!(store.len(), 0);
        assert_eq!(offer(&store, issued(1_000_001_000)), Some(First));
    }

    #[test]
    fn a_clock_that_jumps_opens_nothing() {
        let store = store(10);
        assert_eq!(offer(&store, entry("x", "s", 1000, 60_000)), Some(First));
        // One request comes with a clock an hour ahead, and the next ones without.
        assert_eq!(offer(&store, entry("y", "s", 3_600_000, 3_660_000)), Some(First));
        assert_eq!(offer(&store, entry("x", "s", 2000, 60_000)), Some(BeforeEpoch));
        assert_eq!(offer(&store, entry("y", "s", 2000, 3_660_000)), Some(Again));
        assert_eq!(offer(&store, entry("z", "s", 2000, 62_000)), Some(First));
        // A clock before the birth.
        let early = ReplayEntry::new("p", "a", &["w"], &[], after(1000), after(9000), at(0));
        assert_eq!(offer(&store, early), Some(BeforeEpoch));
        let early = ReplayEntry::new("p", "a", &["v"], &[], after(1000), after(61_500), at(0));
        assert_eq!(offer(&store, early), Some(First));
    }

    #[test]
    fn what_never_expires_is_kept() {
        let store = store(10);
        let forever = |now| {
            ReplayEntry::new("p", "a", &["x"], &[], after(1000), at(200_000_000_000_000), now)
        };
        assert_eq!(offer(&store, forever(after(1000))), Some(First));
        assert_eq!(offer(&store, forever(at(4_000_000_000_000))), Some(Again));
    }

    #[test]
    fn a_full_store_takes_nothing_and_puts_nothing_out() {
        // Several shards, and the bound is that of all of them.
        let capacity = 3 * MemoryReplayStore::PER_SHARD;
        let store = store(capacity);
        let name = |number: usize| number.to_string();
        for number in 0..capacity {
            assert_eq!(offer(&store, entry(&name(number), "s", 1000, 60_000)), Some(First));
        }
        for number in capacity..capacity + 100 {
            assert_eq!(offer(&store, entry(&name(number), "t", 1000, 60_000)), None);
        }
        assert_eq!(store.len(), capacity);
        for number in 0..capacity {
            assert_eq!(offer(&store, entry(&name(number), "s", 2000, 60_000)), Some(Again));
        }
        // When they expire there is room, for a key that falls into any shard.
        for number in capacity..2 * capacity {
            let answer = offer(&store, entry(&name(number), "s", 61_000, 120_000));
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
    fn one_share_ends_and_the_others_do_not() {
        let store = MemoryReplayStore::with_capacity_at(100, BIRTH);
        for name in ["1", "2", "3", "4", "5"] {
            assert_eq!(offer(&store, entry(name, "s", 1000, 60_000)), Some(First));
        }
        assert_eq!(offer(&store, entry("6", "s", 1000, 60_000)), Some(ShareFull));
        assert_eq!(offer(&store, entry("5", "s", 1000, 60_000)), Some(Again));
        assert_eq!(offer(&store, entry("6", "t", 1000, 60_000)), Some(First));
        assert_eq!(store.len(), 6);
        // Nothing was remembered of what found no place.
        assert_eq!(offer(&store, entry("7", "s", 1000, 60_000)), Some(ShareFull));
        assert_eq!(offer(&store, entry("7", "u", 1000, 60_000)), Some(First));
        // When they expire the share is free again, and is counted anew.
        for name in ["11", "12", "13", "14", "15"] {
            assert_eq!(offer(&store, entry(name, "s", 61_000, 120_000)), Some(First));
        }
        assert_eq!(offer(&store, entry("16", "s", 61_000, 120_000)), Some(ShareFull));
        assert_eq!(store.len(), 5);
    }

    #[test]
    fn a_share_is_at_least_one_entry_and_at_most_all() {
        let most = |capacity, percent| {
            MemoryReplayStore::with_capacity_at(capacity, BIRTH).share(percent).most_of_one_share
        };
        assert_eq!(most(1, 1), 1);
        assert_eq!(most(99, 1), 1);
        assert_eq!(most(1_000_000, 5), 50_000);
        assert_eq!(most(1_000_000, 100), 1_000_000);
        assert_eq!(MemoryReplayStore::new_at(BIRTH).most_of_one_share, 50_000);
        // Not made: the shards of so many would be.
        let mut vast = store(1);
        vast.capacity = usize::MAX;
        assert_eq!(vast.share(100).most_of_one_share, usize::MAX);
    }

    #[test]
    #[should_panic(expected = "without a place")]
    fn a_store_of_nothing_is_a_mistake() {
        let _ = MemoryReplayStore::with_capacity(0);
    }

    #[test]
    #[should_panic(expected = "from 1 to 100 percent")]
    fn a_share_of_nothing_is_a_mistake() {
        let _ = MemoryReplayStore::new().share(0);
    }

    #[test]
    fn one_insertion_sweeps_a_few() {
        let store = store(1000);
        for number in 0..1000 {
            offer(&store, entry(&number.to_string(), "s", 1000, 2000 + number));
        }
        assert_eq!(store.len(), 1000);
        offer(&store, entry("x", "s", 10_000, 60_000));
        assert_eq!(store.len(), 1000 - MemoryReplayStore::SWEPT + 1);
        for number in 0..1000 / MemoryReplayStore::SWEPT {
            offer(&store, entry(&format!("y{number}"), "s", 10_000, 60_000));
        }
        assert_eq!(store.len(), 1 + 1000 / MemoryReplayStore::SWEPT);
        let counts: usize =
            store.shares.iter().map(|counts| lock(counts).values().sum::<usize>()).sum();
        assert_eq!(counts, store.len());
    }

    #[test]
    fn of_sixty_four_threads_one_is_first() {
        const ROUNDS: usize = 500;
        let store = store(ROUNDS);
        let together = Barrier::new(64);
        let run = || {
            let mut firsts = 0;
            for round in 0..ROUNDS {
                together.wait();
                match offer(&store, entry(&round.to_string(), "s", 1000, 60_000)) {
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
        // One each, since a second one of any would be of a key that is known.
        assert_eq!(firsts, ROUNDS);
        assert_eq!(store.len(), ROUNDS);
    }

    #[test]
    fn the_bounds_hold_under_many_threads() {
        // What all offer does not fit, and what one share offers does not either.
        let store = store(1000).share(20);
        std::thread::scope(|scope| {
            for thread in 0..16 {
                let store = &store;
                scope.spawn(move || {
                    for number in 0..2000_u64 {
                        let (name, share) =
                            (format!("{thread}/{number}"), (number % 10).to_string());
                        let now = 1000 + number;
                        offer(store, entry(&name, &share, now, now + 300));
                        assert!(store.len() <= 1000);
                    }
                });
            }
        });
        let counts: Vec<_> = store
            .shares
            .iter()
            .flat_map(|counts| lock(counts).values().copied().collect::<Vec<_>>())
            .collect();
        assert!(counts.iter().all(|count| (1..=200).contains(count)), "{counts:?}");
        assert_eq!(counts.iter().sum::<usize>(), store.len());
        let kept: usize = store.shards.iter().map(|shard| lock(shard).kept.len()).sum();
        let queued: usize = store.shards.iter().map(|shard| lock(shard).queue.len()).sum();
        assert_eq!((kept, queued), (store.len(), store.len()));
    }

    proptest! {
        /// Against a model that remembers everything: what was accepted is never accepted again, whatever the order
        /// of the moments.
        #[test]
        fn nothing_is_accepted_twice(
            offers in proptest::collection::vec((0..12_u64, 1000..20_000_u64, 0..4_u8), 1..200),
        ) {
            let store = MemoryReplayStore::with_capacity_at(6, BIRTH).share(50);
            let mut accepted = BTreeSet::new();
            for (name, now, share) in offers {
                // The same name expires at the same moment.
                let entry = entry(&name.to_string(), &share.to_string(), now, 2000 + 1500 * name);
                if offer(&store, entry) == Some(First) {
                    prop_assert!(accepted.insert(name), "{name} is accepted twice");
                }
                prop_assert!(store.len() <= 6);
            }
        }
    }
}
