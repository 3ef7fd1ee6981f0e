//! Whether the keys of the issuers are at hand, and the stores in order.

use super::Guard;
use crate::answer::Answer;
use crate::keys::{Issuer, KeyState, KeyStatus, Readiness};
use crate::replay::{ReplayStore, StoreStatus};

/// # Readiness
impl Guard {
    /// Fetches the keys of every issuer that has none yet, prepares the replay stores, and returns the state of all of
    /// them.
    ///
    /// Call it when a service starts. It returns once each attempt has ended: to fetch keys, after 25 seconds at most,
    /// and to reach a store in Redis, after its timeout. It returns at once if there is nothing to wait for, also
    /// between two attempts to reach an issuer that is down. An issuer
    /// or a store that is down is no reason not to start. A store that is
    /// [`Misconfigured`](crate::replay::StoreStatus::Misconfigured) is one.
    ///
    /// With keys that are fetched, call it in the Tokio runtime that will serve the requests. If that has no timer, the
    /// last error of the issuer's [`KeyStatus`](crate::keys::KeyStatus) says so. In a program that is built with
    /// `panic = "abort"` the process ends instead, here and not at the first forged token.
    ///
    /// A store in Redis begins to remember here, if it has not begun yet. Stores that were ready are not asked again.
    ///
    /// Issuers of tenants ([`Issuer::tenants`]) are left out: which tenants there are is known only from their tokens.
    pub fn ready(&self) -> Answer<'_, Readiness> {
        let stores = self.stores().filter(|(_, store)| store.status() != StoreStatus::Ready);
        let attempts = stores.map(|(_, store)| store.warm_up());
        let attempts: Vec<_> =
            attempts.filter(|attempt| matches!(attempt, Answer::Later(_))).collect();
        let readiness = self.readiness();
        if attempts.is_empty() && readiness.has_keys() {
            return Answer::Now(readiness);
        }
        Answer::later(async move {
            // All fetches start before one is awaited.
            let fetches: Vec<_> = self.issuers().map(Issuer::warm_up).collect();
            for attempt in attempts.into_iter().chain(fetches) {
                attempt.await;
            }
            self.readiness()
        })
    }

    /// Returns the state of the keys of every issuer and of the replay stores, for a readiness probe.
    ///
    /// It never waits. Inside a Tokio runtime it begins to fetch keys that were never fetched, so that a probe is ready
    /// some time later without a call of [`ready`](Self::ready). Outside of one it fetches nothing. It does not fetch
    /// more often than the issuer's keys fetch by themselves.
    ///
    /// A store in Redis is as it was when [`ready`](Self::ready) last asked it.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let is_missing = |status: KeyStatus| status.state == KeyState::Missing;
        for issuer in self.issuers().filter(|issuer| issuer.key_status().is_some_and(is_missing)) {
            drop(issuer.warm_up());
        }
        let status = |issuer: &Issuer| Some((issuer.name().to_owned(), issuer.key_status()?));
        let stores = self.stores().map(|(name, store)| (name, store.status()));
        Readiness::new(self.issuers().filter_map(status).collect(), stores.collect())
    }

    /// The stores, each with what it remembers.
    fn stores(&self) -> impl Iterator<Item = (&'static str, &dyn ReplayStore)> {
        let proofs = self.inner.proof_store.iter().map(|store| ("proofs", &**store));
        proofs.chain(self.inner.spent_store.iter().map(|store| ("spent tokens", &**store)))
    }
}
