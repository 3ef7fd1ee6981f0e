//! When a fetch may begin.

use std::time::Duration;

/// The time since the cache was created.
pub(in crate::keys) type Timestamp = Duration;

/// At most this many fetches begin within [`WINDOW`], whatever asks for them and however they end.
pub(in crate::keys) const BUDGET: usize = 2;
pub(in crate::keys) const WINDOW: Duration = Duration::from_secs(30);
/// A fetch that has not ended by then is given up.
pub(in crate::keys) const LOST_AFTER: Duration = Duration::from_secs(30);
/// The seconds from the beginning of one attempt to the next, until there are keys. After these, and after an attempt
/// that begins later than in the first [`WINDOW`], it is always [`LAST_PAUSE`].
const FIRST_PAUSES: [u64; 4] = [1, 2, 4, 8];
const LAST_PAUSE: u64 = 15;
/// Each pause is multiplied by a number between these two, so that not all services ask at once. With the least, six
/// attempts begin in the first 30 seconds and three in any later 30. With the most, 15 seconds are enough for a pause
/// and a fetch.
const SHORTEST: f64 = 0.7;
const LONGEST: f64 = 0.95;

/// When fetches may begin.
pub(super) enum Budget {
    /// There were no keys yet. Attempts begin at a pace that no request changes.
    ColdStart(ColdStart),
    /// At most [`BUDGET`] fetches begin within [`WINDOW`]: when the last ones began, oldest first.
    Window([Option<Timestamp>; BUDGET]),
}

#[derive(Default)]
pub(super) struct ColdStart {
    /// When the first and the last attempt began.
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    failures: usize,
    next_at: Timestamp,
}

impl Budget {
    pub(super) fn new() -> Self {
        Budget::ColdStart(ColdStart::default())
    }

    /// Counts what follows by the window. The last attempt before counts too.
    pub(super) fn end_cold_start(&mut self) {
        if let Budget::ColdStart(cold) = self {
            *self = Budget::Window([None, cold.last]);
        }
    }

    pub(super) const fn is_cold_start(&self) -> bool {
        matches!(self, Budget::ColdStart(_))
    }

    /// Notes that a fetch begins.
    pub(super) fn begin(&mut self, now: Timestamp) {
        match self {
            Budget::ColdStart(cold) => {
                cold.first.get_or_insert(now);
                cold.last = Some(now);
                cold.next_at = now.saturating_add(LOST_AFTER);
            }
            Budget::Window(begins) => {
                begins.rotate_left(1);
                if let Some(last) = begins.last_mut() {
                    *last = Some(now);
                }
            }
        }
    }

    /// Notes that a fetch brought no keys. `jitter` is from 0 to 1.
    pub(super) fn fail(&mut self, jitter: f64) {
        let Budget::ColdStart(cold) = self else { return };
        let (Some(first), Some(last)) = (cold.first, cold.last) else { return };
        let is_early = last < first.saturating_add(WINDOW);
        let pause = FIRST_PAUSES.get(cold.failures).filter(|_| is_early).unwrap_or(&LAST_PAUSE);
        let factor = SHORTEST + (LONGEST - SHORTEST) * jitter.clamp(0.0, 1.0);
        cold.next_at = last.saturating_add(Duration::from_secs(*pause).mul_f64(factor));
        cold.failures = cold.failures.saturating_add(1);
    }

    /// Returns when the next fetch may begin.
    pub(super) fn next_at(&self) -> Timestamp {
        match self {
            Budget::ColdStart(cold) => cold.next_at,
            Budget::Window(begins) => {
                let oldest = begins.first().copied().flatten();
                oldest.map_or(Timestamp::ZERO, |began| began.saturating_add(WINDOW))
            }
        }
    }

    /// Returns when the last fetch began.
    pub(super) fn last_begin(&self) -> Option<Timestamp> {
        match self {
            Budget::ColdStart(cold) => cold.last,
            Budget::Window(begins) => begins.last().copied().flatten(),
        }
    }
}
