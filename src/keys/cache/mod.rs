//! Decides when keys are used, when they are fetched, and when a request is refused.
//!
//! This is a state machine without a clock, a network or a task. The caller passes the time, and does what it is told.

mod budget;
mod other_set;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use self::budget::Budget;
pub(super) use self::budget::{BUDGET, LOST_AFTER, Timestamp, WINDOW};
use crate::keys::status::{KeyState, KeyStatus};

/// At most this many requests wait for a fetch, and for at most this long.
pub(super) const MAX_WAITING: usize = 256;
pub(super) const MAX_WAIT: Duration = Duration::from_secs(2);
/// How long keys are fresh: what the issuer says, within these bounds.
const DEFAULT_TTL: Duration = Duration::from_secs(10 * 60);
const MIN_TTL: Duration = Duration::from_secs(5 * 60);
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);
/// How long a key id is not fetched for again, once a fetch has begun for it.
const MISSING_TTL: Duration = WINDOW;
/// The longest pause between attempts to renew.
const MAX_PAUSE: Duration = Duration::from_secs(5 * 60);
const NO_USABLE_KEY: &str = "the issuer publishes no key that can be used";

/// The keys, as far as the cache looks at them.
pub(super) trait CachedKeys: Clone {
    /// Returns true if there is a key with this id. A token without a key id may find its key in any set.
    fn contains_kid(&self, kid: Option<&str>) -> bool;
    fn usable_count(&self) -> usize;
    fn skipped_count(&self) -> usize;
    /// Returns the ids of keys that are in this set and not in the other.
    fn ids_missing_in(&self, other: &Self) -> Vec<String>;
}

/// The result of a successful fetch.
pub(super) struct Fetched<K> {
    pub(super) keys: K,
    /// How long the answer says that it is fresh.
    pub(super) max_age: Option<Duration>,
    /// When the fetch began: the keys are not older than that.
    pub(super) began: Timestamp,
}

pub(super) type FetchResult<K> = Result<Fetched<K>, String>;

/// The keys that are used now, to be read without a lock.
pub(super) struct Snapshot<K> {
    pub(super) keys: K,
    /// Until then, a request whose key is in this set changes nothing in the cache.
    valid_until: Timestamp,
}

impl<K: CachedKeys> Snapshot<K> {
    /// Returns true if these keys can be used for a request without asking the cache.
    pub(super) fn is_valid_for(&self, kid: Option<&str>, now: Timestamp) -> bool {
        now < self.valid_until && self.keys.contains_kid(kid)
    }
}

/// What to do for one request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Lookup<K> {
    /// Use these keys, and begin the fetch of this number, if there is one.
    Use { keys: K, begin: Option<u64> },
    /// Wait until this fetch has ended; then call [`stop_waiting`](Cache::stop_waiting) and
    /// [`lookup_after_wait`](Cache::lookup_after_wait).
    Wait(PendingFetch),
    /// There are no keys for this request.
    Refuse(Refusal),
}

/// A fetch that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PendingFetch {
    pub(super) number: u64,
    /// The caller must begin it.
    pub(super) begin: bool,
}

/// What the task of a fetch does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NextStep {
    /// Begin the fetch of this number.
    Fetch(u64),
    /// Wait until then, and ask again.
    Wait(Timestamp),
    /// End. A later fetch has a task of its own, or a request will begin one.
    End,
}

/// Why there are no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The last fetch failed, or brought no key that can be used.
    #[error("{0}")]
    Failed(Arc<str>),
    /// No fetch may begin yet.
    #[error("fetched {BUDGET} times within {} seconds, and not again yet", WINDOW.as_secs())]
    OverBudget,
    #[error("{MAX_WAITING} requests wait for the issuer's keys already")]
    TooManyWaiting,
    /// The fetch takes longer than a request waits.
    #[error("the issuer has not answered within {} seconds", MAX_WAIT.as_secs())]
    TimedOut,
}

/// The last successful fetch.
struct LastSuccess<K> {
    keys: K,
    /// False for a set that withdraws all keys: it has none that can be used.
    has_usable_key: bool,
    /// When the fetch began.
    began: Timestamp,
    fresh_until: Timestamp,
    renew_at: Timestamp,
    usable_until: Timestamp,
}

