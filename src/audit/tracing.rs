//! The record as `tracing` events.

use tracing::field::display;

use super::{Audit, AuditEvent};
use crate::printable::Printable;

/// Writes one `tracing` event a decision, at the target `unconfused::audit`: level INFO where it
/// was allowed, WARN where it was denied.
///
/// Fields are those of [`AuditEvent`]. Text from outside is escaped and cut before it becomes a field.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct TracingAudit;

impl TracingAudit {
    /// The sink.
    #[must_use]
    pub const fn new() -> Self {
        TracingAudit
    }
}

macro_rules! event {
    ($level:ident, $event:ident, $message:literal) => {{
        let list = |items: Vec<String>| (!items.is_empty()).then(|| display(items.join(" ")));
        tracing::event!(
            target: "unconfused::audit",
            tracing::Level::$level,
            decision = %$event.decision(),
            step = $event.step(),
            at = $event.at().unix_timestamp(),
            operation = %Printable::from(&*$event.operation().to_string()),
            reason = $event.reason().map(|reason| reason.name()),
            status = $event.status().map(|status| status.as_u16()),
            issuer = $event.issuer().map(display),
            subject = $event.subject().map(display),
            actor = $event.actor().map(display),
            actor_issuer = $event.actor_issuer().map(display),
            actor_source = $event.actor_source().map(|source| source.name()),
            prior_actors = list($event.prior_actors().map(|(_, name)| name.to_string()).collect()),
            client = $event.client().map(display),
            jti = $event.jti().map(display),
            audience = $event.audience().map(display),
            scopes = list($event.scopes().map(|scope| scope.to_string()).collect()),
            acr = $event.acr().map(display),
            authentication_age = $event.authentication_age().map(|age| age.as_secs()),
            requirement = $event.requirement().map(|r| display(Printable::from(&*r.to_string()).to_string())),
            step_up = $event.step_up().name(),
            possession = $event.possession(),
            query_token = $event.query_token(),
            $message
        );
    }};
}

impl Audit for TracingAudit {
    fn record(&self, event: &AuditEvent<'_>) {
        if event.allowed() {
            event!(INFO, event, "allowed");
        } else {
            event!(WARN, event, "denied");
        }
    }
}
