//! When keys are used, when they are fetched, when a request is refused: a state machine without a clock, a
//! network or a task. Time is how long it has been since the machine was made.

use std::sync::Arc;
use std::time::Duration;

use super::status::{KeyState, KeyStatus};

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

/// A fetch in the air.
struct Flight {
    number: u64,
    began: Moment,
}

/// The state of the keys of one issuer.
pub(super) struct Cache<K> {
    stale_for: Duration,
    good: Option<Good<K>>,
    flight: Option<Flight>,
    /// When the last fetches began, the oldest first.
    begun: [Option<Moment>; BUDGET],
    /// How many were begun: the number of the last one.
    fetches: u64,
    /// The last one that ended.
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
            flight: None,
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
        if known.is_some() && self.is_unknown(kid, now) {
            return self.unfound(now);
        }
        if !self.may_begin(now) {
            // Nobody has looked for this key.
            return Verdict::Refuse(self.failure().unwrap_or(Refusal::OverBudget));
        }
        // Refused before a fetch is begun for nobody.
        if self.waiting >= MAX_WAITING {
            return Verdict::Refuse(Refusal::Crowded);
        }
        if let (Some(_), Some(kid)) = (known, kid) {
            self.unknown.push((kid.to_owned(), now));
        }
        let number = self.begin(now);
        self.wait(number, true)
    }

    /// A request that waited for this fetch: it has ended, or took too long.
    pub(super) fn resolve(&self, kid: Option<&str>, fetch: u64, now: Moment) -> Result<K, Refusal> {
        if let Some(keys) = self.usable(now).filter(|keys| keys.know(kid)) {
            return Ok(keys.clone());
        }
        if self.ended < fetch {
            return Err(Refusal::Slow);
        }
        match self.unfound(now) {
            Verdict::Use(keys, _) => Ok(keys),
            Verdict::Refuse(refusal) => Err(refusal),
            Verdict::Wait { .. } => Err(Refusal::Slow),
        }
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
        if self.flight.as_ref().is_some_and(|flight| flight.number == number) {
            self.flight = None;
        }
        if number <= self.ended {
            return;
        }
        self.ended = number;
        match outcome {
            Ok(Fetched { keys, max_age, began }) => {
                let ttl =
                    max_age.unwrap_or(DEFAULT_TTL).clamp(MIN_TTL, MAX_TTL).min(self.stale_for);
                let before = self.good.as_ref().map(|good| &good.keys);
                let withdrawn =
                    before.map(|before| before.ids_missing_in(&keys)).unwrap_or_default();
                // Before they are stale, and not at the same moment as everybody else.
                let refresh = ttl.mul_f64(0.75 + 0.15 * jitter.clamp(0.0, 1.0));
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
                self.unknown.extend(withdrawn.into_iter().map(|id| (id, now)));
            }
            Err(error) => self.failed(error, now, jitter),
        }
    }

    /// True where no fetch came after this one.
    pub(super) fn was_last(&self, number: u64) -> bool {
        self.ended == number && self.flight.is_none()
    }

    /// The number of the fetch that is in the air; nothing where it was lost.
    fn in_the_air(&self, now: Moment) -> Option<u64> {
        let flight = self.flight.as_ref()?;
        (now < flight.began.saturating_add(LOST_AFTER)).then_some(flight.number)
    }

    /// What serves now, for those who do not ask.
    pub(super) fn current(&self) -> Option<Current<K>> {
        let good = self.good.as_ref()?;
        let quiet = match &self.flight {
            Some(flight) => flight.began.saturating_add(LOST_AFTER),
            None => self.next_look(),
        };
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
        if self.flight.take().is_some() {
            self.failed("the fetch never ended".to_owned(), now, 1.0);
        }
        self.fetches = self.fetches.saturating_add(1);
        self.begun.rotate_left(1);
        if let Some(last) = self.begun.last_mut() {
            *last = Some(now);
        }
        self.flight = Some(Flight { number: self.fetches, began: now });
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
    fn unfound(&self, now: Moment) -> Verdict<K> {
        match (self.failure(), self.usable(now)) {
            (Some(failure), _) => Verdict::Refuse(failure),
            (None, Some(keys)) => Verdict::Use(keys.clone(), None),
            (None, None) => Verdict::Refuse(Refusal::OverBudget),
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