/// The state of the keys of one issuer.
pub(super) struct Cache<K> {
    stale_for: Duration,
    /// True if keys are renewed without a request only after they were used.
    while_used: bool,
    last_success: Option<LastSuccess<K>>,
    budget: Budget,
    /// The number of the last fetch that began, which is also how many there were.
    last_begun: u64,
    /// The number of the last fetch that ended. If it is not the last one that began, that one is in flight or lost.
    last_ended: u64,
    /// How many fetches failed since the last success, and why the last one did.
    failures: u32,
    last_error: Option<Arc<str>>,
    /// Keys are not renewed before then.
    paused_until: Timestamp,
    /// Key ids that a fetch began for, or that a fetch no longer brought, and when.
    missing_ids: Vec<(String, Timestamp)>,
    waiting: usize,
}

impl<K: CachedKeys> Cache<K> {
    /// The shortest time that keys can be used after a successful fetch. They must be renewed before it is over, and
    /// the budget must allow that.
    pub(super) const MIN_STALE: Duration = Duration::from_secs(60);

    pub(super) fn new() -> Self {
        Cache {
            stale_for: Duration::from_secs(3600),
            while_used: false,
            last_success: None,
            budget: Budget::new(),
            last_begun: 0,
            last_ended: 0,
            failures: 0,
            last_error: None,
            paused_until: Timestamp::ZERO,
            missing_ids: Vec::new(),
            waiting: 0,
        }
    }

    /// Sets how long keys are used after the last successful fetch.
    pub(super) fn set_stale_for(&mut self, stale_for: Duration) {
        self.stale_for = stale_for;
    }

    /// Makes renewals end when the keys are not used, and counts fetches by the window from the start.
    pub(super) fn renew_while_used(&mut self) {
        self.while_used = true;
        self.budget.end_cold_start();
    }

    /// Looks up the keys for a request whose token names this key.
    pub(super) fn lookup(&mut self, kid: Option<&str>, now: Timestamp) -> Lookup<K> {
        let usable = self.usable(now).map(|keys| (keys.contains_kid(kid), keys.clone()));
        if let Some((true, keys)) = usable {
            return Lookup::Use { keys, begin: self.renew_if_due(now) };
        }
        if let Some(number) = self.in_flight(now) {
            return self.wait(PendingFetch { number, begin: false });
        }
        // A fetch that was lost has not looked for the key.
        if usable.is_some() && self.is_idle() && self.is_known_missing(kid, now) {
            return match self.after_fetch_without_key(now) {
                Ok(keys) => Lookup::Use { keys, begin: None },
                Err(refusal) => Lookup::Refuse(refusal),
            };
        }
        if !self.has_budget(now) {
            // No fetch has looked for this key, so it cannot be said to be missing.
            return Lookup::Refuse(self.last_failure().unwrap_or(Refusal::OverBudget));
        }
        // Checked first, so that no fetch begins for a request that may not wait for it.
        if self.waiting >= MAX_WAITING {
            return Lookup::Refuse(Refusal::TooManyWaiting);
        }
        let number = self.begin_fetch(now);
        if let (Some(_), Some(kid)) = (usable, kid) {
            self.missing_ids.push((kid.to_owned(), now));
        }
        self.wait(PendingFetch { number, begin: true })
    }

    /// Returns the fetch to wait for before there are requests. `None` if there are keys already, or if no fetch may
    /// begin.
    pub(super) fn warm_up(&mut self, now: Timestamp) -> Option<PendingFetch> {
        if self.usable(now).is_some() {
            return None;
        }
        match self.in_flight(now) {
            Some(number) => Some(PendingFetch { number, begin: false }),
            None if self.has_budget(now) => {
                Some(PendingFetch { number: self.begin_fetch(now), begin: true })
            }
            None => None,
        }
    }

    /// Records why nothing can be fetched, if nothing ever was.
    pub(super) fn record_problem(&mut self, error: &str) {
        if self.last_begun == 0 {
            self.last_error = Some(error.into());
        }
    }

