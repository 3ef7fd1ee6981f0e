//! When keys are used, when they are fetched, when a request is refused: a state machine without a clock, a
//! network or a task. Time is how long it has been since the machine was made.

#[cfg(test)]
mod simulation;

use std::sync::Arc;
use std::time::Duration;

use crate::keys::status::{KeyState, KeyStatus};

/// How long since the beginning.
pub(super) type Moment = Duration;

/// At most so many fetches begin within [`WINDOW`], whatever asks for them and whatever comes of them.
pub(super) const BUDGET: usize = 2;
pub(super) const WINDOW: Duration = Duration::from_secs(30);
/// So many requests wait for a fetch, and so long.
pub(super) const MAX_WAITING: usize = 256;
pub(super) const MAX_WAIT: Duration = Duration::from_secs(2);
/// A fetch that has not ended by then never will.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(30);
/// How long keys are fresh: what the issuer says, within bounds.
const DEFAULT_TTL: Duration = Duration::from_secs(10 * 60);
const MIN_TTL: Duration = Duration::from_secs(5 * 60);
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long a key id that a fetch was begun for is not fetched for again.
const UNKNOWN_FOR: Duration = WINDOW;
/// The longest pause between attempts to renew.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);

/// The keys, as far as the machine looks at them.
pub(super) trait Keys: Clone {
    /// True where a token that names this key, or none, finds one here.
    fn know(&self, kid: Option<&str>) -> bool;
    /// How many can be used, and how many were passed over.
    fn count(&self) -> (usize, usize);
    /// The ids of keys that are here and not there.
    fn ids_missing_in(&self, other: &Self) -> Vec<String>;
}

/// What a fetch brought.
pub(super) struct Fetched<K> {
    pub(super) keys: K,
    /// What the answer says of how long it is fresh.
    pub(super) max_age: Option<Duration>,
    /// When it was asked for: it is not older.
    pub(super) began: Moment,
}

/// How a fetch ended.
pub(super) type Outcome<K> = Result<Fetched<K>, String>;

/// The keys that serve now, to be read without a lock.
pub(super) struct Current<K> {
    pub(super) keys: K,
    /// Until then, a request whose key is known changes nothing.
    quiet_until: Moment,
}

impl<K: Keys> Current<K> {
    /// True where the keys can be handed out without asking the machine.
    pub(super) fn serves(&self, kid: Option<&str>, now: Moment) -> bool {
        now < self.quiet_until && self.keys.know(kid)
    }
}

/// What is to be done for one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict<K> {
    /// Use these; and begin the fetch of this number, if there is one.
    Use(K, Option<u64>),
    /// Wait until the fetch of this number has ended, and begin it where it says so; then
    /// [`leave`](Cache::leave) and [`resolve`](Cache::resolve).
    Wait { fetch: u64, begin: bool },
    /// There are no keys for this request.
    Refuse(Refusal),
}

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The last fetch failed.
    #[error("{0}")]
    Failed(Arc<str>),
    /// There were fetches enough for now.
    #[error("fetched {BUDGET} times within {} seconds, and not again yet", WINDOW.as_secs())]
    OverBudget,
    /// Enough requests wait already.
    #[error("{MAX_WAITING} requests wait for the issuer's keys already")]
    Crowded,
    /// The fetch takes longer than a request waits.
    #[error("the issuer has not answered within {} seconds", MAX_WAIT.as_secs())]
    Slow,
}

/// The last good fetch.
struct Good<K> {
    keys: K,
    /// When it began: what it brought is not older.
    at: Moment,
    fresh_until: Moment,
    refresh_at: Moment,
    usable_until: Moment,
}

/// The state of the keys of one issuer.
pub(super) struct Cache<K> {
    stale_for: Duration,
    good: Option<Good<K>>,
    /// When the last fetches began, the oldest first.
    begun: [Option<Moment>; BUDGET],
    /// How many were begun: the number of the last one.
    fetches: u64,
    /// The last one that ended. Where it is not the last that was begun, that one is in the air, or was lost.
    ended: u64,
    /// How many failed since the last good one, why the last did, and until when nothing is renewed.
    failures: u32,
    error: Option<Arc<str>>,
    pause_until: Moment,
    /// Key ids that a fetch was begun for, or did not bring any more, and when.
    unknown: Vec<(String, Moment)>,
    waiting: usize,
}

impl<K: Keys> Cache<K> {
    /// The shortest that keys can be made to serve after the last good fetch: they must be renewed before, and
    /// the budget must allow it.
    pub(super) const MIN_STALE: Duration = Duration::from_secs(60);

