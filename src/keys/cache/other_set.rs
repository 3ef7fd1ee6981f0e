//! A request whose token does not name its key: whether one of the keys verifies it is known only when they were tried.

use super::{Cache, CachedKeys, MAX_WAITING, PendingFetch, Refusal, Timestamp};

impl<K: CachedKeys> Cache<K> {
    /// Returns the fetch to wait for if none of the keys verified the token of a request. It costs the same budget as a
    /// key id that is not known.
    pub(in crate::keys) fn fetch_other(&mut self, now: Timestamp) -> Result<PendingFetch, Refusal> {
        if self.waiting >= MAX_WAITING {
            return Err(Refusal::TooManyWaiting);
        }
        let fetch = match self.in_flight(now) {
            Some(number) => PendingFetch { number, begin: false },
            None if self.has_budget(now) => {
                PendingFetch { number: self.begin_fetch(now), begin: true }
            }
            // No fetch has looked for the key, so it cannot be said to be missing.
            None => return Err(self.last_failure().unwrap_or(Refusal::OverBudget)),
        };
        self.waiting = self.waiting.saturating_add(1);
        Ok(fetch)
    }

    /// Returns the keys for a request that waited for this fetch, which has ended or took too long. If the fetch brought
    /// none, these are not `other`, and no key verifies the token.
    pub(in crate::keys) fn other_after_wait(
        &self,
        is_other: impl Fn(&K) -> bool,
        fetch: u64,
        now: Timestamp,
    ) -> Result<K, Refusal> {
        match self.usable(now).filter(|keys| is_other(keys)) {
            Some(keys) => Ok(keys.clone()),
            None if self.last_ended < fetch => Err(Refusal::TimedOut),
            None => self.after_fetch_without_key(now),
        }
    }
}
