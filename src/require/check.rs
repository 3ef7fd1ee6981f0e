//! The checks of a requirement, from `sender_constraint_required` to `policy_input_invalid`.

use time::UtcDateTime;

use super::details::ComparedDetails;
use super::lists::without_repeats;
use super::requirement::Require;
use super::token_role::TokenRole;
use super::unmet::Unmet;
use crate::dates::{is_later_by_more, since};
use crate::reason::Reason;
use crate::token::{AccessToken, ActorSource, Party};

impl Require {
    /// Checks a validated token against this requirement, at the moment `now`.
    ///
    /// It does **not** check whether the token is still valid at `now`, which validation did, or whether it was spent,
    /// which needs a store. It cannot tell whether a detail was approved, so one that must be is a mistake here: see
    /// [`Approvals::recognize`](crate::approvals::Approvals::recognize). Nor does it know the token of a transaction,
    /// which is authority for nothing else: see
    /// [`Approvals::is_transaction`](crate::approvals::Approvals::is_transaction).
    ///
    /// # Errors
    ///
    /// Returns [`Unmet`] if the token does not meet the requirement. A client, a subject, an actor or a claim that is
    /// not allowed is the only reason then. Otherwise the reasons are all that is lacking in authentication, scopes and
    /// authorization details, so that one challenge can ask for everything. A detail that its type does not allow is a
    /// mistake of the program (`internal_error`), and stands alone too.
    #[must_use = "an error is the refusal"]
    pub fn check(&self, token: &AccessToken, now: UtcDateTime) -> Result<(), Unmet> {
        self.check_as(token, TokenRole::Unknown, now)
    }

    /// Checks a token of which it is known whether it is that of a transaction.
    ///
    /// A token that lacks nothing but an approval is refused for that. If the token is that of a transaction, its details
    /// are compared, and the transaction is still to be recognized.
    pub(crate) fn check_as(
        &self,
        token: &AccessToken,
        role: TokenRole,
        now: UtcDateTime,
    ) -> Result<(), Unmet> {
        let details = self.compare_details(token, role).map_err(|problem| {
            // What a token cannot make good is refused first.
            Unmet::new(problem.reason()).with_details(&problem, None)
        })?;
        self.check_parties(token).map_err(Unmet::new)?;
        self.check_claims(token)?;
        if role == TokenRole::Misused {
            return Err(Unmet::new(Reason::TransactionTokenMisused));
        }
        let (details, is_approved) = match details {
            ComparedDetails::Met => (None, true),
            ComparedDetails::NotApproved => (None, false),
            ComparedDetails::Lacking(lacking) => (Some(lacking), true),
        };
        let authentication = self.check_authentication(token, now);
        let allowed = self.scopes.iter().all(|group| token.allows_any(group));
        if allowed && authentication == [None, None] && details.is_none() {
            // Nothing else is lacking.
            return match is_approved {
                true => Ok(()),
                false => Err(Unmet::new(Reason::TransactionAuthorizationRequired)),
            };
        }
        let scope = (!allowed).then_some(Reason::InsufficientScope);
        let reasons = authentication.into_iter().chain([scope]).flatten();
        let of_details = details.iter().flat_map(|lacking| lacking.reasons.iter().copied());
        let mut reasons = without_repeats(reasons.chain(of_details));
        reasons.sort_unstable();
        let Some(mut unmet) = Unmet::from_reasons(reasons) else { return Ok(()) };
        if authentication != [None, None] {
            unmet.acr_values = self.acr.clone().unwrap_or_default();
            unmet.max_age = self.max_age;
        }
        if !allowed {
            unmet.scopes = self.challenge_scopes();
        }
        Err(match details {
            Some(lacking) => unmet.with_details(&lacking.problem, lacking.remediation),
            None => unmet,
        })
    }

    /// Checks what neither another login nor more scope can change.
    fn check_parties(&self, token: &AccessToken) -> Result<(), Reason> {
        if self.can_never_be_met() {
            return Err(Reason::PolicyDenied);
        }
        if self.sender_constrained && !token.is_sender_constrained() {
            return Err(Reason::SenderConstraintRequired);
        }
        let is_client = |client: &Party<'_>| {
            token.client_id() == Some(client.name()) && token.issuer() == client.issuer()
        };
        let client_listed =
            self.clients.as_ref().is_none_or(|clients| clients.iter().any(is_client));
        if !client_listed || !self.admits_issuer(token.issuer()) {
            return Err(Reason::ClientNotAllowed);
        }
        // A client that speaks for itself has no login, even if its token claims one.
        if !token.is_person() && (self.person || self.asks_for_step_up()) {
            return Err(Reason::SubjectAmbiguous);
        }
        if token.lacks_act() {
            return Err(Reason::ActorRequired);
        }
        let Some(actor) = token.actor() else {
            let required = self.actor_required || self.delegated;
            return if required { Err(Reason::ActorRequired) } else { Ok(()) };
        };
        // A person who took the subject's place is not an agent.
        if self.delegated && actor.source() == ActorSource::Impersonator {
            return Err(Reason::ActorRequired);
        }
        let listed = self.actors.as_ref().map(|listed| listed.iter().any(|party| actor == *party));
        let is_foreign = actor.issuer() != token.issuer();
        if is_foreign && !(self.foreign_actors_allowed && listed == Some(true)) {
            return Err(Reason::ActorUntrusted);
        }
        if self.undelegated || listed == Some(false) {
            return Err(Reason::ActorUnauthorized);
        }
        Ok(())
    }

    /// RFC 9470 section 6: the class and the age of the authentication. A token that does not say, or says it in a way
    /// that cannot be read, does not meet it.
    fn check_authentication(&self, token: &AccessToken, now: UtcDateTime) -> [Option<Reason>; 2] {
        let class = self.acr.as_ref().and_then(|classes| match token.acr() {
            Ok(None) | Err(_) => Some(Reason::AuthenticationContextMissing),
            Ok(Some(class)) if classes.iter().any(|c| c.as_str() == class) => None,
            Ok(Some(_)) => Some(Reason::AuthenticationLevelInsufficient),
        });
        let age = self.max_age.and_then(|max_age| match token.auth_time() {
            Ok(None) | Err(_) => Some(Reason::AuthenticationContextMissing),
            Ok(Some(at)) if is_later_by_more(at, now, token.leeway()) => {
                Some(Reason::AuthenticationTooOld)
            }
            Ok(Some(at)) if since(at, now) > max_age.saturating_add(token.leeway()) => {
                Some(Reason::AuthenticationTooOld)
            }
            Ok(Some(_)) => None,
        });
        [class, age]
    }
}
