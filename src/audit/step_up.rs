//! What a human had to do with a decision.

/// Whether a decision asked a human for more, or rests on what a human did.
///
/// [`AuditEvent::step_up`](crate::AuditEvent::step_up) returns it for a stronger or more recent login
/// ([RFC 9470](https://www.rfc-editor.org/rfc/rfc9470)), and [`AuditEvent::approval`](crate::AuditEvent::approval) for
/// an [approval](crate::approvals) of this one operation. A high-risk operation that is allowed with
/// [`NotRequired`](Self::NotRequired) for both was carried out without a human.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StepUp {
    /// The operation does not require it, or the request was denied for another reason.
    NotRequired,
    /// The request was denied for lack of it, and the client was told so.
    Asked,
    /// The operation requires it, the token satisfies it, and the request was allowed.
    Met,
}

impl StepUp {
    /// Returns the name in the record: `not_required`, `asked` or `met`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            StepUp::NotRequired => "not_required",
            StepUp::Asked => "asked",
            StepUp::Met => "met",
        }
    }
}
