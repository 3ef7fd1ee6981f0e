//! Values that all threads use, each through a copy of its own.
//!
//! An [`Arc`] that two cores clone at the same time is slow: each clone takes the cache line of its count away from the
//! other core. If every thread clones an `Arc` of its own, nothing moves.

use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, OnceLock};
use std::thread::available_parallelism;

/// Returns how many copies there are: enough for twice as many threads as there are cores, at most 128.
pub(crate) fn copies() -> usize {
    static COPIES: LazyLock<usize> = LazyLock::new(|| {
        let cores = available_parallelism().map_or(1, usize::from);
        cores.saturating_mul(2).min(128).next_power_of_two()
    });
    *COPIES
}

/// Returns the copy of this thread, one of these. If there are more threads than copies, some have the same one.
pub(crate) fn own_copy<T>(copies: &[T]) -> Option<&T> {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<Option<usize>> = const { Cell::new(None) };
    }
    let number = NUMBER.get().unwrap_or_else(|| {
        let number = THREADS.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(Some(number));
        number
    });
    copies.get(number.checked_rem(copies.len())?)
}

/// A value that each thread uses through a copy of its own, which is made when it is first needed.
///
/// `T` decides what a copy shares: what requests clone has to be copied whole.
pub(crate) struct PerThread<T> {
    value: T,
    copies: Box<[OnceLock<Arc<T>>]>,
}

impl<T: Clone> PerThread<T> {
    pub(crate) fn new(value: T) -> Self {
        PerThread { value, copies: (0..copies()).map(|_| OnceLock::new()).collect() }
    }

    /// Returns the copy of this thread.
    pub(crate) fn own(&self) -> Arc<T> {
        let copy = || Arc::new(self.value.clone());
        own_copy(&self.copies).map_or_else(copy, |own| own.get_or_init(copy).clone())
    }

    pub(crate) fn into_inner(self) -> T {
        self.value
    }

    /// Changes the value. The copies are made anew.
    pub(crate) fn make_mut(&mut self) -> &mut T {
        self.copies.iter_mut().for_each(|copy| drop(copy.take()));
        &mut self.value
    }
}

impl<T: Clone> Clone for PerThread<T> {
    fn clone(&self) -> Self {
        PerThread::new(self.value.clone())
    }
}

impl<T> Deref for PerThread<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for PerThread<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

/// An [`Arc`] that is copied whole when what holds it is copied for another thread. Requests share it.
pub(crate) struct Own<T: ?Sized>(Arc<T>);

impl<T: ?Sized> Own<T> {
    pub(crate) fn share(&self) -> Arc<T> {
        self.0.clone()
    }
}

impl<T> From<T> for Own<T> {
    fn from(value: T) -> Self {
        Own(Arc::new(value))
    }
}

impl From<&str> for Own<str> {
    fn from(text: &str) -> Self {
        Own(text.into())
    }
}

impl<T: Clone> Clone for Own<T> {
    fn clone(&self) -> Self {
        T::clone(self).into()
    }
}

impl Clone for Own<str> {
    fn clone(&self) -> Self {
        Own::from(&**self)
    }
}

impl<T: ?Sized> Deref for Own<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// What a service and all its clones share. Routers clone a service for every request; such a clone shares the copy of
/// its thread.
pub(crate) enum ServiceSettings<T> {
    /// Of the service that a layer made.
    Original(Arc<PerThread<T>>),
    /// Of its clones, and of theirs.
    Clone(Arc<T>),
}

impl<T: Clone> Clone for ServiceSettings<T> {
    fn clone(&self) -> Self {
        ServiceSettings::Clone(match self {
            ServiceSettings::Original(settings) => settings.own(),
            ServiceSettings::Clone(own) => own.clone(),
        })
    }
}

impl<T> Deref for ServiceSettings<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            ServiceSettings::Original(settings) => settings,
            ServiceSettings::Clone(own) => own,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    /// The address of the copy of a thread.
    fn address(own: &Arc<String>) -> usize {
        Arc::as_ptr(own).addr()
    }

    /// What a thread finds that has another copy than this one.
    fn elsewhere<T: Send>(find: impl Fn() -> T + Sync, is_other: impl Fn(&T) -> bool) -> T {
        let in_thread = |_| thread::scope(|scope| scope.spawn(&find).join().unwrap());
        (0..100 * copies()).map(in_thread).find(is_other).unwrap()
    }

    #[test]
    fn a_thread_gets_the_same_copy_each_time_and_other_threads_get_others() {
        let shared = PerThread::new("value".to_owned());
        let first = shared.own();
        assert_eq!(address(&first), address(&shared.own()));
        let other = elsewhere(|| shared.own(), |own| address(own) != address(&first));
        assert_eq!(*other, *first);
    }

    #[test]
    fn many_threads_have_few_copies() {
        let shared = PerThread::new("value".to_owned());
        let mut all: Vec<_> = thread::scope(|scope| {
            let own = || scope.spawn(|| shared.own());
            let threads: Vec<_> = (0..copies() * 3).map(|_| own()).collect();
            threads.into_iter().map(|thread| address(&thread.join().unwrap())).collect()
        });
        all.sort_unstable();
        all.dedup();
        assert!(all.len() <= copies(), "{} copies", all.len());
    }

    #[test]
    fn a_change_reaches_every_later_copy() {
        let mut shared = PerThread::new("old".to_owned());
        assert_eq!(*shared.own(), "old");
        *shared.make_mut() = "new".to_owned();
        assert_eq!((&**shared, &**shared.own()), ("new", "new"));
    }

    #[test]
    fn the_clones_of_a_service_share_one_copy_in_each_thread_and_outlive_it() {
        let original = ServiceSettings::Original(Arc::new(PerThread::new("value".to_owned())));
        let address = |settings: &ServiceSettings<String>| std::ptr::from_ref(&**settings).addr();
        let (one, other) = (original.clone(), original.clone());
        assert_eq!(address(&one), address(&other));
        assert_eq!(address(&one), address(&one.clone()));
        let another = elsewhere(|| original.clone(), |own| address(own) != address(&one));
        drop((original, one));
        assert_eq!((&**other, &**another), ("value", "value"));
    }
}
