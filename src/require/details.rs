//! The authorization details of a requirement, compared with those of a token.

use std::collections::BTreeSet;

use super::requirement::Require;
use super::token_role::TokenRole;
use crate::detail::{Consent, Detail, DetailProblem, DetailTypes, Remediation};
use crate::reason::Reason;
use crate::token::AccessToken;

/// What a token lacks in authorization details.
#[derive(Default)]
pub(super) struct LackingDetails {
    pub(super) reasons: Vec<Reason>,
    pub(super) remediation: Option<Remediation>,
    /// An approval is lacking.
    pub(super) approval: bool,
    /// The first problem, for the operator.
    pub(super) problem: Option<DetailProblem>,
}

impl LackingDetails {
    fn add(&mut self, problem: DetailProblem) {
        self.reasons.push(problem.reason());
        self.problem.get_or_insert(problem);
    }
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
        self.detail_types.iter().try_for_each(|name| types.defined(name).map(drop))
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
    pub(super) fn check_details(
        &self,
        token: &AccessToken,
        role: TokenRole,
    ) -> Result<LackingDetails, DetailProblem> {
        let mut lacking = LackingDetails::default();
        if self.details.is_empty() && self.detail_types.is_empty() {
            return Ok(lacking);
        }
        let (types, granted) = (token.detail_types(), token.authorization_details());
        let mut asked = BTreeSet::new();
        for detail in &self.details {
            if detail.consent() != Consent::Granted && role == TokenRole::Unknown {
                return Err(DetailProblem::not_approvable(detail.type_name()));
            }
            match types.comparable(detail) {
                // No token but that of a transaction meets it, whatever is granted.
                Ok(_) if role.is_ordinary() && detail.consent() == Consent::Approved => {
                    lacking.approval = true;
                }
                Ok(comparable) => match granted.cover_comparable(&comparable) {
                    Err(_) if role.can_be_challenged() && detail.consent() != Consent::Granted => {
                        lacking.approval = true;
                    }
                    covered => {
                        covered.unwrap_or_else(|problem| lacking.add(problem));
                        asked.insert(comparable.detail().to_json());
                    }
                },
                Err(problem) if problem.reason() == Reason::InternalError => return Err(problem),
                Err(problem) => lacking.add(problem),
            }
        }
        for name in &self.detail_types {
            types.defined(name)?;
            if granted.of_type(name).next().is_none() {
                lacking.add(DetailProblem::not_covered(name));
            }
            // A detail of the type says more.
            if !self.details.iter().any(|detail| detail.type_name() == name) {
                asked.insert(Detail::of(name).to_json());
            }
        }
        let is_lacking = lacking.reasons.contains(&Reason::AuthorizationDetailsInsufficient);
        // A new grant does not make another transaction of this one.
        if is_lacking && role != TokenRole::Transaction {
            let remediation = Remediation::new(&asked, self.spends());
            lacking.remediation = Some(remediation.ok_or_else(DetailProblem::too_large)?);
        }
        Ok(lacking)
    }
}
