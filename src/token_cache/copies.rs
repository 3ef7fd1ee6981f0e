//! Copies of cached tokens, which one thread uses.
//!
//! If several cores serve the same token, each of them would count its references at the same place, and take the lock
//! of the same shard. A thread that is sent a token again and again has a copy of its own instead. A copy is asked for
//! its text, its end and its keys like the entry that it was made of.

use std::sync::Mutex;

use crate::jose::Digest;
use crate::per_thread::{copies, own_copy};

/// The most copies of one thread.
const MAX_COPIES: usize = 64;

pub(super) struct Copies<T> {
    of_threads: Box<[OfThread<T>]>,
}

/// Far enough from each other that two threads never write to one cache line.
#[repr(align(128))]
struct OfThread<T>(Mutex<Box<[Place<T>]>>);

/// Where a token is copied to. Tokens that have the same place take turns.
struct Place<T> {
    copy: Option<(Digest, T)>,
    /// The token that was served last, if it was served without a copy.
    served: Option<Digest>,
}

impl<T: Clone> Copies<T> {
    /// Makes room for at most this many copies.
    pub(super) fn new(most: usize) -> Self {
        let most = most.checked_div(copies()).unwrap_or(0).min(MAX_COPIES);
        let place = || Place { copy: None, served: None };
        let places = || OfThread(Mutex::new((0..most).map(|_| place()).collect()));
        Copies { of_threads: (0..copies()).map(|_| places()).collect() }
    }

    /// Returns the copy of this thread.
    pub(super) fn get(&self, token: Digest) -> Option<T> {
        let copy = |place: &mut Place<T>| {
            let (_, copy) = place.copy.as_ref().filter(|(copied, _)| *copied == token)?;
            place.served = None;
            Some(copy.clone())
        };
        self.in_place(token, copy).flatten()
    }

    /// Notes that a token was served without a copy. Returns true if it is worth one: the second time in a row.
    pub(super) fn is_due(&self, token: Digest) -> bool {
        let is_due = |place: &mut Place<T>| place.served.replace(token) == Some(token);
        self.in_place(token, is_due).unwrap_or(false)
    }

    /// Keeps a copy for this thread. What it has at the same place is dropped.
    pub(super) fn keep(&self, token: Digest, copy: T) {
        self.in_place(token, |place| place.copy = Some((token, copy)));
    }

    /// Removes the copy of this thread if it is stale, and returns whether it was.
    pub(super) fn remove_if(&self, token: Digest, is_stale: impl Fn(&T) -> bool) -> bool {
        let remove = |place: &mut Place<T>| {
            place.served = None;
            place.copy.take_if(|(copied, copy)| *copied == token && is_stale(copy)).is_some()
        };
        self.in_place(token, remove).unwrap_or(false)
    }

    /// Does something at the place of this token, unless there is none, or another thread is there.
    fn in_place<R>(&self, token: Digest, act: impl FnOnce(&mut Place<T>) -> R) -> Option<R> {
        let OfThread(places) = own_copy(&self.of_threads)?;
        let mut places = places.try_lock().ok()?;
        let at = token.bucket(places.len())?;
        places.get_mut(at).map(act)
    }

    /// All copies.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<T> {
        let places = self.of_threads.iter().map(|OfThread(places)| places.lock().unwrap());
        let copies = |places: &[Place<T>]| -> Vec<T> {
            places.iter().filter_map(|place| Some(place.copy.as_ref()?.1.clone())).collect()
        };
        places.flat_map(|places| copies(&places)).collect()
    }
}