    pub(super) fn new() -> Self {
        Cache {
            stale_for: Duration::from_secs(3600),
            good: None,
            begun: [None; BUDGET],
            fetches: 0,
            ended: 0,
            failures: 0,
            error: None,
            pause_until: Moment::ZERO,
            unknown: Vec::new(),
            waiting: 0,
        }
    }

    /// How long after the last good fetch keys serve at most.
    pub(super) fn set_stale_for(&mut self, stale_for: Duration) {
        self.stale_for = stale_for;
    }

    /// One request, whose token names this key.
    pub(super) fn ask(&mut self, kid: Option<&str>, now: Moment) -> Verdict<K> {
        let known = self.usable(now).map(|keys| (keys.know(kid), keys.clone()));
        if let Some((true, keys)) = known {
            return Verdict::Use(keys, self.renew(now));
        }
        if let Some(number) = self.in_the_air(now) {
            return self.wait(number, false);
        }
        // What was lost has looked for nothing.
        if known.is_some() && self.is_at_rest() && self.is_unknown(kid, now) {
            return self.unfound(now).map_or_else(Verdict::Refuse, |keys| Verdict::Use(keys, None));
        }
        if !self.may_begin(now) {
            // Nobody has looked for this key.
            return Verdict::Refuse(self.failure().unwrap_or(Refusal::OverBudget));
        }
        // Refused before a fetch is begun for nobody.
        if self.waiting >= MAX_WAITING {
            return Verdict::Refuse(Refusal::Crowded);
        }
        let number = self.begin(now);
        if let (Some(_), Some(kid)) = (known, kid) {
            self.unknown.push((kid.to_owned(), now));
        }
        self.wait(number, true)
    }

    /// Before anybody asks: the fetch to wait for, and whether to begin it. Nothing where there are keys, or where
    /// no fetch may begin.
    pub(super) fn warm(&mut self, now: Moment) -> Option<(u64, bool)> {
        if self.usable(now).is_some_and(|keys| keys.count().0 > 0) {
            return None;
        }
        match self.in_the_air(now) {
            Some(number) => Some((number, false)),
            None => self.may_begin(now).then(|| (self.begin(now), true)),
        }
    }

    /// Nothing can be fetched, and why: said where there are no keys.
    pub(super) fn note(&mut self, error: &str) {
        if self.good.is_none() {
            self.error = Some(error.into());
        }
    }

    /// A request that waited for this fetch: it has ended, or took too long.
    pub(super) fn resolve(&self, kid: Option<&str>, fetch: u64, now: Moment) -> Result<K, Refusal> {
        if let Some(keys) = self.usable(now).filter(|keys| keys.know(kid)) {
            return Ok(keys.clone());
        }
        if self.ended < fetch {
            return Err(Refusal::Slow);
        }
        self.unfound(now)
    }

    /// How long until another fetch may begin.
    pub(super) fn free_in(&self, now: Moment) -> Duration {
        self.free_at().saturating_sub(now)
    }

