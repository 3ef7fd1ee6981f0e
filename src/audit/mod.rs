//! The record: one event a decision, allowed or denied.

pub(crate) mod event;
pub(crate) mod sink;
#[cfg(feature = "tracing")]
mod tracing;

#[cfg(feature = "tracing")]
#[cfg_attr(docsrs, doc(cfg(feature = "tracing")))]
pub use self::tracing::TracingAudit;
pub use event::StepUp;
pub(crate) use event::{AuditEvent, Said};
pub(crate) use sink::Audit;

pub use crate::evidence::{DecisionId, Evidence, Operation};
pub use crate::printable::Printable;
