//! Whether the keys of the issuers are at hand.

use super::Guard;
use crate::answer::Answer;
use crate::keys::{Issuer, Readiness};

/// # Readiness
impl Guard {
    /// Fetches the keys of every issuer that has none yet, and returns the state of all issuers.
    ///
    /// Call it when a service starts. It returns once each fetch has ended, after 25 seconds at most, or at once if all
    /// keys are at hand. An issuer that is down is no reason not to start.
    ///
    /// Issuers of tenants ([`Issuer::tenants`]) are left out: which tenants there are is known only from their tokens.
    pub fn ready(&self) -> Answer<'_, Readiness> {
        let readiness = self.readiness();
        if readiness.is_ready() {
            return Answer::Now(readiness);
        }
        Answer::later(async move {
            // All fetches start before one is awaited.
            let fetches: Vec<_> = self.issuers().map(Issuer::warm_up).collect();
            for fetch in fetches {
                fetch.await;
            }
            self.readiness()
        })
    }

    /// Returns the state of the keys of every issuer, for a readiness probe.
    ///
    /// It fetches nothing and never waits.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        let status = |issuer: &Issuer| Some((issuer.name().to_owned(), issuer.key_status()?));
        Readiness::new(self.issuers().filter_map(status).collect())
    }
}