    /// A request does not wait any more.
    pub(super) fn leave(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Nobody asks: is it time to renew? Then the number of the fetch to begin.
    pub(super) fn renew(&mut self, now: Moment) -> Option<u64> {
        let due = now >= self.next_look() && self.in_the_air(now).is_none();
        due.then(|| self.begin(now))
    }

    /// When to renew next.
    pub(super) fn next_look(&self) -> Moment {
        let refresh = self.good.as_ref().map_or(Moment::ZERO, |good| good.refresh_at);
        refresh.max(self.pause_until).max(self.free_at())
    }

    /// A fetch has ended. One that ends after a later one is dropped. `jitter` is from 0 to 1.
    pub(super) fn end(&mut self, number: u64, outcome: Outcome<K>, now: Moment, jitter: f64) {
        if number <= self.ended {
            return;
        }
        self.ended = number;
        match outcome {
            Ok(Fetched { keys, max_age, began }) => {
                let ttl = max_age.unwrap_or(DEFAULT_TTL).clamp(MIN_TTL, MAX_TTL);
                // At least half of the time that they serve is left for an issuer that is down.
                let ttl = ttl.min(self.stale_for.mul_f64(0.5));
                let before = self.good.as_ref().map(|good| &good.keys);
                let withdrawn =
                    before.map(|before| before.ids_missing_in(&keys)).unwrap_or_default();
                // Before they are stale, and not at the same moment as everybody else.
                let ahead = ttl.mul_f64(0.75 + 0.15 * jitter.clamp(0.0, 1.0));
                // A set without keys is hardly meant to stay.
                let refresh = if keys.count().0 == 0 { WINDOW } else { ahead };
                self.good = Some(Good {
                    keys,
                    at: began,
                    fresh_until: began.saturating_add(ttl),
                    refresh_at: began.saturating_add(refresh),
                    usable_until: began.saturating_add(self.stale_for),
                });
                self.failures = 0;
                self.error = None;
                self.pause_until = Moment::ZERO;
                self.unknown.retain(|(_, at)| now < at.saturating_add(UNKNOWN_FOR));
                self.unknown.extend(withdrawn.into_iter().map(|id| (id, began)));
            }
            Err(error) => self.failed(error, now, jitter),
        }
    }

    /// True where no fetch came after this one.
    pub(super) fn was_last(&self, number: u64) -> bool {
        self.ended == number && self.is_at_rest()
    }

    /// True where the last fetch that was begun has ended.
    fn is_at_rest(&self) -> bool {
        self.ended == self.fetches
    }

    /// When the last fetch, if it has not ended, is lost.
    fn lost_at(&self) -> Moment {
        let began = self.begun.last().copied().flatten().unwrap_or_default();
        began.saturating_add(LOST_AFTER)
    }

    /// The number of the fetch that is in the air; nothing where it was lost.
    fn in_the_air(&self, now: Moment) -> Option<u64> {
        (!self.is_at_rest() && now < self.lost_at()).then_some(self.fetches)
    }

    /// What serves now, for those who do not ask.
    pub(super) fn current(&self) -> Option<Current<K>> {
        let good = self.good.as_ref()?;
        let quiet = if self.is_at_rest() { self.next_look() } else { self.lost_at() };
        Some(Current { keys: good.keys.clone(), quiet_until: quiet.min(good.usable_until) })
    }

    /// The keys, unless they are past their bound.
    pub(super) fn usable(&self, now: Moment) -> Option<&K> {
        self.good.as_ref().filter(|good| now < good.usable_until).map(|good| &good.keys)
    }

    pub(super) fn status(&self, now: Moment) -> KeyStatus {
        let mut status = KeyStatus::of(KeyState::Missing);
        if let Some(good) = &self.good {
            status.state = match now {
                now if now >= good.usable_until => KeyState::Expired,
                now if now >= good.fresh_until => KeyState::Stale,
                _ => KeyState::Fresh,
            };
            status.age = Some(now.saturating_sub(good.at));
            (status.keys, status.skipped) = good.keys.count();
        }
        status.last_error = self.error.as_deref().map(str::to_owned);
        status.fetches = self.fetches;
        status
    }

    fn begin(&mut self, now: Moment) -> u64 {
        if !self.is_at_rest() {
            self.failed("the fetch never ended".to_owned(), now, 1.0);
        }
        self.fetches = self.fetches.saturating_add(1);
        self.begun.rotate_left(1);
        if let Some(last) = self.begun.last_mut() {
            *last = Some(now);
        }
        self.fetches
    }

    fn failed(&mut self, error: String, now: Moment, jitter: f64) {
        let pause =
            WINDOW.saturating_mul(2_u32.saturating_pow(self.failures.min(8))).min(MAX_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.error = Some(error.into());
        self.pause_until = now.saturating_add(pause.mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0)));
        // It is not known of any id that it is unknown.
        self.unknown.clear();
    }

    fn wait(&mut self, fetch: u64, begin: bool) -> Verdict<K> {
        if self.waiting >= MAX_WAITING {
            return Verdict::Refuse(Refusal::Crowded);
        }
        self.waiting = self.waiting.saturating_add(1);
        Verdict::Wait { fetch, begin }
    }

    /// The key was fetched for and is not there. Where the last fetch was good, that is the answer; else it
    /// cannot be known.
    fn unfound(&self, now: Moment) -> Result<K, Refusal> {
        match (self.failure(), self.usable(now)) {
            (Some(failure), _) => Err(failure),
            (None, Some(keys)) => Ok(keys.clone()),
            (None, None) => Err(Refusal::OverBudget),
        }
    }

    fn failure(&self) -> Option<Refusal> {
        self.error.clone().map(Refusal::Failed)
    }

    fn is_unknown(&self, kid: Option<&str>, now: Moment) -> bool {
        self.unknown
            .iter()
            .any(|(id, at)| Some(&**id) == kid && now < at.saturating_add(UNKNOWN_FOR))
    }

    fn may_begin(&self, now: Moment) -> bool {
        now >= self.free_at()
    }

