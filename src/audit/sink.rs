//! The sink that the audit record is written to.

use std::sync::Arc;

use super::event::AuditEvent;

/// Writes the audit record.
///
/// Closures ([`audit_fn`](crate::audit::audit_fn)) and `Arc`s of sinks implement it. [`Guard::audit`](crate::Guard::audit) adds a sink to a guard.
///
/// [`record`](Self::record) is called for every decision while the request waits, so it must be quick. It cannot fail:
/// a sink that must not lose an event puts it into a durable queue.
///
/// ```
/// use unconfused::{Audit, AuditEvent};
///
/// let sink = |event: &AuditEvent<'_>| println!("{event}");
///
/// /// Counts the requests that were denied.
/// #[derive(Default)]
/// struct Denied(std::sync::atomic::AtomicU64);
///
/// impl Audit for Denied {
///     fn record(&self, event: &AuditEvent<'_>) {
///         if !event.allowed() {
///             self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
///         }
///     }
/// }
/// # fn is_sink(_: impl Audit) {}
/// # is_sink(sink);
/// # is_sink(Denied::default());
/// ```
pub trait Audit: Send + Sync + 'static {
    /// Writes one event.
    fn record(&self, event: &AuditEvent<'_>);

    /// Returns true if the sink reads [`AuditEvent::took`]. Then the guard reads a stopwatch at the beginning and at the
    /// end of each step. Defaults to false.
    ///
    /// A guard asks once, when the sink is added to it.
    fn wants_time(&self) -> bool {
        false
    }
}

impl<F: Fn(&AuditEvent<'_>) + Send + Sync + ?Sized + 'static> Audit for F {
    fn record(&self, event: &AuditEvent<'_>) {
        self(event);
    }
}

/// Returns the closure as it is, and gives it the signature that makes it an [`Audit`].
///
/// So its argument needs no type:
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::audit::audit_fn;
/// use unconfused::{Audience, Guard};
/// # use unconfused::testing::TestIssuer;
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer)
///     .audit(audit_fn(|event| println!("{event}")));
/// # }
/// ```
pub fn audit_fn<F>(record: F) -> F
where
    F: Fn(&AuditEvent<'_>) + Send + Sync + 'static,
{
    record
}

impl<A: Audit + ?Sized> Audit for Arc<A> {
    fn record(&self, event: &AuditEvent<'_>) {
        (**self).record(event);
    }

    fn wants_time(&self) -> bool {
        (**self).wants_time()
    }
}
