//! Why details do not count.

use std::fmt;

use crate::printable::Printable;
use crate::reason::Reason;

/// The error of comparing authorization details, with the reason that a guard denies a request for.
///
/// The message is for the operator. It names the type, and the member if the problem is in what is asked; it never
/// repeats a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetailProblem {
    reason: Reason,
    message: String,
}

impl DetailProblem {
    /// The claim does not have its shape.
    pub(super) fn malformed_claim() -> Self {
        let message =
            "not an array of objects that each have a string `type`, without repeated members"
                .to_owned();
        DetailProblem { reason: Reason::AuthorizationDetailsInvalid, message }
    }

    /// No entry covers the detail.
    pub(crate) fn not_covered(type_name: &str) -> Self {
        let message = format!("no entry of the type {:?} covers it", Printable::from(type_name));
        DetailProblem { reason: Reason::AuthorizationDetailsInsufficient, message }
    }

    /// No entry is equal to the detail.
    pub(super) fn not_exactly(type_name: &str) -> Self {
        let name = Printable::from(type_name);
        let message = format!("no entry of the type {name:?} is exactly what is asked");
        DetailProblem { reason: Reason::AuthorizationDetailsInsufficient, message }
    }

    /// More is granted than is asked.
    pub(super) fn more_than_asked() -> Self {
        let message = "an entry grants something else than what is asked".to_owned();
        DetailProblem { reason: Reason::AuthorizationDetailsInsufficient, message }
    }

    /// Nothing here can check that it was approved.
    pub(crate) fn not_approvable(type_name: &str) -> Self {
        DetailProblem::undefined(
            type_name,
            "it must be approved, and nothing checks that: call `Guard::approvals` and `Guard::replay`",
        )
    }

    /// The token of an approved transaction has exactly the details that are asked for, and none is of this type.
    pub(crate) fn not_in_approval(type_name: &str) -> Self {
        let problem = "an approval is asked for, and no token of one has a detail of this type: state the detail";
        DetailProblem::undefined(type_name, problem)
    }

    /// What a challenge would ask for does not fit.
    pub(crate) fn too_large() -> Self {
        let message = "the details are too large for a challenge".to_owned();
        DetailProblem { reason: Reason::InternalError, message }
    }

    /// The detail, or its type, is not as it was defined.
    pub(super) fn undefined(type_name: &str, problem: impl fmt::Display) -> Self {
        let message = format!("the detail {:?}: {problem}", Printable::from(type_name));
        DetailProblem { reason: Reason::InternalError, message }
    }

    /// A value of the request does not have the form that its member asks for.
    pub(super) fn malformed_value(type_name: &str, problem: impl fmt::Display) -> Self {
        DetailProblem {
            reason: Reason::PolicyInputInvalid,
            ..DetailProblem::undefined(type_name, problem)
        }
    }

    /// Returns the reason:
    ///
    /// - [`Reason::AuthorizationDetailsInvalid`] if the claim does not have its shape;
    /// - [`Reason::AuthorizationDetailsInsufficient`] if no entry covers the detail;
    /// - [`Reason::PolicyInputInvalid`] if a value of the detail does not have the form that its member asks for;
    /// - [`Reason::InternalError`] if the detail is of an unknown type, lacks a member of its type, or has others.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }
}

impl fmt::Display for DetailProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DetailProblem {}
