//! What becomes a denial: a reason, and the errors of the plain functions.

use super::definition::Denial;
use crate::challenge::Challenge;
use crate::reason::Reason;
use crate::require::Unmet;
use crate::token::{InvalidToken, WrongClaimType};

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        let denial = Denial::new(reason, Challenge::for_reason(reason));
        match reason {
            // It takes a signed challenge, which only a guard can add.
            Reason::TransactionAuthorizationRequired => denial.without_challenge(),
            _ => denial,
        }
    }
}

impl From<&InvalidToken> for Denial {
    fn from(invalid: &InvalidToken) -> Self {
        Denial::from(invalid.reason()).with_explanation(invalid.explanation().clone())
    }
}

impl From<InvalidToken> for Denial {
    fn from(invalid: InvalidToken) -> Self {
        let (reason, explanation, _) = invalid.into_parts();
        Denial::from(reason).with_explanation(explanation)
    }
}

/// A claim of another type or a missing one, refused as the guard refuses its own claims. See [`WrongClaimType`].
impl From<WrongClaimType> for Denial {
    fn from(wrong: WrongClaimType) -> Self {
        Denial::from(wrong.reason()).with_detail(wrong.to_string())
    }
}

impl From<Unmet> for Denial {
    fn from(unmet: Unmet) -> Self {
        Denial::from(&unmet)
    }
}

impl From<&Unmet> for Denial {
    fn from(unmet: &Unmet) -> Self {
        let mut denial = match unmet.reason() {
            Reason::TransactionAuthorizationRequired => Denial::from(unmet.reason()),
            reason => Denial::new(reason, Challenge::for_unmet(unmet)),
        };
        if unmet.is_final() {
            denial = denial.without_challenge();
        }
        denial = denial.with_other_reasons(unmet.reasons().get(1..).unwrap_or_default());
        match &unmet.details {
            Some(details) => denial.with_detail(details.problem.clone()),
            None => denial,
        }
    }
}
