//! Why a transaction cannot be asked for, or is not accepted.

use std::fmt;

use crate::detail::DetailProblem;
use crate::reason::Reason;

/// The error of [`Approvals::challenge`](super::Approvals::challenge) and
/// [`Approvals::recognize`](super::Approvals::recognize), with the reason that a guard denies a request for.
///
/// The message is for the operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalProblem {
    reason: Reason,
    message: String,
}

impl ApprovalProblem {
    /// The `txn` of a token is not one that was made for this request.
    pub(super) fn unknown(message: &str) -> Self {
        ApprovalProblem { reason: Reason::TransactionUnknown, message: message.to_owned() }
    }

    /// A mistake of set-up, or something that the system lacks.
    pub(super) fn internal(message: impl Into<String>) -> Self {
        ApprovalProblem { reason: Reason::InternalError, message: message.into() }
    }

    /// The owner's rule says that this requester cannot be asked for.
    pub(super) fn not_offered() -> Self {
        let message = "the server has no name for this requester".to_owned();
        ApprovalProblem { reason: Reason::TransactionAuthorizationRequired, message }
    }

    /// Returns the reason:
    ///
    /// - [`Reason::AuthorizationDetailsInsufficient`] if the token's details are not exactly those that are asked for;
    /// - [`Reason::PolicyInputInvalid`] if a value of a detail does not have the form that its member asks for;
    /// - [`Reason::TransactionUnknown`] if the token's `txn` was not made for this request, or is over;
    /// - [`Reason::TransactionAuthorizationRequired`] if the server has no name for this requester;
    /// - [`Reason::InternalError`] for a mistake of set-up, and for a challenge that is too large.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl From<DetailProblem> for ApprovalProblem {
    fn from(problem: DetailProblem) -> Self {
        ApprovalProblem { reason: problem.reason(), message: problem.to_string() }
    }
}

impl fmt::Display for ApprovalProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApprovalProblem {}
