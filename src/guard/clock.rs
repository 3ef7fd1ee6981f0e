//! The clock of a guard.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use time::UtcDateTime;

/// Tells a guard, and each of its grants, the time.
///
/// Cloning the clock of the system writes nothing that threads share.
#[derive(Clone)]
pub(super) enum Clock {
    System,
    Custom(Arc<dyn Fn() -> UtcDateTime + Send + Sync>),
}

impl Clock {
    pub(super) fn now(&self) -> UtcDateTime {
        match self {
            Clock::System => UtcDateTime::now(),
            Clock::Custom(clock) => clock(),
        }
    }
}

/// How long the stopwatch of the process has run. It only measures how long a step takes, for the sinks that ask.
pub(super) fn stopwatch() -> Duration {
    static START: LazyLock<Instant> = LazyLock::new(Instant::now);
    START.elapsed()
}
