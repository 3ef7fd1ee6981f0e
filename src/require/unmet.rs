//! What a token lacks.

use std::fmt;
use std::time::Duration;

use super::join;
use crate::names::{Acr, Scope};
use crate::reason::Reason;

/// What a token lacks of a requirement: the reasons, and what a challenge asks for.
///
/// Made into a [`Denial`](crate::Denial), which has the challenge, with `from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unmet {
    /// Never empty once handed out.
    pub(super) reasons: Vec<Reason>,
    pub(crate) acr_values: Vec<Acr>,
    pub(crate) max_age: Option<Duration>,
    pub(crate) scopes: Vec<Scope>,
}

impl Unmet {
    pub(super) fn of(reasons: Vec<Reason>) -> Self {
        Unmet { reasons, acr_values: Vec::new(), max_age: None, scopes: Vec::new() }
    }

    /// The first check that failed.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reasons.first().copied().unwrap_or(Reason::InternalError)
    }

    /// All that is lacking, in the order of the checks.
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