    /// When the budget allows another fetch.
    fn free_at(&self) -> Moment {
        let oldest = self.begun.first().copied().flatten();
        oldest.map_or(Moment::ZERO, |at| at.saturating_add(WINDOW))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Set = Vec<&'static str>;

    impl Keys for Set {
        fn know(&self, kid: Option<&str>) -> bool {
            kid.is_none_or(|kid| self.contains(&kid))
        }

        fn count(&self) -> (usize, usize) {
            (self.len(), 1)
        }

        fn ids_missing_in(&self, other: &Self) -> Vec<String> {
            self.iter().filter(|id| !other.contains(id)).map(|id| (*id).to_owned()).collect()
        }
    }

    const NS: Duration = Duration::from_nanos(1);

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn set(keys: &[&'static str]) -> Set {
        keys.to_vec()
    }

    fn good(keys: &[&'static str], began: Moment) -> Outcome<Set> {
        Ok(Fetched { keys: set(keys), max_age: None, began })
    }

    fn failed() -> Outcome<Set> {
        Err("down".to_owned())
    }

    fn refused(said: &str) -> Verdict<Set> {
        Verdict::Refuse(Refusal::Failed(said.into()))
    }

    fn begins(cache: &mut Cache<Set>, kid: &str, now: Moment) -> u64 {
        match cache.ask(Some(kid), now) {
            Verdict::Wait { fetch, begin: true } => {
                cache.leave();
                fetch
            }
            other => panic!("{kid} at {now:?}: {other:?}"),
        }
    }

    /// Fetched at the beginning: the key `a`.
    fn warm() -> Cache<Set> {
        let mut cache = Cache::new();
        let fetch = begins(&mut cache, "a", s(0));
        cache.end(fetch, good(&["a"], s(0)), s(0), 0.0);
        cache
    }

    fn uses(keys: &[&'static str]) -> Verdict<Set> {
        Verdict::Use(set(keys), None)
    }

    #[test]
    fn the_first_request_begins_the_one_fetch_and_all_others_wait_for_it() {
        let mut cache: Cache<Set> = Cache::new();
        assert_eq!(cache.ask(Some("a"), s(0)), Verdict::Wait { fetch: 1, begin: true });
        for kid in [Some("a"), Some("b"), None] {
            assert_eq!(cache.ask(kid, s(1)), Verdict::Wait { fetch: 1, begin: false });
        }
        assert_eq!(cache.resolve(Some("a"), 1, s(2)), Err(Refusal::Slow));
        cache.end(1, good(&["a"], s(0)), s(3), 0.0);
        assert_eq!(cache.resolve(Some("a"), 1, s(3)), Ok(set(&["a"])));
        assert_eq!(cache.resolve(None, 1, s(3)), Ok(set(&["a"])));
        // The set that lacks the key is the answer: the key is not found.
        assert_eq!(cache.resolve(Some("b"), 1, s(3)), Ok(set(&["a"])));
    }

    #[test]
    fn a_known_key_never_waits_and_begins_the_renewal_once_it_is_due() {
        let mut cache = warm();
        // 75 % of ten minutes, with no jitter.
        assert_eq!(cache.ask(Some("a"), s(450) - NS), uses(&["a"]));
        assert_eq!(cache.ask(Some("a"), s(450)), Verdict::Use(set(&["a"]), Some(2)));
        assert_eq!(cache.ask(Some("a"), s(451)), uses(&["a"]));
        assert_eq!(cache.ask(Some("b"), s(451)), Verdict::Wait { fetch: 2, begin: false });
        cache.end(2, failed(), s(452), 0.0);
        assert_eq!(cache.ask(Some("a"), s(452)), uses(&["a"]));
        assert_eq!(cache.resolve(Some("a"), 2, s(452)), Ok(set(&["a"])));
        assert_eq!(cache.resolve(Some("b"), 2, s(452)), Err(Refusal::Failed("down".into())));
    }

    #[test]
    fn keys_serve_up_to_their_bound_and_not_at_it() {
        let mut cache = warm();
        let current = cache.current().unwrap();
        assert!(current.serves(Some("a"), s(450) - NS));
        assert!(!current.serves(Some("a"), s(450)), "then the machine is asked");
        assert!(!current.serves(Some("b"), s(1)));
        assert_eq!(cache.ask(Some("a"), s(450)), Verdict::Use(set(&["a"]), Some(2)));
        // While a fetch is in the air nothing changes, until it would be lost.
        let current = cache.current().unwrap();
        assert!(current.serves(Some("a"), s(480) - NS));
        assert!(!current.serves(Some("a"), s(480)));
        assert!(cache.usable(s(3600) - NS).is_some());
        assert!(cache.usable(s(3600)).is_none());
        assert_eq!(cache.resolve(Some("a"), 2, s(3600) - NS), Ok(set(&["a"])));
        assert_eq!(cache.resolve(Some("a"), 2, s(3600)), Err(Refusal::Slow));
        assert_eq!(cache.ask(Some("a"), s(3600)), Verdict::Wait { fetch: 3, begin: true });
    }

    #[test]
    fn what_is_read_without_a_lock_ends_with_the_keys_also_while_a_fetch_is_in_the_air() {
        let mut cache = warm();
        assert_eq!(begins(&mut cache, "b", s(3590)), 2);
        let current = cache.current().unwrap();
        assert!(current.serves(Some("a"), s(3600) - NS));
        assert!(!current.serves(Some("a"), s(3600)));
    }

    #[test]
    fn the_bound_counts_from_when_the_good_fetch_began() {
        let mut cache: Cache<Set> = Cache::new();
        cache.set_stale_for(s(60));
        assert_eq!(begins(&mut cache, "a", s(0)), 1);
        cache.end(1, good(&["a"], s(0)), s(20), 0.0);
        assert!(cache.usable(s(60) - NS).is_some());
        assert!(cache.usable(s(60)).is_none());
        assert_eq!(cache.status(s(20)).age, Some(s(20)));
    }

    #[test]
    fn two_fetches_begin_within_thirty_seconds_whatever_comes_of_them() {
        type End = fn(Moment) -> Outcome<Set>;
        let ends: [End; 3] = [|at| good(&["a"], at), |at| good(&[], at), |_| failed()];
        for end in ends {
            let mut cache: Cache<Set> = Cache::new();
            assert_eq!(begins(&mut cache, "x1", s(10)), 1);
            cache.end(1, end(s(10)), s(10), 0.0);
            assert_eq!(begins(&mut cache, "x2", s(25)), 2);
            cache.end(2, end(s(25)), s(25), 0.0);
            for now in [s(25), s(30), s(40) - NS] {
                let verdict = cache.ask(Some("x3"), now);
                assert!(!matches!(verdict, Verdict::Wait { .. }), "{now:?} {verdict:?}");
            }
            // The window slides: the first is over, the second is not.
            assert_eq!(begins(&mut cache, "x3", s(40)), 3);
            cache.end(3, end(s(40)), s(40), 0.0);
            let verdict = cache.ask(Some("x4"), s(55) - NS);
            assert!(!matches!(verdict, Verdict::Wait { .. }), "{verdict:?}");
            assert_eq!(begins(&mut cache, "x4", s(55)), 4);
        }
    }

    #[test]
    fn renewals_and_unknown_ids_share_the_budget() {
        let mut cache = warm();
        assert_eq!(begins(&mut cache, "b", s(445)), 2);
        cache.end(2, failed(), s(445), 0.0);
        assert_eq!(begins(&mut cache, "c", s(449)), 3);
        cache.end(3, failed(), s(449), 0.0);
        assert_eq!(cache.renew(s(475) - NS), None);
        assert!(cache.next_look() >= s(475));
    }

    #[test]
    fn an_unknown_id_is_not_looked_for_again_for_thirty_seconds() {
        let mut cache = warm();
        assert_eq!(begins(&mut cache, "b", s(100)), 2);
        cache.end(2, good(&["a"], s(100)), s(100), 0.0);
        // The budget would allow it.
        assert!(cache.may_begin(s(100)));
        for now in [s(100), s(129), s(130) - NS] {
            assert_eq!(cache.ask(Some("b"), now), uses(&["a"]), "{now:?}");
        }
        assert_eq!(begins(&mut cache, "b", s(130)), 3);
        // Another one is looked for.
        cache.end(3, good(&["a"], s(130)), s(130), 0.0);
        assert_eq!(begins(&mut cache, "c", s(131)), 4);
        // And a third cannot be: it is not known of it that it is unknown.
        cache.end(4, good(&["a"], s(131)), s(131), 0.0);
        assert_eq!(cache.ask(Some("d"), s(132)), Verdict::Refuse(Refusal::OverBudget));
        assert_eq!(cache.free_in(s(132)), s(28));
    }

    #[test]
    fn an_id_is_known_as_soon_as_a_fetch_brings_it_also_where_it_was_unknown() {
        let mut cache = warm();
        assert_eq!(begins(&mut cache, "b", s(100)), 2);
        cache.end(2, good(&["a"], s(100)), s(100), 0.0);
        assert_eq!(begins(&mut cache, "c", s(101)), 3);
        cache.end(3, good(&["a", "b"], s(101)), s(101), 0.0);
        assert_eq!(cache.ask(Some("b"), s(101)), uses(&["a", "b"]));
        assert!(cache.current().unwrap().serves(Some("b"), s(101)));
    }

    #[test]
    fn after_a_fetch_that_failed_no_id_is_said_to_be_unknown() {
        let mut cache = warm();
        assert_eq!(begins(&mut cache, "b", s(100)), 2);
        cache.end(2, failed(), s(100), 0.0);
        // Not remembered: looked for again while the budget lasts, and refused beyond it.
        assert_eq!(begins(&mut cache, "b", s(101)), 3);
        cache.end(3, failed(), s(101), 0.0);
        assert_eq!(cache.ask(Some("b"), s(102)), refused("down"));
        assert_eq!(cache.ask(Some("c"), s(102)), refused("down"));
        assert_eq!(cache.ask(Some("a"), s(102)), uses(&["a"]));
        assert_eq!(begins(&mut cache, "b", s(130)), 4);
        cache.end(4, good(&["a"], s(130)), s(130), 0.0);
        assert_eq!(cache.resolve(Some("b"), 4, s(130)), Ok(set(&["a"])));
    }

    #[test]
    fn what_is_remembered_of_unknown_ids_is_bounded() {
        let mut cache = warm();
        for round in 0..10_000_u64 {
            let now = s(100) + Duration::from_millis(round * 100);
            if let Verdict::Wait { fetch, begin } = cache.ask(Some(&format!("x{round}")), now) {
                assert!(begin);
                cache.leave();
                cache.end(fetch, good(&["a"], now), now, 0.0);
            }
            assert!(cache.unknown.len() <= 6, "{}", cache.unknown.len());
        }
    }

    #[test]
    fn the_256_seats_are_given_back_and_the_next_request_is_refused() {
        let mut cache: Cache<Set> = Cache::new();
        assert_eq!(cache.ask(Some("a"), s(0)), Verdict::Wait { fetch: 1, begin: true });
        for _ in 1..MAX_WAITING {
            assert_eq!(cache.ask(Some("a"), s(0)), Verdict::Wait { fetch: 1, begin: false });
        }
        assert_eq!(cache.ask(Some("a"), s(0)), Verdict::Refuse(Refusal::Crowded));
        cache.leave();
        assert_eq!(cache.ask(Some("a"), s(0)), Verdict::Wait { fetch: 1, begin: false });
        assert_eq!(cache.ask(Some("a"), s(0)), Verdict::Refuse(Refusal::Crowded));
        for _ in 0..MAX_WAITING + 10 {
            cache.leave();
        }
        assert_eq!(cache.ask(Some("a"), s(0)), Verdict::Wait { fetch: 1, begin: false });
    }

    #[test]
    fn where_nobody_may_wait_no_fetch_is_begun_for_nobody() {
        let mut cache: Cache<Set> = Cache::new();
        for _ in 0..MAX_WAITING {
            let _ = cache.ask(Some("a"), s(0));
        }
        cache.end(1, failed(), s(1), 0.0);
        assert_eq!(cache.ask(Some("a"), s(1)), Verdict::Refuse(Refusal::Crowded));
        assert_eq!(cache.status(s(1)).fetches, 1);
    }

    #[test]
    fn a_fetch_is_lost_after_thirty_seconds_and_another_takes_its_place() {
        let mut cache: Cache<Set> = Cache::new();
        assert_eq!(begins(&mut cache, "a", s(0)), 1);
        let verdict = cache.ask(Some("a"), s(30) - NS);
        assert_eq!(verdict, Verdict::Wait { fetch: 1, begin: false });
        assert_eq!(cache.ask(Some("a"), s(30)), Verdict::Wait { fetch: 2, begin: true });
        assert_eq!(cache.status(s(30)).last_error.as_deref(), Some("the fetch never ended"));
    }

    #[test]
    fn a_late_answer_never_overwrites_a_newer_one() {
        for late in [good(&["old"], s(0)), failed()] {
            let mut cache: Cache<Set> = Cache::new();
            assert_eq!(begins(&mut cache, "a", s(0)), 1);
            assert_eq!(begins(&mut cache, "a", s(30)), 2);
            cache.end(2, good(&["a"], s(30)), s(31), 0.0);
            cache.end(1, late, s(32), 0.0);
            assert_eq!(cache.ask(Some("a"), s(32)), uses(&["a"]));
            assert_eq!(cache.status(s(32)).last_error, None);
            assert!(!cache.was_last(1));
            assert!(cache.was_last(2));
        }
    }

    #[test]
    fn an_answer_that_was_given_up_serves_until_the_newer_one_is_there() {
        let mut cache: Cache<Set> = Cache::new();
        assert_eq!(begins(&mut cache, "a", s(0)), 1);
        assert_eq!(begins(&mut cache, "a", s(30)), 2);
        cache.end(1, good(&["a"], s(0)), s(31), 0.0);
        assert_eq!(cache.ask(Some("a"), s(31)), uses(&["a"]));
        // The newer one is in the air still, and the only one.
        assert_eq!(cache.ask(Some("b"), s(31)), Verdict::Wait { fetch: 2, begin: false });
        assert!(!cache.was_last(1), "it does not renew: the newer one does");
        cache.end(2, good(&["b"], s(30)), s(32), 0.0);
        assert_eq!(cache.ask(Some("b"), s(32)), uses(&["b"]));
        assert!(cache.was_last(2));
    }

    #[test]
    fn a_withdrawn_key_serves_no_more_after_a_fetch_without_it_and_an_empty_set_is_a_set() {
        for without in [&["b"][..], &[]] {
            let mut cache = warm();
            assert_eq!(cache.renew(s(450)), Some(2));
            cache.end(2, good(without, s(450)), s(451), 0.0);
            assert!(!cache.current().unwrap().serves(Some("a"), s(451)));
            // That it is gone is known.
            assert_eq!(cache.ask(Some("a"), s(451)), Verdict::Use(set(without), None));
            assert_eq!(begins(&mut cache, "a", s(481)), 3);
        }
    }

    #[test]
    fn keys_are_fresh_for_as_long_as_the_issuer_says_within_bounds() {
        let cases = [
            (None, 600),
            (Some(Duration::ZERO), 300),
            (Some(s(300) - NS), 300),
            (Some(s(301)), 301),
            (Some(s(86_400)), 86_400),
            (Some(s(86_401)), 86_400),
            (Some(Duration::MAX), 86_400),
        ];
        for (max_age, ttl) in cases {
            let mut cache: Cache<Set> = Cache::new();
            cache.set_stale_for(Duration::MAX);
            assert_eq!(begins(&mut cache, "a", s(10)), 1);
            cache.end(1, Ok(Fetched { keys: set(&["a"]), max_age, began: s(10) }), s(11), 0.0);
            let state = |now| cache.status(now).state;
            assert_eq!(state(s(10 + ttl) - NS), KeyState::Fresh, "{max_age:?}");
            assert_eq!(state(s(10 + ttl)), KeyState::Stale, "{max_age:?}");
            assert_eq!(state(Duration::MAX - NS), KeyState::Stale);
            assert_eq!(cache.next_look(), s(10) + s(ttl).mul_f64(0.75), "{max_age:?}");
        }
    }

    #[test]
    fn keys_are_fresh_for_half_of_the_time_that_they_serve_at_most() {
        let mut cache: Cache<Set> = Cache::new();
        cache.set_stale_for(s(60));
        assert_eq!(begins(&mut cache, "a", s(0)), 1);
        let max_age = Some(s(86_400));
        cache.end(1, Ok(Fetched { keys: set(&["a"]), max_age, began: s(0) }), s(0), 1.0);
        assert_eq!(cache.status(s(30) - NS).state, KeyState::Fresh);
        assert_eq!(cache.status(s(60) - NS).state, KeyState::Stale);
        assert_eq!(cache.status(s(60)).state, KeyState::Expired);
        assert_eq!(cache.next_look(), s(27));
    }

    #[test]
    fn renewal_comes_before_keys_are_stale_at_a_moment_of_its_own() {
        for (jitter, at) in [(0.0, 450), (0.5, 495), (1.0, 540), (7.0, 540), (-7.0, 450)] {
            let mut cache: Cache<Set> = Cache::new();
            assert_eq!(begins(&mut cache, "a", s(0)), 1);
            cache.end(1, good(&["a"], s(0)), s(1), jitter);
            let off = cache.next_look().abs_diff(s(at));
            assert!(off < Duration::from_micros(1), "{jitter} {:?}", cache.next_look());
        }
    }

    #[test]
    fn failures_make_the_pause_longer_up_to_five_minutes_and_success_ends_it() {
        let mut cache = warm();
        let mut now = s(450);
        for (round, pause) in [30, 60, 120, 240, 300, 300, 300].into_iter().enumerate() {
            let fetch = cache.renew(now).unwrap();
            let jitter = [0.0, 1.0][round % 2];
            cache.end(fetch, failed(), now, jitter);
            let least = s(pause).mul_f64([0.75, 1.0][round % 2]);
            assert_eq!(cache.next_look(), now + least, "{round}");
            now = cache.next_look();
            assert_eq!(cache.renew(now - NS), None);
        }
        let fetch = cache.renew(now).unwrap();
        cache.end(fetch, good(&["a"], now), now, 0.0);
        assert_eq!(cache.next_look(), now + s(450));
        assert_eq!(cache.status(now).last_error, None);
    }

    #[test]
    fn the_pause_is_for_renewals_and_a_request_without_keys_does_not_wait_for_it() {
        let mut cache = warm();
        let mut now = s(450);
        while cache.usable(now).is_some() {
            let fetch = cache.renew(now).unwrap();
            cache.end(fetch, failed(), now, 1.0);
            now = cache.next_look();
        }
        assert_eq!(cache.status(now).state, KeyState::Expired);
        let fetch = begins(&mut cache, "a", now);
        cache.end(fetch, failed(), now, 1.0);
        assert!(cache.next_look() >= now + s(300));
        assert_eq!(begins(&mut cache, "a", now + s(1)), fetch + 1);
        cache.end(fetch + 1, good(&["a"], now), now + s(1), 1.0);
        assert_eq!(cache.ask(Some("a"), now + s(1)), uses(&["a"]));
    }

    #[test]
    fn a_fetch_that_never_ended_counts_as_failed() {
        let mut cache = warm();
        assert_eq!(cache.renew(s(450)), Some(2));
        assert_eq!(cache.renew(s(480) - NS), None);
        assert_eq!(cache.renew(s(480)), Some(3));
        assert_eq!(cache.status(s(480)).last_error.as_deref(), Some("the fetch never ended"));
        cache.end(3, good(&["a"], s(480)), s(481), 0.0);
        assert_eq!(cache.status(s(481)).last_error, None);
    }

    #[test]
    fn the_state_says_how_it_stands() {
        let mut cache: Cache<Set> = Cache::new();
        assert_eq!(cache.status(s(5)).state, KeyState::Missing);
        assert_eq!(cache.status(s(5)).age, None);
        assert_eq!(begins(&mut cache, "a", s(5)), 1);
        cache.end(1, good(&["a", "b"], s(5)), s(6), 0.0);
        let status = cache.status(s(7));
        assert_eq!((status.state, status.age), (KeyState::Fresh, Some(s(2))));
        assert_eq!((status.keys, status.skipped, status.fetches), (2, 1, 1));
        assert_eq!(cache.status(s(605)).state, KeyState::Stale);
        assert_eq!(cache.status(s(3605)).state, KeyState::Expired);
    }

    #[test]
    fn a_clock_reading_that_is_a_little_old_breaks_nothing() {
        let mut cache = warm();
        assert_eq!(begins(&mut cache, "b", s(100)), 2);
        // Read before the fetch began, and asked after.
        assert_eq!(cache.ask(Some("c"), s(99)), Verdict::Wait { fetch: 2, begin: false });
        cache.end(2, good(&["a"], s(100)), s(99), 0.0);
        assert_eq!(cache.status(s(98)).age, Some(s(0)));
        assert_eq!(cache.ask(Some("a"), s(98)), uses(&["a"]));
        assert_eq!(begins(&mut cache, "d", s(99)), 3);
        assert_eq!(cache.renew(s(98)), None);
    }

    #[test]
    fn no_time_is_too_long() {
        let end = Duration::MAX;
        let mut cache: Cache<Set> = Cache::new();
        cache.set_stale_for(Duration::MAX);
        assert_eq!(begins(&mut cache, "a", end - s(40)), 1);
        let max_age = Some(Duration::MAX);
        let outcome = Ok(Fetched { keys: set(&["a"]), max_age, began: end - s(40) });
        cache.end(1, outcome, end - s(30), 1.0);
        assert_eq!(cache.ask(Some("a"), end - s(1)), uses(&["a"]));
        assert_eq!(begins(&mut cache, "b", end - s(1)), 2);
        cache.end(2, failed(), end - s(1), 1.0);
        assert_eq!(cache.next_look(), end);
        assert!(cache.current().unwrap().serves(Some("a"), end - s(1)));
    }
}
