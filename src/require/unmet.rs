//! What a token lacks.

use std::fmt;
use std::time::Duration;

use super::lists::join;
use crate::detail::{DetailProblem, Remediation};
use crate::names::{Acr, Scope};
use crate::reason::Reason;

/// The error of [`Require::check`](crate::Require::check): what a token lacks, and what a challenge asks for.
///
/// Turn it into a [`Denial`](crate::Denial), which has the challenge, with `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    first: Reason,
    /// All reasons, with `first` in front.
    reasons: Vec<Reason>,
    pub(crate) acr_values: Vec<Acr>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) scopes: Vec<Scope>,
    pub(crate) details: Option<Box<UnmetDetails>>,
}

/// More about the authorization details that a token lacks or that were not asked for rightly, or about another reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UnmetDetails {
    /// What a new grant must contain.
    pub(crate) remediation: Option<Remediation>,
    /// For the operator.
    pub(crate) problem: String,
}

impl Unmet {
    /// For a single reason, without a challenge for authentication, scopes or details.
    pub(super) fn new(reason: Reason) -> Self {
        Unmet {
            first: reason,
            reasons: vec![reason],
            acr_values: Vec::new(),
            max_age: None,
            scopes: Vec::new(),
            details: None,
        }
    }

    /// For several reasons. `None` if there are none.
    pub(super) fn from_reasons(reasons: Vec<Reason>) -> Option<Self> {
        let first = *reasons.first()?;
        Some(Unmet { reasons, ..Unmet::new(first) })
    }

    /// For another authentication of the subject, or a more recent one, as a resource behind this one asks for.
    #[cfg(feature = "remote")]
    pub(crate) fn step_up(acr_values: Vec<Acr>, max_age: Option<Duration>) -> Self {
        let reason = match acr_values.is_empty() && max_age.is_some() {
            true => Reason::AuthenticationTooOld,
            false => Reason::AuthenticationLevelInsufficient,
        };
        Unmet { acr_values, max_age, ..Unmet::new(reason) }
    }

    /// True if details are lacking and no remediation is offered: the token is that of a transaction.
    pub(crate) fn is_final(&self) -> bool {
        let remediation = self.details.as_ref().and_then(|details| details.remediation.as_ref());
        self.first == Reason::AuthorizationDetailsInsufficient && remediation.is_none()
    }

    pub(super) fn with_details(
        mut self,
        problem: &DetailProblem,
        remediation: Option<Remediation>,
    ) -> Self {
        let problem = problem.to_string();
        self.details = Some(Box::new(UnmetDetails { remediation, problem }));
        self
    }

    /// With more about the reason for the operator.
    pub(super) fn with_problem(mut self, problem: String) -> Self {
        self.details = Some(Box::new(UnmetDetails { remediation: None, problem }));
        self
    }

    /// Returns the reason: the first check that failed.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.first
    }

    /// Returns everything that is lacking, in the order of the checks. The first is [`reason`](Self::reason).
    #[must_use]
    pub fn reasons(&self) -> &[Reason] {
        &self.reasons
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&join(&self.reasons, ", "))
    }
}

impl std::error::Error for Unmet {}
