//! The authorization details of a requirement, compared with those of a token.

use std::collections::BTreeSet;

use super::requirement::Require;
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

    /// Checks that the token's details cover those that are asked for. Returns `None` if nothing lacks.
    ///
    /// The error is the owner's mistake, which no token can make good.
    pub(super) fn lacking_details(
        &self,
        token: &AccessToken,
    ) -> Result<Option<LackingDetails>, DetailProblem> {
        if self.details.is_empty() && self.detail_types.is_empty() {
            return Ok(None);
        }
        let (types, granted) = (token.detail_types(), token.authorization_details());
        let mut problems = Vec::new();
        // What a challenge would ask for.
        let mut asked = BTreeSet::new();
        for detail in &self.details {
            if detail.consent() != Consent::Granted {
                return Err(DetailProblem::not_approvable(detail.type_name()));
            }
            match types.comparable(detail) {
                Ok(comparable) => {
                    problems.extend(granted.cover_comparable(&comparable).err());
                    asked.insert(comparable.detail().to_json());
                }
                Err(problem) if problem.reason() == Reason::InternalError => return Err(problem),
                Err(problem) => problems.push(problem),
            }
        }
        for name in &self.detail_types {
            types.defined(name)?;
            let is_granted = granted.of_type(name).next().is_some();
            problems.extend((!is_granted).then(|| DetailProblem::not_covered(name)));
            // A detail of the type says more.
            if !self.details.iter().any(|detail| detail.type_name() == name) {
                asked.insert(Detail::of(name).to_json());
            }
        }
        let reasons: Vec<_> = problems.iter().map(DetailProblem::reason).collect();
        let remediation = match reasons.contains(&Reason::AuthorizationDetailsInsufficient) {
            true => Some(
                Remediation::new(&asked, self.is_single_use())
                    .ok_or_else(DetailProblem::too_large)?,
            ),
            false => None,
        };
        let first = problems.into_iter().next();
        Ok(first.map(|problem| LackingDetails { reasons, remediation, problem }))
    }
}
