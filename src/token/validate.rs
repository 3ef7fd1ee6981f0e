//! The checks of a token whose signature was verified, from `claims_malformed` to `tenant_mismatch`.

use std::sync::Arc;
use std::time::Duration;

use time::UtcDateTime;

use super::access_token::{AccessToken, ClientRole, RequiredClaims};
use super::actor::ActorSource;
use super::claims::Claims;
use super::invalid::{InvalidToken, truncated};
use super::terms::{IssuerTerms, Terms};
use crate::dates::{is_later_by_more, later, since};
use crate::json::Span;
use crate::names::Audience;
use crate::profile::{Profile, SubjectKind};
use crate::proof::{Confirmation, Confirmed, Possession};
use crate::reason::Reason;

/// The token as the sender presented it.
#[derive(Clone, Copy)]
pub(crate) struct Presented<'a> {
    /// The text of the token. Only a DPoP proof needs it.
    pub(crate) token: &'a str,
    pub(crate) possession: &'a Possession<'a>,
}

/// What the claims alone have shown.
struct Checked {
    required: RequiredClaims,
    /// The place of the audience in the vocabulary. `None` if a list of clients replaces the audience.
    audience: Option<usize>,
}

impl Terms {
    /// Runs all checks that come after the signature: those of the claims, the sender's, the tenant's. A token that is
    /// remembered passes through here again for every request.
    pub(crate) fn validate(
        &self,
        claims: Arc<Claims>,
        issuer: &IssuerTerms,
        presented: Presented<'_>,
        now: UtcDateTime,
    ) -> Result<AccessToken, InvalidToken> {
        let checked = self.check(&claims, issuer, now).and_then(|checked| {
            let confirmed = self.confirm(&claims, presented, now)?;
            check_tenant(&claims, issuer)?;
            Ok((checked, confirmed))
        });
        let (Checked { required, audience }, confirmed) = match checked {
            Ok(checked) => checked,
            Err(invalid) => return Err(invalid.with_claims(claims)),
        };
        let mut token = AccessToken {
            claims,
            required,
            vocabulary: self.vocabulary.own(),
            audience,
            leeway: self.limits.leeway,
            client: ClientRole::Plain,
            confirmed,
        };
        token.client = client_role(&token, issuer);
        if token.client == ClientRole::Plain {
            return Ok(token);
        }
        // Checked again, since a rule may have said only now that the client is an agent.
        match self.check_lifetime(&required, true, now) {
            Ok(()) => Ok(token),
            Err(reason) => Err(InvalidToken::from(reason).with_claims(token.claims)),
        }
    }

    /// Checks the claims, from `claims_malformed` to `actor_chain_too_deep`.
    fn check(
        &self,
        claims: &Claims,
        issuer: &IssuerTerms,
        now: UtcDateTime,
    ) -> Result<Checked, InvalidToken> {
        // RFC 7519 section 4, rfc8725bis section 3.12. A malformed `act` is reported after the audience.
        let act_problem = match &claims.problem {
            Some(problem) if problem.reason == Reason::ActorMalformed => Some(problem),
            Some(problem) => {
                let invalid = InvalidToken::from(problem.reason);
                return Err(match &*problem.claim {
                    "" => invalid,
                    claim => invalid.with_detail(format!("`{claim}`")),
                });
            }
            None => None,
        };
        // RFC 9068 section 2.2
        let required = check_required(claims, &issuer.profile)?;
        // RFC 9068 section 4; RFC 7519 section 4.1.4
        self.check_expiry(required.expires_at, now)?;
        // RFC 7519 section 4.1.5
        let in_future = |then| is_later_by_more(then, now, self.limits.leeway);
        if claims.not_before.is_some_and(in_future) {
            return Err(Reason::TokenNotYetValid.into());
        }
        if required.issued_at.is_some_and(in_future) {
            return Err(Reason::IssuedInFuture.into());
        }
        let is_agent = claims.client_is_agent || issuer.agents.include_client(claims.client());
        let speaks_for_itself = claims.subject_kind == SubjectKind::Client;
        let delegated = claims.is_delegated() || (is_agent && !speaks_for_itself);
        self.check_lifetime(&required, delegated, now)?;
        self.check_age(required.issued_at, now).map_err(|reason| {
            let undated = required.issued_at.is_none();
            let detail = undated.then_some("neither `iat` nor `nbf`, and its age is limited");
            detail.into_iter().fold(InvalidToken::from(reason), InvalidToken::with_detail)
        })?;
        let audience = self.check_audience(claims, &issuer.profile)?;
        // RFC 8693 section 4.1
        if let Some(problem) = act_problem {
            return Err(problem.reason.into());
        }
        let (actors, max_actors) = (claims.actor_count(), self.limits.max_actors);
        if actors > max_actors {
            let detail = format!("{actors} actors, {max_actors} allowed");
            return Err(InvalidToken::from(Reason::ActorChainTooDeep).with_detail(detail));
        }
        Ok(Checked { required, audience })
    }

