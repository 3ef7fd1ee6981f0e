//! The sink.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::report::SignalsReport;
use super::tally::{ACTORS, DECISIONS, OPERATIONS, SUBJECTS, Tally};
use crate::audit::event::AuditEvent;
use crate::audit::operations::Operations;
use crate::audit::sink::Audit;

/// A sink that counts what shows whether the guard is at work: the **three signals**.
///
/// - Tokens are validated for their audience.
/// - Dangerous operations require step-up, or an approval.
/// - The record shows which agent acted for which subject.
///
/// Add it to the guard, keep a clone of the `Arc`, and ask for a [`report`](Self::report) at any time: as text, or as a
/// page for a browser. [The guide](crate::guide::three_signals) says how to read it.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use std::sync::Arc;
/// use unconfused::audit::Signals;
/// use unconfused::{Audience, Guard, Scope};
/// # use unconfused::testing::TestIssuer;
///
/// const ORDERS: Audience = Audience::from_static("https://orders.example");
/// const READ: Scope = Scope::from_static("orders:read");
/// # let login = TestIssuer::new("https://login.example");
/// # let issuer = login.issuer();
///
/// let signals = Arc::new(Signals::new());
/// let guard = Guard::new(ORDERS, issuer).audit(signals.clone());
///
/// login.token(&ORDERS).subject("alice").actor("agent-7").scope("orders:read").granted_by(&guard, READ);
///
/// let report = signals.report(&guard.operations());
/// assert_eq!((report.allowed, report.allowed_with_audience), (1, 1));
/// assert!(report.to_string().contains(r#""agent-7" of "https://login.example""#));
/// assert!(report.to_html().starts_with("<!DOCTYPE html>"));
/// # }
/// ```
///
/// # Limits
///
/// It counts since it was made, in memory, and for this process alone. A record that must last belongs to another sink.
///
/// | what | limit | beyond it |
/// |---|---|---|
/// | operations | [`OPERATIONS`](Self::OPERATIONS), 500 | counted together |
/// | actors | [`ACTORS`](Self::ACTORS), 100 | counted together |
/// | subjects of one actor | [`SUBJECTS`](Self::SUBJECTS), 50 | counted together |
/// | decisions whose later steps are still recognized | [`DECISIONS`](Self::DECISIONS), the last 1,024 | a later step counts as a request of its own |
/// | characters of a name that are kept and compared | 257 | names that begin alike are one |
///
/// So it holds some kilobytes in an ordinary service, and at most about 25 MiB if every name is as long as it can be, in
/// characters of four bytes.
///
/// An operation without a name is known by the path of its request, which the client chooses. It has a row of its own
/// once a request for it had a valid token. Before that, it is counted with those beyond the limit. A subject or an
/// actor is counted once the signature of its token was verified.
///
/// Each event is counted under one lock, which is held for a few lookups. A row that exists is found without an
/// allocation.
#[derive(Default)]
pub struct Signals {
    tally: Mutex<Tally>,
}

impl Signals {
    /// How many operations are counted apart.
    pub const OPERATIONS: usize = OPERATIONS;
    /// How many actors are counted apart.
    pub const ACTORS: usize = ACTORS;
    /// How many subjects of each actor are counted apart.
    pub const SUBJECTS: usize = SUBJECTS;
    /// How many decisions a later step can still change.
    pub const DECISIONS: usize = DECISIONS;

    /// Creates a sink that has counted nothing.
    #[must_use]
    pub fn new() -> Self {
        Signals::default()
    }

    /// Returns what was counted until now, beside the operations that are known.
    ///
    /// Get them from [`Guard::operations`](crate::Guard::operations). If several guards share this sink, add their
    /// operations up with [`Operations::and`].
    #[must_use]
    pub fn report(&self, known: &Operations) -> SignalsReport {
        // Requests do not wait while the report is made.
        let tally = self.lock_tally().clone();
        SignalsReport::new(&tally, known)
    }

    fn lock_tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Audit for Signals {
    fn record(&self, event: &AuditEvent<'_>) {
        self.lock_tally().count(event);
    }
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("requests", &self.lock_tally().outcomes.all())
            .finish_non_exhaustive()
    }
}
