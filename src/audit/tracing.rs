//! The audit record as `tracing` events.

use std::fmt::Display;

use super::event::AuditEvent;
use super::sink::Audit;
use crate::printable::Printable;
use crate::reason::Reason;

/// A sink that writes one `tracing` event for each decision.
///
/// The target is `unconfused::audit`. The level is INFO if the request was allowed and WARN if it was denied. The
/// fields are those of the line that [`AuditEvent`] writes; text from outside is escaped and cut before it becomes a
/// field. `subject` is the name of the subject, in the namespace of `issuer`, and `actor` that of the actor, in the
/// namespace of `actor_issuer`.
///
/// A field of `tracing` cannot hold a list. `other_reasons`, `policies`, `scopes`, `spent`, `prior_actors` and `prior_actor_issuers` are
/// strings with a space between the items, and a space in an item is written as `\u{20}`. For arrays, write
/// [`AuditEvent::to_json`] with a sink of your own.
///
/// ```
/// # #[cfg(feature = "testing")] {
/// use unconfused::audit::TracingAudit;
/// use unconfused::{Audience, Guard};
/// # use unconfused::testing::TestIssuer;
/// # let issuer = TestIssuer::new("https://login.example").issuer();
///
/// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer).audit(TracingAudit);
/// # drop(guard);
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::exhaustive_structs, reason = "has no fields and needs none")]
pub struct TracingAudit;

impl TracingAudit {
    /// Returns a sink that also writes what was found in credentials that were **not verified**
    /// ([`AuditEvent::unverified`]), as a second event.
    ///
    /// The target of that event is `unconfused::unverified`, and the level is DEBUG. Its fields are `decision`, `step`,
    /// `reason` and `found`. Anyone can write such text into your log, and as often as they like, so turn it on to find
    /// out why a token is refused.
    ///
    /// ```
    /// # #[cfg(feature = "testing")] {
    /// use unconfused::audit::TracingAudit;
    /// use unconfused::{Audience, Guard};
    /// # use unconfused::testing::TestIssuer;
    /// # let issuer = TestIssuer::new("https://login.example").issuer();
    ///
    /// let sink = TracingAudit.with_unverified();
    /// let guard = Guard::new(Audience::from_static("https://orders.example"), issuer).audit(sink);
    /// # drop(guard);
    /// # }
    /// ```
    #[must_use]
    pub fn with_unverified(self) -> impl Audit {
        move |event: &AuditEvent<'_>| {
            self.record(event);
            if let Some(found) = event.unverified() {
                tracing::event!(
                    target: "unconfused::unverified",
                    tracing::Level::DEBUG,
                    decision = event.decision().to_string(),
                    step = event.step(),
                    reason = event.reason().map(Reason::as_str),
                    found,
                    "found in a credential that was not verified"
                );
            }
        }
    }
}

macro_rules! event {
    ($level:ident, $event:ident, $message:literal) => {{
        // Written as strings, so that subscribers that write text put quotes around them.
        let text = |text: Printable<'_>| text.to_string();
        tracing::event!(
            target: "unconfused::audit",
            tracing::Level::$level,
            operation = $event.operation().to_string(),
            method = text($event.operation().method().as_str().into()),
            path = text($event.operation().path()),
            resource_type = $event.operation().resource_type().map(|kind| text(kind.into())),
            resource_id = $event.operation().resource_id().map(|id| text(id.into())),
            tool = $event.operation().tool().map(text),
            reason = $event.reason().map(Reason::as_str),
            status = $event.status().map(|status| status.as_u16()),
            other_reasons = list($event.other_reasons().iter().map(|reason| reason.as_str())),
            detail = $event.detail().map(text),
            authorization_reference = $event.authorization_reference(),
            policies = list($event.policies()),
            other_authenticator = $event.other_authenticator(),
            subject = $event.subject_name().map(text),
            issuer = $event.issuer().map(text),
            actor = $event.actor().map(|actor| text(actor.name().into())),
            actor_issuer = $event.actor().map(|actor| text(actor.issuer().into())),
            actor_source = $event.actor().map(|actor| actor.source().as_str()),
            prior_actors = list($event.prior_actors().map(|actor| Printable::from(actor.name()))),
            prior_actor_issuers =
                list($event.prior_actors().map(|actor| Printable::from(actor.issuer()))),
            client = $event.client().map(text),
            jti = $event.jti().map(text),
            txn = $event.txn().map(text),
            audience = $event.audience().map(|audience| text(audience.as_str().into())),
            client_list_instead_of_audience =
                $event.client_list_instead_of_audience().then_some(true),
            tenant = $event.tenant().map(text),
            scopes = list($event.scopes()),
            acr = $event.acr().map(text),
            authentication_age = $event.authentication_age().map(|age| age.as_secs()),
            unreadable = list($event.unreadable()),
            requirement = text(Printable::from(&*$event.requirement().to_string())),
            step_up = $event.step_up().as_str(),
            approval = $event.approval().as_str(),
            spent = list($event.spent()),
            possession = $event.possession(),
            query_token = $event.query_token(),
            next_hop = $event.next_hop().map(|hop| text(hop.resource.into())),
            next_hop_server = $event.next_hop().map(|hop| text(hop.server.into())),
            next_hop_scopes = list($event.next_hop().into_iter().flat_map(|hop| hop.scopes)),
            next_hop_on_own_behalf =
                $event.next_hop().and_then(|hop| hop.on_own_behalf.then_some(true)),
            trace_id = $event.traceparent().map(|trace| trace.trace_id().to_string()),
            parent_id = $event.traceparent().map(|trace| trace.parent_id().to_string()),
            decision = $event.decision().to_string(),
            step = $event.step(),
            at = $event.at().unix_timestamp(),
            $message
        );
    }};
}

/// Writes the items with a space between them, and a space in an item as an escape. Returns nothing if there are none.
fn list(items: impl Iterator<Item = impl Display>) -> Option<String> {
    let items: Vec<_> = items.map(|item| item.to_string().replace(' ', r"\u{20}")).collect();
    (!items.is_empty()).then(|| items.join(" "))
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