    /// Checks again, at a later time, that a validated token has not ended: `token_expired`, and the age of
    /// `token_lifetime_exceeded`.
    pub(crate) fn check_end(&self, token: &AccessToken, now: UtcDateTime) -> Result<(), Reason> {
        self.check_expiry(token.expires_at(), now)?;
        self.check_age(token.issued_at(), now)
    }

    /// Returns when a validated token ends, without leeway: when it expires, or before if it is too old then.
    pub(crate) fn end_of(&self, token: &AccessToken) -> UtcDateTime {
        // If there is such a limit, a token that does not say when it was issued was refused.
        let age_limit = token.issued_at().zip(self.limits.max_token_age);
        let too_old = age_limit.map(|(issued_at, age)| later(issued_at, age));
        too_old.map_or(token.expires_at(), |too_old| too_old.min(token.expires_at()))
    }

    fn check_expiry(&self, expires_at: UtcDateTime, now: UtcDateTime) -> Result<(), Reason> {
        // Most tokens have not ended, and a comparison costs a fraction of a subtraction.
        if expires_at <= now && since(expires_at, now) >= self.limits.leeway {
            return Err(Reason::TokenExpired);
        }
        Ok(())
    }

    /// A token that does not say when it was issued may be of any age.
    fn check_age(&self, issued_at: Option<UtcDateTime>, now: UtcDateTime) -> Result<(), Reason> {
        let too_old = |age: Duration| {
            let age = age.saturating_add(self.limits.leeway);
            issued_at.is_none_or(|issued_at| since(issued_at, now) > age)
        };
        if self.limits.max_token_age.is_some_and(too_old) {
            return Err(Reason::TokenLifetimeExceeded);
        }
        Ok(())
    }

    /// Checks that the sender holds everything the token is bound to, from `confirmation_unsupported` to
    /// `client_certificate_mismatch`.
    fn confirm(
        &self,
        claims: &Claims,
        presented: Presented<'_>,
        now: UtcDateTime,
    ) -> Result<Confirmed, Reason> {
        let Presented { token, possession } = presented;
        let (jkt, x5t) = match &claims.confirmation {
            // RFC 7800 section 3. A confirmation of which no member is understood is not ignored.
            Some(Confirmation { jkt: None, x5t: None }) => {
                return Err(Reason::ConfirmationUnsupported);
            }
            Some(Confirmation { jkt, x5t }) => (claims.optional(*jkt), claims.optional(*x5t)),
            // RFC 9700 section 2.2.1
            None if self.sender_constrained => return Err(Reason::SenderConstraintRequired),
            None => (None, None),
        };
        let proof = match (jkt, &possession.dpop) {
            // RFC 9449 section 7.2
            (Some(_), None) => return Err(Reason::BoundTokenAsBearer),
            // RFC 9449 section 7.1
            (None, Some(_)) => return Err(Reason::DpopTokenUnbound),
            (None, None) => None,
            (Some(jkt), Some(_)) => {
                let dpop = self.dpop.as_ref().ok_or(Reason::ConfirmationUnsupported)?;
                Some(dpop.check_with(possession, token, jkt, &claims.proof_key, now)?)
            }
        };
        // RFC 8705 section 3
        match (x5t, &possession.certificate) {
            (None, _) => Ok(Confirmed { proof, certificate: false }),
            (Some(_), None) => Err(Reason::ClientCertificateMissing),
            (Some(x5t), Some(shown)) if shown.has_thumbprint(x5t) => {
                Ok(Confirmed { proof, certificate: true })
            }
            (Some(_), Some(_)) => Err(Reason::ClientCertificateMismatch),
        }
    }

