//! Where the record is written.

use std::sync::Arc;

use super::event::AuditEvent;

/// Writes the record.
///
/// A closure is one, and so is an `Arc` of one. [`record`](Self::record) is called for every decision, on
/// the request's path, and cannot fail: a sink that must not lose an event queues it somewhere durable.
///
/// ```
/// use unconfused::AuditEvent;
///
/// let sink = |event: &AuditEvent<'_>| println!("{event}");
/// ```
pub trait Audit: Send + Sync + 'static {
    /// Writes one event.
    fn record(&self, event: &AuditEvent<'_>);
}

impl<F: Fn(&AuditEvent<'_>) + Send + Sync + ?Sized + 'static> Audit for F {
    fn record(&self, event: &AuditEvent<'_>) {
        self(event);
    }
}

impl<A: Audit + ?Sized> Audit for Arc<A> {
    fn record(&self, event: &AuditEvent<'_>) {
        (**self).record(event);
    }
}
