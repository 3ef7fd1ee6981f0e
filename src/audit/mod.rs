//! The audit record: one event for each decision, allowed or denied.
//!
//! A guard keeps no record until it is given a sink with [`Guard::audit`](crate::Guard::audit). A sink implements
//! [`Audit`]: a closure does, and so do [`JsonLines`], `TracingAudit` (feature `tracing`) and `MetricsAudit` (feature
//! `metrics`). It receives an
//! [`AuditEvent`] that says which actor asked for what, on behalf of which subject, and with which
//! result.
//!
//! [What is recorded](crate::guide::what_is_recorded) shows a line and says which sink is for what.
//!
//! [`Signals`] is a sink that counts what shows whether the guard is at work, beside the [`Operations`] that it knows:
//! [the guide](crate::guide::three_signals) has the page that comes of it.
//!
//! # What has no record
//!
//! - A request without credentials that [`Guard::optional`](crate::Guard::optional) lets pass.
//! - A request that no guard sees, and the 500 of an extractor that finds no grant. With the feature `tracing`, that
//!   500 is an event of the level ERROR and the target `unconfused`.
//! - A request whose key source, store or sink panics, or the closure that computes its requirement: the panic goes on to the server, which closes the
//!   connection or answers 500. Nothing is granted. Put a layer that catches panics outside the guard, and let it log.
//! - A claim that a handler reads and that does not fit ([`WrongClaimType`](crate::error::WrongClaimType)): the record
//!   says that the guard allowed the request, and the handler answers 401. If it has to be on record, call
//!   [`Guard::refuse_for`](crate::Guard::refuse_for).
//! - A request whose client goes away while it waits for keys, a policy or a store.
//!
//! # Writing a sink
//!
//! You need this module to write a sink of your own. Its types are what an event is made of: the [`Operation`] that was
//! asked for, the [`DecisionId`] that joins the steps of one request, and [`Printable`] for text from outside, which
//! cannot forge a line of a log.
//!
//! ```
//! # #[cfg(feature = "testing")] {
//! use std::sync::mpsc;
//! use unconfused::{Audience, AuditEvent, Guard, Scope};
//! # use unconfused::testing::TestIssuer;
//! # let issuer = TestIssuer::new("https://login.example").issuer();
//!
//! let (events, log) = mpsc::channel();
//! let guard = Guard::new(Audience::from_static("https://orders.example"), issuer)
//!     .audit(move |event: &AuditEvent<'_>| drop(events.send(event.to_string())));
//!
//! // A request without a token is denied, and recorded.
//! let (mut head, ()) = http::Request::get("/orders").body(()).unwrap().into_parts();
//! let answer = guard.authorize(&mut head, Scope::from_static("orders:read")).now().unwrap();
//! assert!(answer.is_err());
//! let line = log.recv().unwrap();
//! assert!(line.starts_with(r#"denied operation="GET /orders" reason=missing_credentials status=401"#));
//! # }
//! ```

pub(crate) mod event;
mod lines;
#[cfg(feature = "metrics")]
mod metrics;
mod ocsf;
mod operations;
mod queue;
mod signals;
pub(crate) mod sink;
mod step_up;
mod stream;
#[cfg(feature = "tracing")]
mod tracing;
mod written;

#[cfg(feature = "metrics")]
#[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
pub use self::metrics::MetricsAudit;
#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use self::tracing::TracingAudit;
pub use event::HopStep;
pub(crate) use event::{AuditEvent, KnownClaims};
pub use lines::JsonLines;
pub(crate) use operations::{Asked, Known, KnownIssuer};
pub use operations::{Finding, FindingKind, ListedOperation, Operations};
pub use signals::{ActorName, ActorSignals, OperationSignals, Signals, SignalsReport};
pub(crate) use sink::Audit;
pub use sink::audit_fn;
pub use step_up::StepUp;

pub use crate::evidence::{DecisionId, Evidence, Operation, TokenSource, TraceParent};
pub use crate::printable::Printable;