    /// Looks up the keys for a request that waited for this fetch, which has ended or took too long.
    pub(super) fn lookup_after_wait(
        &self,
        kid: Option<&str>,
        fetch: u64,
        now: Timestamp,
    ) -> Result<K, Refusal> {
        if let Some(keys) = self.usable(now).filter(|keys| keys.contains_kid(kid)) {
            return Ok(keys.clone());
        }
        if self.last_ended < fetch {
            return Err(Refusal::TimedOut);
        }
        self.after_fetch_without_key(now)
    }

    /// Returns how long it is until another fetch may begin.
    pub(super) fn next_fetch_in(&self, now: Timestamp) -> Duration {
        self.budget.next_at().saturating_sub(now)
    }

    /// Notes that a request no longer waits.
    pub(super) fn stop_waiting(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Returns the number of the fetch to begin, if it is time to renew the keys.
    pub(super) fn renew_if_due(&mut self, now: Timestamp) -> Option<u64> {
        let due = now >= self.next_renewal_at() && self.in_flight(now).is_none();
        due.then(|| self.begin_fetch(now))
    }

    /// Returns what the task of this fetch, which has ended, does now. `was_used` says if a token was verified with
    /// the keys since the last renewal.
    pub(super) fn after_fetch(&mut self, number: u64, now: Timestamp, was_used: bool) -> NextStep {
        let is_latest = self.last_ended == number && self.is_idle();
        // Without keys, no token can be verified.
        if !is_latest || self.while_used && self.usable(now).is_none() {
            return NextStep::End;
        }
        match self.next_renewal_at() {
            at if now < at => NextStep::Wait(at),
            _ if self.while_used && !was_used => NextStep::End,
            _ => NextStep::Fetch(self.begin_fetch(now)),
        }
    }

    pub(super) fn next_renewal_at(&self) -> Timestamp {
        if self.budget.is_cold_start() {
            return self.budget.next_at();
        }
        let due = self.last_success.as_ref().map_or(Timestamp::ZERO, |last| last.renew_at);
        due.max(self.paused_until).max(self.budget.next_at())
    }

    /// Ends a fetch. If a later one has ended already, the result is dropped. `jitter` is from 0 to 1.
    pub(super) fn end_fetch(
        &mut self,
        number: u64,
        result: FetchResult<K>,
        now: Timestamp,
        jitter: f64,
    ) {
        if number <= self.last_ended {
            return;
        }
        self.last_ended = number;
        match result {
            Ok(fetched) => self.record_success(fetched, now, jitter),
            Err(error) => self.record_failure(error, now, jitter),
        }
    }

    fn record_success(&mut self, fetched: Fetched<K>, now: Timestamp, jitter: f64) {
        let Fetched { keys, max_age, began } = fetched;
        let ttl = max_age.unwrap_or(DEFAULT_TTL).clamp(MIN_TTL, MAX_TTL);
        // At least half of the time that keys are used is left for an issuer that is down.
        let ttl = ttl.min(self.stale_for.mul_f64(0.5));
        let before = self.last_success.as_ref().map(|last| &last.keys);
        let withdrawn = before.map(|before| before.ids_missing_in(&keys)).unwrap_or_default();
        // Before the keys are stale, and not at the same time as every other service.
        let renewal = ttl.mul_f64(0.75 + 0.15 * jitter.clamp(0.0, 1.0));
        let has_usable_key = keys.usable_count() > 0;
        // A set without keys is probably a mistake that is soon corrected.
        let renewal = if has_usable_key { renewal } else { WINDOW };
        self.last_success = Some(LastSuccess {
            keys,
            has_usable_key,
            began,
            fresh_until: began.saturating_add(ttl),
            renew_at: began.saturating_add(renewal),
            usable_until: began.saturating_add(self.stale_for),
        });
        if has_usable_key {
            self.budget.end_cold_start();
        } else {
            self.budget.fail(jitter);
        }
        self.failures = 0;
        self.last_error = (!has_usable_key).then(|| NO_USABLE_KEY.into());
        self.paused_until = Timestamp::ZERO;
        self.missing_ids.retain(|(_, at)| now < at.saturating_add(MISSING_TTL));
        self.missing_ids.extend(withdrawn.into_iter().map(|id| (id, began)));
    }

    fn record_failure(&mut self, error: String, now: Timestamp, jitter: f64) {
        let pause =
            WINDOW.saturating_mul(2_u32.saturating_pow(self.failures.min(8))).min(MAX_PAUSE);
        self.budget.fail(jitter);
        self.failures = self.failures.saturating_add(1);
        self.last_error = Some(error.into());
        self.paused_until = now.saturating_add(pause.mul_f64(0.75 + 0.25 * jitter.clamp(0.0, 1.0)));
        // A fetch that failed has not shown that any id is missing.
        self.missing_ids.clear();
    }

    /// Returns true if the last fetch that began has ended.
    fn is_idle(&self) -> bool {
        self.last_ended == self.last_begun
    }

    /// Returns when the last fetch is lost, if it does not end before.
    fn lost_at(&self) -> Timestamp {
        self.budget.last_begin().unwrap_or_default().saturating_add(LOST_AFTER)
    }

    /// Returns the number of the fetch that is in flight. `None` if it is lost.
    fn in_flight(&self, now: Timestamp) -> Option<u64> {
        (!self.is_idle() && now < self.lost_at()).then_some(self.last_begun)
    }

    pub(super) fn snapshot(&self) -> Option<Snapshot<K>> {
        let last = self.last_success.as_ref().filter(|last| last.has_usable_key)?;
        let next_change = if self.is_idle() { self.next_renewal_at() } else { self.lost_at() };
        let valid_until = next_change.min(last.usable_until);
        Some(Snapshot { keys: last.keys.clone(), valid_until })
    }

    /// Returns the keys, unless the last successful fetch was too long ago, or brought none that can be used.
    pub(super) fn usable(&self, now: Timestamp) -> Option<&K> {
        let last = self.last_success.as_ref().filter(|last| last.has_usable_key);
        last.filter(|last| now < last.usable_until).map(|last| &last.keys)
    }

    pub(super) fn status(&self, now: Timestamp) -> KeyStatus {
        let mut status = KeyStatus::new(KeyState::Missing);
        if let Some(last) = &self.last_success {
            status.state = match now {
                now if now >= last.usable_until => KeyState::Expired,
                now if now >= last.fresh_until => KeyState::Stale,
                _ => KeyState::Fresh,
            };
            status.age = Some(now.saturating_sub(last.began));
            status.keys = last.keys.usable_count();
            status.skipped = last.keys.skipped_count();
        }
        status.last_error = self.last_error.as_deref().map(str::to_owned);
        status.fetches = self.last_begun;
        status
    }

    fn begin_fetch(&mut self, now: Timestamp) -> u64 {
        if !self.is_idle() {
            self.record_failure("the fetch never ended".to_owned(), now, 1.0);
        }
        self.last_begun = self.last_begun.saturating_add(1);
        self.budget.begin(now);
        self.last_begun
    }

    fn wait(&mut self, fetch: PendingFetch) -> Lookup<K> {
        if self.waiting >= MAX_WAITING {
            return Lookup::Refuse(Refusal::TooManyWaiting);
        }
        self.waiting = self.waiting.saturating_add(1);
        Lookup::Wait(fetch)
    }

    /// Returns the answer for a key that was fetched for and is not there. If the last fetch succeeded, that is the set
    /// without the key. Otherwise it is not known whether the key exists.
    fn after_fetch_without_key(&self, now: Timestamp) -> Result<K, Refusal> {
        match (self.last_failure(), self.usable(now)) {
            (Some(failure), _) => Err(failure),
            (None, Some(keys)) => Ok(keys.clone()),
            (None, None) => Err(Refusal::OverBudget),
        }
    }

    fn last_failure(&self) -> Option<Refusal> {
        self.last_error.clone().map(Refusal::Failed)
    }

    fn is_known_missing(&self, kid: Option<&str>, now: Timestamp) -> bool {
        self.missing_ids
            .iter()
            .any(|(id, at)| Some(&**id) == kid && now < at.saturating_add(MISSING_TTL))
    }

    fn has_budget(&self, now: Timestamp) -> bool {
        now >= self.budget.next_at()
    }
}
