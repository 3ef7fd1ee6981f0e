//! The trait of replay stores, and what they answer.

use std::fmt;
use std::sync::Arc;

use super::entry::ReplayEntry;
use crate::answer::Answer;

/// The answer of a [`ReplayStore`].
pub type ReplayAnswer = Answer<'static, Result<Remembered, StoreUnavailable>>;

/// A store that remembers what was used, so that nothing is accepted twice.
///
/// [`MemoryReplayStore`](super::MemoryReplayStore) is for a service of one process, `RedisReplayStore` (feature `redis`)
/// for a service of several. A closure is a store too, and so is an [`Arc`] of a store.
///
/// An implementation of your own must keep four rules:
///
/// - **Insert in one atomic step.** If several callers insert the same [`key`](ReplayEntry::key) at the same time,
///   exactly one of them gets [`First`](Remembered::First). A lookup followed by a write does not do that.
/// - **Keep entries until they expire.** An entry that was answered with `First` stays until its
///   [`expires_at`](ReplayEntry::expires_at). If memory runs short, refuse new entries and never evict old ones.
/// - **Know when the store started.** Answer [`BeforeEpoch`](Remembered::BeforeEpoch), never `First`, to an entry that
///   was issued before then. A store that lost entries starts anew.
/// - **If in doubt, answer [`StoreUnavailable`].** This includes a server whose answer was lost.
///
/// To limit how much of the store one subject or client may use, count entries by their
/// [`share_key`](ReplayEntry::share_key) and [`client_share_key`](ReplayEntry::client_share_key).
///
/// ```
/// use std::collections::HashSet;
/// use std::sync::Mutex;
///
/// use unconfused::Answer;
/// use unconfused::replay::{Remembered, ReplayAnswer, ReplayEntry, ReplayStore, StoreUnavailable};
///
/// // For a test: it has no start, never forgets, and grows without a bound.
/// let seen = Mutex::new(HashSet::new());
/// let store = move |entry: ReplayEntry| -> ReplayAnswer {
///     Answer::Now(match seen.lock().map(|mut seen| seen.insert(*entry.key())) {
///         Ok(true) => Ok(Remembered::First),
///         Ok(false) => Ok(Remembered::Again),
///         Err(_) => Err(StoreUnavailable::new("a thread panicked while it inserted")),
///     })
/// };
/// # fn is_store(_: impl ReplayStore) {}
/// # is_store(store);
/// ```
pub trait ReplayStore: Send + Sync + 'static {
    /// Inserts the entry unless it is known, and returns whether it was. This is one atomic step.
    ///
    /// If the answer is [`Later`](Answer::Later) and is dropped before it completes, the entry may or may not have been
    /// inserted.
    #[must_use = "only `First` says that it was not used before"]
    fn insert(&self, entry: ReplayEntry) -> ReplayAnswer;

    /// Prepares the store before a request needs it, and finds out how it is.
    ///
    /// The answer comes when the attempt has ended, whether it succeeded or not. [`Guard::ready`](crate::Guard::ready)
    /// calls it unless the [`status`](Self::status) is [`Ready`](StoreStatus::Ready). Does nothing by default.
    fn warm_up(&self) -> Answer<'static, ()> {
        Answer::Now(())
    }

    /// Returns how the store is, for [`Guard::readiness`](crate::Guard::readiness). It answers at once and asks no
    /// server.
    ///
    /// Defaults to [`StoreStatus::Unreported`], which counts as ready.
    fn status(&self) -> StoreStatus {
        StoreStatus::Unreported
    }
}

impl<F> ReplayStore for F
where
    F: Fn(ReplayEntry) -> ReplayAnswer + Send + Sync + ?Sized + 'static,
{
    fn insert(&self, entry: ReplayEntry) -> ReplayAnswer {
        self(entry)
    }
}

impl<S: ReplayStore + ?Sized> ReplayStore for Arc<S> {
    fn insert(&self, entry: ReplayEntry) -> ReplayAnswer {
        (**self).insert(entry)
    }

    fn warm_up(&self) -> Answer<'static, ()> {
        (**self).warm_up()
    }

    fn status(&self) -> StoreStatus {
        (**self).status()
    }
}

impl fmt::Debug for dyn ReplayStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ReplayStore(..)")
    }
}

