//! The authorization details of a requirement, compared with those of a token.

use std::collections::BTreeSet;

use super::requirement::Require;
use super::token_role::TokenRole;
use crate::detail::{Consent, Detail, DetailProblem, DetailTypes, Remediation};
use crate::reason::Reason;
use crate::token::AccessToken;

/// What a token lacks in authorization details: something, since there is a reason.
pub(super) struct LackingDetails {
    pub(super) reasons: Vec<Reason>,
    pub(super) remediation: Option<Remediation>,
    /// The first problem, for the operator.
    pub(super) problem: DetailProblem,
}

/// How the details of a token compare with those that are asked for.
pub(super) enum ComparedDetails {
    Met,
    /// Nothing but an approval is lacking.
    NotApproved,
    Lacking(LackingDetails),
}

impl Require {
    /// Checks that the details that are asked for are of these types, and have the members and the form that they
    /// define.
    pub(crate) fn check_definitions(
        &self,
        types: Option<&DetailTypes>,
    ) -> Result<(), DetailProblem> {
        let types = types.unwrap_or(DetailTypes::NONE);
        for detail in &self.details {
            types.comparable(detail)?;
        }
        self.detail_types.iter().try_for_each(|name| types.defined(name).map(drop))?;
        match self.details.iter().any(|detail| detail.consent() == Consent::Approved) {
            true => self.check_that_approval_helps(),
            false => Ok(()),
        }
    }

    /// Checks that the token of an approved transaction can meet this. Otherwise a human would be asked in vain.
    fn check_that_approval_helps(&self) -> Result<(), DetailProblem> {
        let mut without_detail =
            self.detail_types.iter().filter(|name| !self.has_detail_of_type(name));
        without_detail.next().map_or(Ok(()), |name| Err(DetailProblem::not_in_approval(name)))
    }

    fn has_detail_of_type(&self, name: &str) -> bool {
        self.details.iter().any(|detail| detail.type_name() == name)
    }

    /// True if this asks for a detail that may be approved for one transaction.
    pub(crate) fn asks_for_approval(&self) -> bool {
        self.details.iter().any(|detail| detail.consent() != Consent::Granted)
    }

    /// True if a token that meets this is spent.
    pub(crate) fn spends(&self) -> bool {
        self.is_single_use() || self.asks_for_approval()
    }

    /// Checks that the token's details cover those that are asked for.
    ///
    /// The error is the owner's mistake, which no token can make good.
    pub(super) fn compare_details(
        &self,
        token: &AccessToken,
        role: TokenRole,
    ) -> Result<ComparedDetails, DetailProblem> {
        if self.details.is_empty() && self.detail_types.is_empty() {
            return Ok(ComparedDetails::Met);
        }
        let mut lacks_approval = false;
        let (types, granted) = (token.detail_types(), token.authorization_details());
        let mut problems = Vec::new();
        // What a challenge would ask for.
        let mut asked = BTreeSet::new();
        for detail in &self.details {
            let (consent, is_ordinary) = (detail.consent(), role.is_ordinary());
            if consent != Consent::Granted && role == TokenRole::Unknown {
                return Err(DetailProblem::not_approvable(detail.type_name()));
            }
            match types.comparable(detail) {
                // Only the token of a transaction meets it, whatever another one grants.
                Ok(_) if is_ordinary && consent == Consent::Approved => lacks_approval = true,
                Ok(comparable) => match granted.cover_comparable(&comparable) {
                    Err(_) if role.can_be_challenged() && consent != Consent::Granted => {
                        lacks_approval = true;
                    }
                    covered => {
                        problems.extend(covered.err());
                        asked.insert(comparable.detail().to_json());
                    }
                },
                Err(problem) if problem.reason() == Reason::InternalError => return Err(problem),
                Err(problem) => problems.push(problem),
            }
        }
        for name in &self.detail_types {
            types.defined(name)?;
            let is_granted = granted.of_type(name).next().is_some();
            problems.extend((!is_granted).then(|| DetailProblem::not_covered(name)));
            // A detail of the type says more.
            if !self.has_detail_of_type(name) {
                asked.insert(Detail::of(name).to_json());
            }
        }
        let reasons: Vec<_> = problems.iter().map(DetailProblem::reason).collect();
        let remediation = match reasons.contains(&Reason::AuthorizationDetailsInsufficient) {
            // A new grant does not make the token of another transaction.
            true if role != TokenRole::Transaction => {
                Some(Remediation::new(&asked, self.spends()).ok_or_else(DetailProblem::too_large)?)
            }
            _ => None,
        };
        Ok(match problems.into_iter().next() {
            Some(problem) => {
                ComparedDetails::Lacking(LackingDetails { reasons, remediation, problem })
            }
            None if lacks_approval => {
                self.check_that_approval_helps()?;
                ComparedDetails::NotApproved
            }
            None => ComparedDetails::Met,
        })
    }
}
