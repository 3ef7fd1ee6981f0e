//! What the layers of a guard stand for, as long as there are such layers.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::audit::ListedOperation;

/// What stands in the list of a guard. It does not keep anything there.
#[derive(Default)]
pub(super) struct Listings {
    listed: Mutex<Vec<Weak<Listed>>>,
}

/// What one layer stands for.
pub(crate) enum Listed {
    Operations(Vec<ListedOperation>),
    UnnamedLayer,
}

/// Keeps operations in the list of a guard until it, and every clone of it, is dropped.
#[derive(Clone)]
pub(crate) struct Listing {
    _listed: Arc<Listed>,
}

impl Listings {
    fn add(&self, listed: &Arc<Listed>) {
        let mut all = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        // So layers that are made and dropped again do not make it grow.
        if all.len() == all.capacity() {
            all.retain(|listed| listed.strong_count() > 0);
        }
        all.push(Arc::downgrade(listed));
    }

    pub(super) fn all(&self) -> Vec<Arc<Listed>> {
        let all = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter_map(Weak::upgrade).collect()
    }
}

impl Listing {
    /// Puts this into the list of each guard.
    pub(super) fn new<'g>(listed: Listed, guards: impl IntoIterator<Item = &'g Listings>) -> Self {
        let listed = Arc::new(listed);
        guards.into_iter().for_each(|listings| listings.add(&listed));
        Listing { _listed: listed }
    }
}