/// Whether a store knew the entry that was inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[must_use = "only `First` says that it was not used before"]
pub enum Remembered {
    /// The entry was not known, and is known from now on.
    First,
    /// The entry was known already.
    Again,
    /// The entry was issued before the store started to remember, or has expired. Whether it was used before is not
    /// known, and nothing is remembered of it.
    BeforeEpoch,
    /// The entry was not known and was not inserted: the [share](ReplayEntry::share_key) of its subject, or the
    /// [part](ReplayEntry::client_share_key) of its client, is full. It can be inserted when some entries of that share
    /// have expired.
    ShareFull,
}

/// How a [`ReplayStore`] is, for a readiness probe and for the operator. `Display` writes one line.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreStatus {
    /// The store does not report a status, or was not asked yet. Counts as ready.
    Unreported,
    /// The store remembers what is inserted.
    Ready,
    /// The store could not be reached, and why. Counts as ready: requests that need the store are answered with 503
    /// until it is back, and no request has to wait for another [`Guard::ready`](crate::Guard::ready).
    Unavailable(String),
    /// The store is set up in such a way that it may lose entries, and why. Does not count as ready.
    ///
    /// A store that has lost entries answers [`BeforeEpoch`](Remembered::BeforeEpoch) to what it may have lost.
    Misconfigured(String),
}

impl StoreStatus {
    /// Returns true unless the store is [`Misconfigured`](Self::Misconfigured).
    #[must_use]
    pub fn is_ready(&self) -> bool {
        match self {
            StoreStatus::Unreported | StoreStatus::Ready | StoreStatus::Unavailable(_) => true,
            StoreStatus::Misconfigured(_) => false,
        }
    }
}

impl fmt::Display for StoreStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreStatus::Unreported => f.write_str("unreported"),
            StoreStatus::Ready => f.write_str("ready"),
            StoreStatus::Unavailable(cause) => write!(f, "unavailable last_error={cause:?}"),
            StoreStatus::Misconfigured(problem) => write!(f, "misconfigured problem={problem:?}"),
        }
    }
}

/// The error of a store that cannot answer now, because it is down, too slow or full.
///
/// A guard answers the request with 503. The proof or token of the request may have been recorded as used, or not.
#[derive(Debug, thiserror::Error)]
#[error("the replay store is unavailable: {cause}")]
pub struct StoreUnavailable {
    #[source]
    cause: Box<dyn std::error::Error + Send + Sync>,
}

impl StoreUnavailable {
    /// Creates the error with a cause for the operator. The cause goes into the audit record, so it must not contain
    /// secrets.
    pub fn new(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        StoreUnavailable { cause: cause.into() }
    }
}

#[cfg(test)]
mod tests {
    use time::UtcDateTime;

    use super::*;
    use crate::replay::entry::Owner;

    const THEN: UtcDateTime = UtcDateTime::UNIX_EPOCH;

    #[test]
    fn a_closure_and_an_arc_of_a_store_are_stores() {
        let store: Arc<dyn ReplayStore> =
            Arc::new(|_: ReplayEntry| -> ReplayAnswer { Answer::Now(Ok(Remembered::Again)) });
        let owner = Owner { issuer: "i", subject: "s", client: "c" };
        let entry = ReplayEntry::new("p", "a", &[], owner, THEN, THEN, THEN);
        let answer = ReplayStore::insert(&store, entry).now().unwrap().unwrap();
        assert_eq!(answer, Remembered::Again);
        assert!(store.warm_up().now().is_some());
        assert_eq!(store.status(), StoreStatus::Unreported);
    }

    #[test]
    fn an_arc_of_a_store_reports_what_the_store_does() {
        struct Odd;
        impl ReplayStore for Odd {
            fn insert(&self, _: ReplayEntry) -> ReplayAnswer {
                Answer::Now(Ok(Remembered::Again))
            }
            fn warm_up(&self) -> Answer<'static, ()> {
                Answer::later(std::future::pending())
            }
            fn status(&self) -> StoreStatus {
                StoreStatus::Misconfigured("odd".to_owned())
            }
        }
        let store: Arc<dyn ReplayStore> = Arc::new(Arc::new(Odd));
        assert!(store.warm_up().now().is_none());
        assert_eq!(store.status().to_string(), r#"misconfigured problem="odd""#);
        assert!(!store.status().is_ready());
    }
}