    /// RFC 9068 section 4.
    fn check_audience(
        &self,
        claims: &Claims,
        profile: &Profile,
    ) -> Result<Option<usize>, InvalidToken> {
        let mismatch =
            |detail: String| Err(InvalidToken::from(Reason::AudienceMismatch).with_detail(detail));
        let mut names = claims.audiences();
        if let (None, Some(listed)) = (names.next(), &profile.client_list_instead_of_audience) {
            return match claims.client() {
                Some(client) if listed.contains(client) => Ok(None),
                client => {
                    let client = truncated(client.unwrap_or_default());
                    mismatch(format!("no audience, and the client `{client}` is not listed"))
                }
            };
        }
        let ours = &self.vocabulary.audiences;
        let is_named =
            |ours: &Audience| claims.audiences().any(|audience| audience == ours.as_str());
        let count = claims.audiences.len();
        match ours.iter().position(is_named) {
            Some(audience) if count <= self.limits.max_audiences => Ok(Some(audience)),
            Some(_) => mismatch(format!("meant for {count} audiences")),
            None => {
                let found: Vec<_> = claims.audiences().take(3).map(truncated).collect();
                let found = found.join("`, `");
                let expected = ours.first().map(Audience::as_str).unwrap_or_default();
                mismatch(format!("meant for `{found}`, not for `{expected}`"))
            }
        }
    }

    /// Of a token that does not say when it was issued, only the time that is left is known.
    fn check_lifetime(
        &self,
        required: &RequiredClaims,
        delegated: bool,
        now: UtcDateTime,
    ) -> Result<(), Reason> {
        let limits = &self.limits;
        let max_lifetime = match delegated {
            true => limits.max_lifetime.min(limits.max_delegated_lifetime),
            false => limits.max_lifetime,
        };
        if since(required.issued_at.unwrap_or(now), required.expires_at) > max_lifetime {
            return Err(Reason::TokenLifetimeExceeded);
        }
        Ok(())
    }
}

/// Checks that the claims are there that RFC 9068 section 2.2 requires, or those that the profile names instead.
fn check_required(claims: &Claims, profile: &Profile) -> Result<RequiredClaims, InvalidToken> {
    let missing = |claim: &str| {
        InvalidToken::from(Reason::RequiredClaimMissing).with_detail(format!("no `{claim}`"))
    };
    let present = |text: Option<Span>, claim: &str| {
        text.filter(|text| !text.is_empty()).ok_or_else(|| missing(claim))
    };
    let subject = present(claims.subject, &profile.subject)?;
    if profile.client_list_instead_of_audience.is_none() && claims.audiences().all(str::is_empty) {
        return Err(missing("aud"));
    }
    let expires_at = claims.expires_at.ok_or_else(|| missing("exp"))?;
    let issued_at = match claims.issued_at {
        None if profile.issued_at_optional => claims.not_before,
        issued_at => Some(issued_at.ok_or_else(|| missing("iat"))?),
    };
    if claims.client.is_some() || !profile.client_optional {
        present(claims.client, profile.clients.first().map_or("client_id", |name| &**name))?;
    }
    if claims.token_id.is_some() || !profile.token_id_optional {
        present(claims.token_id, &profile.token_id)?;
    }
    Ok(RequiredClaims { subject, issued_at, expires_at })
}

/// Finds out whether the client is an agent that acts for the subject.
fn client_role(token: &AccessToken, issuer: &IssuerTerms) -> ClientRole {
    let claims = &token.claims;
    let names_agent = claims.is_delegated() && !claims.act_names_impersonator;
    // A client that speaks for itself acts for no one else.
    if names_agent || claims.subject_kind == SubjectKind::Client {
        return ClientRole::Plain;
    }
    let source = match claims.client_is_agent {
        true => ActorSource::Profile,
        false if issuer.agents.include_client_of(token) => ActorSource::Client,
        false => return ClientRole::Plain,
    };
    // If an impersonator acts as well, there are two actors, and the token can name only one.
    let can_be_actor = token.client_id().is_some() && token.actor().is_none();
    match issuer.agents.must_act || !can_be_actor {
        true => ClientRole::AgentWithoutAct,
        false => ClientRole::Agent(source),
    }
}

/// Checks that the token is of its issuer's tenant, if the profile asks for that.
fn check_tenant(claims: &Claims, issuer: &IssuerTerms) -> Result<(), InvalidToken> {
    if !issuer.profile.tenant_in_issuer {
        return Ok(());
    }
    let found = claims.tenant();
    // The tenant that a template was filled with, or else the first segment of the path.
    let expected = issuer.tenant.as_deref().or_else(|| issuer.name.split('/').nth(3));
    if found == expected && found.is_some_and(|tenant| !tenant.is_empty()) {
        return Ok(());
    }
    let (found, name) = (truncated(found.unwrap_or_default()), &issuer.name);
    let detail = format!("the token is of the tenant `{found}`, its issuer is `{name}`");
    Err(InvalidToken::from(Reason::TenantMismatch).with_detail(detail))
}
